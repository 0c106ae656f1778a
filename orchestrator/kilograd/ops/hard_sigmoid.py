# SPDX-License-Identifier: Apache-2.0
"""A straight line between 0 and 1: the gate of MobileNetV3 without an exponential."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.ops import _activation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilograd.types import Node


def value(node: Node, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute slope x + offset, clamped to 0..1."""
    rise, offset = _activation.line(node)
    gate: NDArray[np.float32] = np.clip(rise * x + offset, np.float32(0), np.float32(1))
    return gate


def slope(node: Node, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the derivative."""
    rise, offset = _activation.line(node)
    height = rise * x + offset
    inside: NDArray[np.float32] = np.where((height > 0) & (height < 1), rise, np.float32(0))
    return inside


_ACTIVATION = _activation.Activation(value, slope)
shape = _ACTIVATION.shape
evaluate = _ACTIVATION.evaluate
forward_steps = _ACTIVATION.forward_steps
backward_steps = _ACTIVATION.backward_steps
