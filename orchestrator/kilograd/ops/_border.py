# SPDX-License-Identifier: Apache-2.0
"""What both borders between number formats share; in real numbers nothing happens there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.ops import _checks
from kilograd.types import Array, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from kilograd.lowering import Error, Lowering
    from kilograd.types import Format, Node, Shape, Value


def shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Return the shape of the input."""
    return _checks.only(node, inputs)


def evaluate(_: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the input."""
    return inputs[0]


def forward_steps(node: Node, low: Lowering, form: Format) -> None:
    """Add the forward step; `form` is the uint8 side's."""
    x, y = low.tensor(node.inputs[0]), low.tensor(node.output)
    args: dict[str, Value] = {
        "count": low.count(node.output),
        "x": Array(x),
        "scale": form.scale,
        "zero": form.zero,
        "y": Array(y),
    }
    record = Record(f"{node.name}_forward", f"kg_{node.op}_t", args)
    low.step(low.forward, node, "forward", node.op, record, reads=[x], writes=[y])


def backward_steps(node: Node, low: Lowering, error: Error, scaling: Callable[[Error], Mapping[str, Value]]) -> None:
    """Add the step that brings the error over; `scaling` gives what it needs of the new error."""
    mask = low.early_mask(node.inputs[0])
    below = low.new_error(node, node.inputs[0], masked=mask is not None)
    args: dict[str, Value] = {
        "count": low.count(node.output),
        "e": Array(error.buffer),
        "mask": Array(mask) if mask else None,
        "dx": Array(below.buffer),
        **scaling(below),
    }
    record = Record(f"{node.name}_backward", f"kg_{node.op}_backward_t", args)
    low.step(
        low.backward, node, "input gradient", f"{node.op}_backward", record,
        reads=[error.buffer, *([mask] if mask else [])], writes=[below.buffer],
        inplace=(below.buffer, mask) if mask else None,
    )  # fmt: skip
    low.errors[low.source(node.inputs[0])].append(below)
