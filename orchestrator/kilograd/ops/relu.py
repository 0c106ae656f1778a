# SPDX-License-Identifier: Apache-2.0
"""A rectifier that stands alone; after a convolution, linear layer or sum it is fused instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.ops import _checks, _rectifier
from kilograd.types import Array, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from kilograd.lowering import Error, Lowering
    from kilograd.types import Node, Shape, Value


def shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Return the shape of the input."""
    return _checks.only(node, inputs)


def evaluate(node: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Replace negative values by zero, and those above a clamp by the clamp."""
    return _rectifier.rectified(node, inputs[0].copy())


def forward_steps(node: Node, low: Lowering) -> None:
    """Add the forward step."""
    x, y = low.tensor(node.inputs[0]), low.tensor(node.output)
    suffix = low.suffix(node)
    args: dict[str, Value] = {"count": low.count(node.output), "x": Array(x), "y": Array(y)}
    limits = _rectifier.limits_u8(node, low.format(node.output)) if suffix == "u8" else _rectifier.limits_f32(node)
    args |= dict(zip(("y_min", "y_max"), limits, strict=True))
    record = Record(f"{node.name}_forward", f"kg_relu_{suffix}_t", args)
    low.step(low.forward, node, "forward", f"relu_{suffix}", record, reads=[x], writes=[y], inplace=(y, x))


def backward_steps(node: Node, low: Lowering, error: Error) -> None:
    """Pass the error on as it is: it has been masked with this node's output."""
    low.pass_error(node.inputs[0], error)
