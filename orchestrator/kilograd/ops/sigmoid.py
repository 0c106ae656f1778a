# SPDX-License-Identifier: Apache-2.0
"""The logistic function: a gate, or a probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.ops import _activation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilograd.types import Node

LARGEST = np.float32(87)  # beyond it the result is 0 or 1 in single precision


def value(_: Node, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute 1 / (1 + exp(-x))."""
    return np.float32(1) / (np.float32(1) + np.exp(-np.clip(x, -LARGEST, LARGEST)))


def slope(node: Node, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the derivative."""
    y = value(node, x)
    return y * (1 - y)


_ACTIVATION = _activation.Activation(value, slope)
shape = _ACTIVATION.shape
evaluate = _ACTIVATION.evaluate
forward_steps = _ACTIVATION.forward_steps
backward_steps = _ACTIVATION.backward_steps
