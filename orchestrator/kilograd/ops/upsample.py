# SPDX-License-Identifier: Apache-2.0
"""Nearest-neighbour up-sampling: every element becomes a block of equal elements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.fixed_point import requant
from kilograd.lowering import error_ref
from kilograd.ops import _checks
from kilograd.types import Address, Array, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kilograd.lowering import Error, Lowering
    from kilograd.types import Node, Shape, Value

AXES = 2


def shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Return (channels, rows, columns)."""
    channels, height, width = _checks.feature_map(node, inputs)
    down, across = _scale(node)
    return channels, height * down, width * across


def evaluate(node: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Repeat rows and columns."""
    (x,) = inputs
    down, across = _scale(node)
    return x.repeat(down, axis=2).repeat(across, axis=3)


def forward_steps(node: Node, low: Lowering) -> None:
    """Add the forward step."""
    channels, height, width = low.graph.shapes[node.inputs[0]]
    down, across = _scale(node)
    sizes = {"channels": channels, "in_height": height, "in_width": width, "scale_height": down, "scale_width": across}
    dims = low.record(f"{node.name}_dims", "kg_upsample_dims_t", sizes)
    x, y = low.tensor(node.inputs[0]), low.tensor(node.output)
    suffix = low.suffix(node)
    args: dict[str, Value] = {"dims": Address(dims), "x": Array(x), "y": Array(y)}
    record = Record(f"{node.name}_forward", f"kg_upsample_{suffix}_t", args)
    low.step(low.forward, node, "forward", f"upsample_{suffix}", record, reads=[x], writes=[y])


def backward_steps(node: Node, low: Lowering, error: Error) -> None:
    """Add the errors of every block up; what was masked in the large map is masked in the small one."""
    suffix = low.suffix(node)
    below = low.new_error(node, node.inputs[0], masked=error.masked)
    args: dict[str, Value] = {
        "dims": Address(f"{node.name}_dims"),
        "e": Array(error.buffer),
        "dx": Array(below.buffer),
    }
    if suffix == "u8":
        args |= _scaling(node, low, error, below)
    record = Record(f"{node.name}_backward", f"kg_upsample_backward_{suffix}_t", args)
    low.step(
        low.backward, node, "input gradient", f"upsample_backward_{suffix}", record,
        reads=[error.buffer], writes=[below.buffer],
    )  # fmt: skip
    low.errors[low.source(node.inputs[0])].append(below)


def _scaling(node: Node, low: Lowering, error: Error, below: Error) -> dict[str, Value]:
    """Add the factor between both error scales, and the update step that renews it."""
    first = requant(np.float32(error.factor))  # all scales start equal
    factor = low.record(f"{node.name}_factor", "kg_requant_t", first, mutable=True)
    scales: dict[str, Value] = {"e_scale": error_ref(error), "dx_scale": Address(str(below.scale))}
    args = Record(f"{node.name}_refresh", "kg_upsample_refresh_u8_t", {"factor": Address(factor)} | scales)
    low.step(low.refresh, node, "refresh", "upsample_refresh_u8", args)
    return {"factor": Address(factor)} | scales


def _scale(node: Node) -> tuple[int, int]:
    """Return the size of a block as (rows, columns)."""
    scale = node.attributes.get("scale")
    if not (isinstance(scale, tuple) and len(scale) == AXES and min(scale) >= 1):
        raise _checks.misfit(node, f"scale must be {AXES} integers of at least 1, got {scale}")
    return scale[0], scale[1]
