# SPDX-License-Identifier: Apache-2.0
"""A straight line between 0 and 1: the gate of MobileNetV3 without an exponential."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.ops import _activation, _checks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kilograd.lowering import Error, Lowering
    from kilograd.types import Node, Shape


def shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Return the shape of the input."""
    return _checks.only(node, inputs)


def evaluate(node: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Compute slope x + offset, clamped to 0..1."""
    return _value(node, inputs[0])


def forward_steps(node: Node, low: Lowering) -> None:
    """Add the forward step."""
    _activation.forward_steps(node, low, ACTIVATION)


def backward_steps(node: Node, low: Lowering, error: Error) -> None:
    """Add the step that multiplies the error with the slope."""
    _activation.backward_steps(node, low, ACTIVATION, error)


def _value(node: Node, x: NDArray[np.float32]) -> NDArray[np.float32]:
    slope, offset = _activation.line(node)
    gate: NDArray[np.float32] = np.clip(slope * x + offset, np.float32(0), np.float32(1))
    return gate


def _slope(node: Node, x: NDArray[np.float32]) -> NDArray[np.float32]:
    slope, offset = _activation.line(node)
    height = slope * x + offset
    inside: NDArray[np.float32] = np.where((height > 0) & (height < 1), slope, np.float32(0))
    return inside


ACTIVATION = _activation.Activation(_value, _slope)
