# SPDX-License-Identifier: Apache-2.0
"""Sliding windows over feature maps: what convolution and pooling share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kilograd.ops._checks import misfit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilograd.lowering import Lowering
    from kilograd.types import Node


@dataclass(frozen=True)
class Window:
    """Kernel and stride as (height, width), pads as (top, left, bottom, right)."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pads: tuple[int, ...]


def window(node: Node) -> Window:
    """Read the window of a node: the kernel of a weighted node is its weight's."""
    kernel = node.attributes.get("kernel") if node.weight is None else node.weight.shape[2:]
    return Window(
        _integers(node, "kernel", kernel, count=2, least=1),
        _integers(node, "stride", node.attributes.get("stride"), count=2, least=1),
        _integers(node, "pads", node.attributes.get("pads"), count=4, least=0),
    )


def output_size(node: Node, height: int, width: int) -> tuple[int, int]:
    """Return how many windows fit, down and across."""
    shape = window(node)
    top, left, bottom, right = shape.pads
    rows, columns = height + top + bottom - shape.kernel[0], width + left + right - shape.kernel[1]
    if rows < 0 or columns < 0:
        raise misfit(node, f"kernel {shape.kernel} is larger than the map {(height, width)} with pads {shape.pads}")
    return rows // shape.stride[0] + 1, columns // shape.stride[1] + 1


def pooled(node: Node, inputs: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the shape after pooling; no window may lie wholly in the padding."""
    channels, height, width = inputs
    shape = window(node)
    if any(pad >= kernel for pad, kernel in zip(shape.pads, shape.kernel * 2, strict=True)):
        raise misfit(node, f"pads {shape.pads} must be smaller than the kernel {shape.kernel}")
    return channels, *output_size(node, height, width)


def windows(node: Node, x: NDArray[np.float32], fill: float) -> NDArray[np.float32]:
    """View all windows of x (n, channels, height, width) as (n, channels, rows, columns, *kernel)."""
    shape = window(node)
    top, left, bottom, right = shape.pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(padded, shape.kernel, axis=(2, 3))
    return view[:, :, :: shape.stride[0], :: shape.stride[1]]


def _integers(node: Node, name: str, value: object, *, count: int, least: int) -> tuple[int, ...]:
    if not (isinstance(value, tuple) and len(value) == count and min(value) >= least):
        raise misfit(node, f"{name} must be {count} integers of at least {least}, got {value}")
    return value


def dims(node: Node, low: Lowering, channels: tuple[str, ...]) -> dict[str, int]:
    """Return the members of a C dims structure, with the names it has for the channels of input and output."""
    inside, outside = (low.graph.shapes[tensor] for tensor in (node.inputs[0], node.output))
    shape = window(node)
    sizes = {
        "in_height": inside[1], "in_width": inside[2], "out_height": outside[1], "out_width": outside[2],
        "kernel_height": shape.kernel[0], "kernel_width": shape.kernel[1],
        "stride_height": shape.stride[0], "stride_width": shape.stride[1],
        "pad_top": shape.pads[0], "pad_left": shape.pads[1],
    }  # fmt: skip
    return dict(zip(channels, (inside[0], outside[0]), strict=False)) | sizes
