# SPDX-License-Identifier: Apache-2.0
"""The product of a map and a gate for each of its channels, or of two tensors of one shape."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kilograd.fixed_point import requant
from kilograd.lowering import error_ref
from kilograd.ops import _checks
from kilograd.types import Address, Array, Function, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kilograd.lowering import Error, Lowering
    from kilograd.types import Node, Shape, Value

OPERANDS = 2


def shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Return the shape of the first input; the second is as large, or (channels, 1, 1)."""
    if len(inputs) != OPERANDS or node.inputs[0] == node.inputs[1]:
        raise _checks.misfit(node, "multiplies two different tensors")
    x, gate = inputs
    if gate not in (x, (*x[:1], *[1] * len(x[1:]))):
        raise _checks.misfit(node, f"multiplies a map with a number for each channel, got {x} and {gate}")
    return x


def evaluate(_: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Multiply."""
    x, gate = inputs
    return x * gate


def forward_steps(node: Node, low: Lowering) -> None:
    """Add the forward step."""
    x, gate = (low.tensor(tensor) for tensor in node.inputs)
    y, suffix = low.tensor(node.output), low.suffix(node)
    args: dict[str, Value] = {"x": Array(x), "gate": Array(gate), "y": Array(y)}
    if suffix == "u8":
        low.record(f"{node.name}_quant", "kg_mul_quant_t", _sizes(node, low) | _quantisation(node, low))
    record = Record(f"{node.name}_forward", f"kg_mul_{suffix}_t", args | _dims(node, low))
    low.step(low.forward, node, "forward", f"mul_{suffix}", record, reads=[x, gate], writes=[y], inplace=(y, x))


def backward_steps(node: Node, low: Lowering, error: Error) -> None:
    """Add the error of the gate, then that of the map, which may take the place of the output's."""
    x, gate = node.inputs
    if gate in low.needs_error:
        _gradient(node, low, error, (gate, x), "gate")
    if x in low.needs_error:
        _gradient(node, low, error, (x, gate), "map")


def _gradient(node: Node, low: Lowering, error: Error, sides: tuple[str, str], kind: str) -> None:
    """Add one side's error: the output's times the other side."""
    tensor, other = low.source(sides[0]), low.tensor(sides[1])
    suffix, mask = low.suffix(node), low.early_mask(tensor)
    below = low.new_error(node, tensor, masked=mask is not None)
    args: dict[str, Value] = {
        "kernel": Function(f"kg_mul_{suffix}_{kind}_gradient"),
        "e": Array(error.buffer),
        "other": Array(other),
        "mask": Array(mask) if mask else None,
        "dx": Array(below.buffer),
    }
    if suffix == "u8":
        unit = np.float32(low.format(sides[1]).scale)
        factor = low.error_factor(node, f"{node.name}_{kind}_factor", unit, error, below)
        args |= {
            "factor": Address(factor),
            "unit": float(unit),
            "e_scale": error_ref(error),
            "dx_scale": Address(str(below.scale)),
        }
    record = Record(f"{node.name}_{kind}_gradient", f"kg_mul_gradient_{suffix}_t", args | _dims(node, low))
    low.step(
        low.backward, node, "input gradient", f"mul_gradient_{suffix}", record,
        reads=[error.buffer, other, *([mask] if mask else [])], writes=[below.buffer],
        inplace=(below.buffer, mask or error.buffer) if mask or kind == "map" else None,
    )  # fmt: skip
    low.errors[tensor].append(below)


def _sizes(node: Node, low: Lowering) -> dict[str, Value]:
    channels = math.prod(low.graph.shapes[node.inputs[1]])
    return {"channels": channels, "positions": low.count(node.output) // channels}


def _dims(node: Node, low: Lowering) -> dict[str, Value]:
    return {"quant": Address(f"{node.name}_quant")} if low.suffix(node) == "u8" else _sizes(node, low)


def _quantisation(node: Node, low: Lowering) -> dict[str, Value]:
    x, gate, y = (low.format(tensor) for tensor in (*node.inputs, node.output))
    return {
        "x_zero": x.zero,
        "gate_zero": gate.zero,
        "y_zero": y.zero,
        "forward": requant(np.float32(x.scale) * np.float32(gate.scale) / np.float32(y.scale)),
    }
