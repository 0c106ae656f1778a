# SPDX-License-Identifier: Apache-2.0
"""The logistic function: a gate, or a probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.ops import _activation, _checks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kilograd.lowering import Error, Lowering
    from kilograd.types import Node, Shape

LARGEST = np.float32(87)  # beyond it the result is 0 or 1 in single precision


def shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Return the shape of the input."""
    return _checks.only(node, inputs)


def evaluate(node: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Compute 1 / (1 + exp(-x))."""
    return _value(node, inputs[0])


def forward_steps(node: Node, low: Lowering) -> None:
    """Add the forward step."""
    _activation.forward_steps(node, low, ACTIVATION)


def backward_steps(node: Node, low: Lowering, error: Error) -> None:
    """Add the step that multiplies the error with the slope."""
    _activation.backward_steps(node, low, ACTIVATION, error)


def _value(_: Node, x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.float32(1) / (np.float32(1) + np.exp(-np.clip(x, -LARGEST, LARGEST)))


def _slope(node: Node, x: NDArray[np.float32]) -> NDArray[np.float32]:
    y = _value(node, x)
    return y * (1 - y)


ACTIVATION = _activation.Activation(_value, _slope)
