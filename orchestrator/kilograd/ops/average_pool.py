# SPDX-License-Identifier: Apache-2.0
"""The mean of each window, with padding counted as zeros; global pooling is a window of the whole map."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kilograd.fixed_point import requant
from kilograd.lowering import Error
from kilograd.ops import _checks, _window
from kilograd.types import Address, Array, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kilograd.lowering import Lowering
    from kilograd.types import Node, Shape, Value


def shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Return (channels, rows, columns)."""
    return _window.pooled(node, _checks.feature_map(node, inputs))


def evaluate(node: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Take the mean of each window."""
    (x,) = inputs
    mean: NDArray[np.float32] = _window.windows(node, x, fill=0.0).mean(axis=(4, 5))
    return mean


def forward_steps(node: Node, low: Lowering) -> None:
    """Add the forward step."""
    low.record(f"{node.name}_dims", "kg_pool_dims_t", _window.dims(node, low, ("channels",)))
    x, y = low.tensor(node.inputs[0]), low.tensor(node.output)
    suffix = low.suffix(node)
    args: dict[str, Value] = {"dims": Address(f"{node.name}_dims"), "x": Array(x), "y": Array(y)}
    record = Record(f"{node.name}_forward", f"kg_average_pool_{suffix}_t", args | _scaling(node, low))
    low.step(low.forward, node, "forward", f"average_pool_{suffix}", record, reads=[x], writes=[y])


def backward_steps(node: Node, low: Lowering, error: Error) -> None:
    """Hand the error to every element of a window: uint8 keeps the byte and moves 1 / window into the scale."""
    suffix, source = low.suffix(node), low.source(node.inputs[0])
    mask = low.early_mask(source)
    factor = error.factor * _overlap(node) / _size(node)
    masked = mask is not None or not low.rectified(source)
    below = Error(low.error_buffer(node, source), error.scale, factor, masked)
    args: dict[str, Value] = {
        "dims": Address(f"{node.name}_dims"),
        "e": Array(error.buffer),
        "mask": Array(mask) if mask else None,
        "dx": Array(below.buffer),
    }
    record = Record(f"{node.name}_backward", f"kg_average_pool_backward_{suffix}_t", args | _scaling(node, low))
    low.step(
        low.backward, node, "input gradient", f"average_pool_backward_{suffix}", record,
        reads=[error.buffer, *([mask] if mask else [])], writes=[below.buffer],
        inplace=(below.buffer, mask) if mask else None,
    )  # fmt: skip
    low.errors[source].append(below)


def _size(node: Node) -> int:
    return math.prod(_window.window(node).kernel)


def _overlap(node: Node) -> int:
    """Return how many windows hold an element at most: the divisor that keeps their sum inside a byte."""
    shape = _window.window(node)
    return math.prod(-(-kernel // stride) for kernel, stride in zip(shape.kernel, shape.stride, strict=True))


def _scaling(node: Node, low: Lowering) -> dict[str, Value]:
    """Return what a step needs to divide by the window: a factor, or fixed-point factors in a record."""
    if low.suffix(node) == "f32":
        return {"factor": float(np.float32(1) / np.float32(_size(node)))}
    x, y = low.format(node.inputs[0]), low.format(node.output)
    quant: dict[str, Value] = {
        "x_zero": x.zero,
        "y_zero": y.zero,
        "forward": requant(np.float32(x.scale) / (np.float32(y.scale) * np.float32(_size(node)))),
        "backward": requant(np.float32(1) / np.float32(_overlap(node))),
    }
    return {"quant": Address(low.record(f"{node.name}_quant", "kg_average_pool_quant_t", quant))}
