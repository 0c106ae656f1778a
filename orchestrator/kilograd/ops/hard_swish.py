# SPDX-License-Identifier: Apache-2.0
"""A number times its hard-sigmoid: the smooth rectifier of MobileNetV3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.ops import _activation, _checks, hard_sigmoid

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from kilograd.lowering import Error, Lowering
    from kilograd.types import Node, Shape


def shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Return the shape of the input."""
    return _checks.only(node, inputs)


def evaluate(node: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Compute x hard_sigmoid(x)."""
    return _value(node, inputs[0])


def forward_steps(node: Node, low: Lowering) -> None:
    """Add the forward step."""
    _activation.forward_steps(node, low, ACTIVATION)


def backward_steps(node: Node, low: Lowering, error: Error) -> None:
    """Add the step that multiplies the error with the slope."""
    _activation.backward_steps(node, low, ACTIVATION, error)


def _value(node: Node, x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x * hard_sigmoid.ACTIVATION.value(node, x)


def _slope(node: Node, x: NDArray[np.float32]) -> NDArray[np.float32]:
    gate = hard_sigmoid.ACTIVATION
    return gate.value(node, x) + x * gate.slope(node, x)


ACTIVATION = _activation.Activation(_value, _slope)
