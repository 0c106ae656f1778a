# SPDX-License-Identifier: Apache-2.0
"""The border from uint8 to float32 tensors; in real numbers nothing happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.ops import _checks
from kilograd.types import Address, Array, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from kilograd.lowering import Error, Lowering
    from kilograd.types import Node, Shape, Value


def shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Return the shape of the input."""
    return _checks.only(node, inputs)


def evaluate(_: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the input."""
    return inputs[0]


def forward_steps(node: Node, low: Lowering) -> None:
    """Add the forward step."""
    x, y, form = low.tensor(node.inputs[0]), low.tensor(node.output), low.format(node.inputs[0])
    args: dict[str, Value] = {
        "count": low.count(node.output),
        "x": Array(x),
        "scale": form.scale,
        "zero": form.zero,
        "y": Array(y),
    }
    record = Record(f"{node.name}_forward", "kg_dequantise_t", args)
    low.step(low.forward, node, "forward", "dequantise", record, reads=[x], writes=[y])


def backward_steps(node: Node, low: Lowering, error: Error) -> None:
    """Bring the float error into uint8, with a scale of its own."""
    mask = low.early_mask(node.inputs[0])
    below = low.new_error(node, node.inputs[0], masked=mask is not None)
    args: dict[str, Value] = {
        "count": low.count(node.output),
        "e": Array(error.buffer),
        "mask": Array(mask) if mask else None,
        "mask_zero": low.format(node.inputs[0]).zero,
        "scale": Address(str(below.scale)),
        "dx": Array(below.buffer),
    }
    record = Record(f"{node.name}_backward", "kg_dequantise_backward_t", args)
    low.step(
        low.backward, node, "input gradient", "dequantise_backward", record,
        reads=[error.buffer, *([mask] if mask else [])], writes=[below.buffer],
        inplace=(below.buffer, mask) if mask else None,
    )  # fmt: skip
    low.errors[low.source(node.inputs[0])].append(below)
