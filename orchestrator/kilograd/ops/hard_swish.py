# SPDX-License-Identifier: Apache-2.0
"""A number times its hard-sigmoid: the smooth rectifier of MobileNetV3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.ops import _activation, hard_sigmoid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kilograd.types import Node


def value(node: Node, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute x hard_sigmoid(x)."""
    return x * hard_sigmoid.value(node, x)


def slope(node: Node, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the derivative."""
    return hard_sigmoid.value(node, x) + x * hard_sigmoid.slope(node, x)


_ACTIVATION = _activation.Activation(value, slope)
shape = _ACTIVATION.shape
evaluate = _ACTIVATION.evaluate
forward_steps = _ACTIVATION.forward_steps
backward_steps = _ACTIVATION.backward_steps
