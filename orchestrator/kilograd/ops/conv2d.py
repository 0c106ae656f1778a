# SPDX-License-Identifier: Apache-2.0
"""2-D convolution with stride, zero padding and groups (depthwise: groups == input channels)."""

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
COLUMN_BYTES = 1 << 25  # windows are copied in batches of about this size


def shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Return (output channels, rows, columns)."""
    channels, height, width = _checks.feature_map(node, inputs)
    weight, _ = _checks.weights(node, WEIGHT_RANK)
    groups = _groups(node)
    if channels != weight.shape[1] * groups or weight.shape[0] % groups:
        problem = f"weight {weight.shape} with {groups} groups does not fit {channels} input channels"
        raise _checks.misfit(node, problem)
    return weight.shape[0], *_window.output_size(node, height, width)


def evaluate(node: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Multiply every window with the weights of its group, add the bias, apply a fused ReLU."""
    (x,) = inputs
    weight, bias = _checks.weights(node, WEIGHT_RANK)
    columns = _window.windows(node, x, fill=0.0)
    out = np.empty((len(x), weight.shape[0], *columns.shape[2:4]), np.float32)
    step = max(1, COLUMN_BYTES * len(x) // max(1, columns.nbytes))
    for start in range(0, len(x), step):
        batch = slice(start, start + step)
        out[batch] = _multiply(columns[batch], weight, _groups(node))
    out += bias[:, None, None]
    return _rectifier.rectified(node, out)


def _multiply(columns: NDArray[np.float32], weight: NDArray[np.float32], groups: int) -> NDArray[np.float32]:
    """Turn windows (n, channels, rows, columns, kernel) into sums (n, output channels, rows, columns)."""
    count, channels, rows, across = columns.shape[:4]
    grouped = columns.reshape(count, groups, channels // groups, rows, across, *weight.shape[2:])
    matrix = grouped.transpose(0, 1, 2, 5, 6, 3, 4).reshape(count, groups, -1, rows * across)
    sums = weight.reshape(groups, weight.shape[0] // groups, -1) @ matrix
    return sums.reshape(count, weight.shape[0], rows, across)


def _groups(node: Node) -> int:
    groups = node.attributes.get("groups", 1)
    if not isinstance(groups, int) or groups < 1:
        raise _checks.misfit(node, f"groups must be a positive integer, got {groups}")
    return groups


def forward_steps(node: Node, low: Lowering) -> None:
    """Add the forward step."""
    _weighted.forward_steps(node, low, _dims(node, low))


def backward_steps(node: Node, low: Lowering, error: Error) -> None:
    """Add the gradients of weights and input."""
    _weighted.backward_steps(node, low, _dims(node, low), error)


def _dims(node: Node, low: Lowering) -> dict[str, int]:
    return _window.dims(node, low, ("in_channels", "out_channels")) | {"groups": _groups(node)}
