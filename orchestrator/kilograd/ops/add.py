# SPDX-License-Identifier: Apache-2.0
"""The sum of two tensors of one shape: the join of a residual connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.fixed_point import add_weights
from kilograd.ops import _checks, _rectifier
from kilograd.types import Address, Array, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kilograd.lowering import Error, Lowering
    from kilograd.types import Node, Shape, Value

OPERANDS = 2


def shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Return the common shape."""
    if len(inputs) != OPERANDS or inputs[0] != inputs[1]:
        raise _checks.misfit(node, f"adds two tensors of one shape, got {' and '.join(map(str, inputs))}")
    return inputs[0]


def evaluate(node: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Add, with a fused ReLU."""
    a, b = inputs
    return _rectifier.rectified(node, a + b)


def forward_steps(node: Node, low: Lowering) -> None:
    """Add the forward step."""
    a, b = (low.tensor(tensor) for tensor in node.inputs)
    y, suffix = low.tensor(node.output), low.suffix(node)
    args: dict[str, Value] = {"count": low.count(node.output), "a": Array(a), "b": Array(b), "y": Array(y)}
    if suffix == "u8":
        args["quant"] = Address(low.record(f"{node.name}_quant", "kg_add_quant_t", _quantisation(node, low)))
    else:
        args |= dict(zip(("y_min", "y_max"), _rectifier.limits_f32(node), strict=True))
    record = Record(f"{node.name}_forward", f"kg_add_{suffix}_t", args)
    low.step(low.forward, node, "forward", f"add_{suffix}", record, reads=[a, b], writes=[y])


def backward_steps(node: Node, low: Lowering, error: Error) -> None:
    """Pass the error on to both branches as it is."""
    for tensor in node.inputs:
        low.pass_error(tensor, error)


def _quantisation(node: Node, low: Lowering) -> dict[str, Value]:
    a, b = (low.format(tensor) for tensor in node.inputs)
    y = low.format(node.output)
    scale = np.float32(y.scale)
    zeros: dict[str, Value] = {"a_zero": a.zero, "b_zero": b.zero, "y_zero": y.zero}
    limits: dict[str, Value] = dict(zip(("y_min", "y_max"), _rectifier.limits_u8(node, y), strict=True))
    return zeros | limits | add_weights(np.float32(a.scale) / scale, np.float32(b.scale) / scale)
