# SPDX-License-Identifier: Apache-2.0
"""The exponential function."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.ops import _activation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilograd.types import Node


def value(_: Node, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute exp(x), in the range that the runtime computes."""
    return np.exp(np.clip(x, np.float32(-87), np.float32(88)))


def slope(node: Node, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the derivative."""
    return value(node, x)


_ACTIVATION = _activation.Activation(value, slope)
shape = _ACTIVATION.shape
evaluate = _ACTIVATION.evaluate
forward_steps = _ACTIVATION.forward_steps
backward_steps = _ACTIVATION.backward_steps
