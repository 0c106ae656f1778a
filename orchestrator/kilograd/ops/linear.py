# SPDX-License-Identifier: Apache-2.0
"""Fully connected layer: weight is (outputs, inputs)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.kernels import DIMS_FIELDS
from kilograd.ops import _checks, _rectifier, _weighted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from kilograd.lowering import Error, Lowering
    from kilograd.types import Node, Shape

WEIGHT_RANK = 2


def shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Return (outputs,)."""
    features = _checks.only(node, inputs)
    weight, _ = _checks.weights(node, WEIGHT_RANK)
    if features != weight.shape[1:]:
        problem = f"weight {weight.shape} does not fit an input of shape {features}"
        raise _checks.misfit(node, problem, "a feature map needs a flatten before a linear layer")
    return weight.shape[:1]


def evaluate(node: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Compute x w^T + b, with a fused ReLU."""
    (x,) = inputs
    weight, bias = _checks.weights(node, WEIGHT_RANK)
    return _rectifier.rectified(node, x @ weight.T + bias)


def forward_steps(node: Node, low: Lowering) -> None:
    """Add the forward step."""
    _weighted.forward_steps(node, low, _dims(node, low))


def backward_steps(node: Node, low: Lowering, error: Error) -> None:
    """Add the gradients of weights and input."""
    _weighted.backward_steps(node, low, _dims(node, low), error)


def _dims(node: Node, low: Lowering) -> dict[str, int]:
    """Return the layer as a 1x1 convolution of a 1x1 map."""
    outputs, features = low.weights(node).weight.shape
    return dict.fromkeys(DIMS_FIELDS, 1) | {
        "in_channels": features,
        "out_channels": outputs,
        "pad_top": 0,
        "pad_left": 0,
    }
