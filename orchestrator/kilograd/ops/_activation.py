# SPDX-License-Identifier: Apache-2.0
"""Lowering of functions of one number: in uint8 a table of values and one of slopes, in float32 a kernel each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kilograd.lowering import error_ref
from kilograd.ops import _checks, _rectifier
from kilograd.types import Address, Array, Function, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from kilograd.lowering import Error, Lowering
    from kilograd.types import Format, Node, Shape, Value

    Curve = Callable[[Node, NDArray[np.float32]], NDArray[np.float32]]

LARGEST_SLOPE = 32767  # of a table of int16
LINE = (1 / 6, 0.5)
"""Slope and offset of the hard functions, unless a node has others."""


@dataclass(frozen=True)
class Activation:
    """The operator that a function and its derivative make: an activation's file offers these methods as its own."""

    value: Curve
    slope: Curve

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the shape of the input."""
        return _checks.only(node, inputs)

    def evaluate(self, node: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Compute the function."""
        return self.value(node, inputs[0])

    def forward_steps(self, node: Node, low: Lowering) -> None:
        """Add the forward step."""
        x, y, suffix = low.tensor(node.inputs[0]), low.tensor(node.output), low.suffix(node)
        args: dict[str, Value] = {"count": low.count(node.output), "x": Array(x), "y": Array(y)}
        if suffix == "u8":
            table = _values(node, self.value, low.format(node.inputs[0]), low.format(node.output))
            args["values"] = Array(low.array(f"{node.name}_values", "uint8_t", table.size, "weights", table))
        else:
            args |= {"kernel": Function(f"kg_{node.op}_f32_forward"), "line": _line_value(node)}
        record = Record(f"{node.name}_forward", f"kg_activation_{suffix}_t", args)
        low.step(
            low.forward, node, "forward", f"activation_{suffix}", record, reads=[x], writes=[y], inplace=(y, x)
        )  # fmt: skip

    def backward_steps(self, node: Node, low: Lowering, error: Error) -> None:
        """Add the step that multiplies the error with the slope at the input; in uint8 its mask is in the table."""
        suffix, source = low.suffix(node), low.source(node.inputs[0])
        x = low.tensor(source)
        early = low.readers[source] == 1
        args: dict[str, Value] = {"count": low.count(node.output), "x": Array(x), "e": Array(error.buffer)}
        if suffix == "u8":
            below = low.new_error(node, source, masked=early)
            args |= _slopes(node, low, self.slope, error, below, masked=early and low.rectified(source))
        else:
            mask = low.early_mask(source)
            below = low.new_error(node, source, masked=mask is not None)
            args |= {
                "kernel": Function(f"kg_{node.op}_f32_backward"),
                "line": _line_value(node),
                "mask": Array(mask) if mask else None,
            }
        args["dx"] = Array(below.buffer)
        record = Record(f"{node.name}_backward", f"kg_activation_backward_{suffix}_t", args)
        low.step(
            low.backward, node, "input gradient", f"activation_backward_{suffix}", record,
            reads=[x, error.buffer], writes=[below.buffer], inplace=(below.buffer, x if early else error.buffer),
        )  # fmt: skip
        low.errors[source].append(below)


def line(node: Node) -> tuple[np.float32, np.float32]:
    """Return slope and offset of the straight part of a hard function."""
    values = [node.attributes.get(name, default) for name, default in zip(("slope", "offset"), LINE, strict=True)]
    slope, offset = (np.float32(value) if isinstance(value, int | float) else np.float32("nan") for value in values)
    if not (np.isfinite(offset) and slope > 0):
        raise _checks.misfit(node, f"slope and offset must be numbers, the slope positive, got {values}")
    return slope, offset


def _line_value(node: Node) -> dict[str, Value]:
    slope, offset = line(node)
    return {"slope": float(slope), "offset": float(offset)}


def _values(node: Node, value: Curve, x: Format, y: Format) -> NDArray[np.uint8]:
    """Return the stored output for each of the 256 stored inputs."""
    real = value(node, _real(x))
    table: NDArray[np.uint8] = np.clip(np.rint(real / np.float32(y.scale)) + y.zero, 0, 255).astype(np.uint8)
    return table


def _slopes(node: Node, low: Lowering, slope: Curve, error: Error, below: Error, *, masked: bool) -> dict[str, Value]:
    """Add the table of slopes: int16 in a unit that the fixed-point factor brings back."""
    form = low.format(node.inputs[0])
    slopes = slope(node, _real(form)).astype(np.float64)
    if masked:
        slopes[_stopped(node, low, form)] = 0
    unit = np.float32(np.abs(slopes).max() / LARGEST_SLOPE) or np.float32(1)
    table = np.rint(slopes / unit).astype(np.int16)
    name = low.array(f"{node.name}_slopes", "int16_t", table.size, "weights", table)
    factor = low.error_factor(node, f"{node.name}_slope_factor", unit, error, below)
    return {
        "slopes": Array(name),
        "factor": Address(factor),
        "unit": float(unit),
        "e_scale": error_ref(error),
        "dx_scale": Address(str(below.scale)),
    }


def _stopped(node: Node, low: Lowering, form: Format) -> NDArray[np.bool_]:
    """Return which stored inputs the ReLU before has clamped."""
    rectifier, q = low.rectifier(node.inputs[0]), np.arange(256)
    high = _rectifier.clamped_u8(rectifier, form) if rectifier is not None else None
    return (q <= form.zero) | (q >= (256 if high is None else high))


def _real(form: Format) -> NDArray[np.float32]:
    """Return what the 256 stored numbers stand for."""
    return (np.arange(256, dtype=np.float32) - np.float32(form.zero)) * np.float32(form.scale)
