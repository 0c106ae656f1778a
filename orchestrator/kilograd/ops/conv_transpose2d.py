# SPDX-License-Identifier: Apache-2.0
"""Transposed 2-D convolution: every input element adds its multiple of the kernel to a larger map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.ops import _checks, _rectifier, _weighted, _window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kilograd.lowering import Error, Lowering
    from kilograd.types import Node, Shape

WEIGHT_RANK = 4


def shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Return (output channels, rows, columns); the weight is (output channels, input channels, *kernel)."""
    channels, height, width = _checks.feature_map(node, inputs)
    weight, _ = _checks.weights(node, WEIGHT_RANK)
    if channels != weight.shape[1]:
        raise _checks.misfit(node, f"weight {weight.shape} does not fit {channels} input channels")
    window = _window.window(node)
    sizes = [_size(node, length, axis) for axis, length in enumerate((height, width))]
    if min(sizes) < 1:
        raise _checks.misfit(node, f"pads {window.pads} leave nothing of the map {(height, width)}")
    return weight.shape[0], sizes[0], sizes[1]


def _size(node: Node, length: int, axis: int) -> int:
    """Return the size of the output along an axis."""
    window, extra = _window.window(node), node.attributes.get("output_padding", (0, 0))
    if not (isinstance(extra, tuple) and len(extra) == len(window.stride) and 0 <= extra[axis] < window.stride[axis]):
        raise _checks.misfit(node, f"output_padding {extra} must be smaller than the stride {window.stride}")
    pads = window.pads[axis] + window.pads[axis + 2]
    return (length - 1) * window.stride[axis] + window.kernel[axis] - pads + extra[axis]


def evaluate(node: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Add the kernel under every element up, crop the pads, add the bias, apply a fused rectifier."""
    (x,) = inputs
    weight, bias = _checks.weights(node, WEIGHT_RANK)
    window = _window.window(node)
    _, rows, columns = shape(node, [x.shape[1:]])
    (top, left), (down, across) = window.pads[:2], window.stride
    full = np.zeros((len(x), len(weight), rows + sum(window.pads[::2]), columns + sum(window.pads[1::2])), np.float32)
    for u, v in np.ndindex(*window.kernel):
        seen = full[:, :, u::down, v::across][:, :, : x.shape[2], : x.shape[3]]
        seen += np.einsum("oi,nihw->nohw", weight[:, :, u, v], x, optimize=True)
    out = full[:, :, top : top + rows, left : left + columns] + bias[:, None, None]
    return _rectifier.rectified(node, out)


def forward_steps(node: Node, low: Lowering) -> None:
    """Add the forward step."""
    _weighted.forward_steps(node, low, _dims(node, low))


def backward_steps(node: Node, low: Lowering, error: Error) -> None:
    """Add the gradients of weights and input."""
    _weighted.backward_steps(node, low, _dims(node, low), error)


def _dims(node: Node, low: Lowering) -> dict[str, int]:
    return _window.dims(node, low, ("in_channels", "out_channels")) | {"groups": 1}
