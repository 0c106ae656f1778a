# SPDX-License-Identifier: Apache-2.0
"""Fully connected layer: weight is (outputs, inputs)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.ops import _checks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

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
    out = x @ weight.T + bias
    return np.maximum(out, 0, out=out) if node.attributes.get("relu") else out
