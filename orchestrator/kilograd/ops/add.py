# SPDX-License-Identifier: Apache-2.0
"""The sum of two tensors of one shape: the join of a residual connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.ops import _checks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kilograd.types import Node, Shape

OPERANDS = 2


def shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Return the common shape."""
    if len(inputs) != OPERANDS or inputs[0] != inputs[1]:
        raise _checks.misfit(node, f"adds two tensors of one shape, got {' and '.join(map(str, inputs))}")
    return inputs[0]


def evaluate(node: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Add, with a fused ReLU."""
    a, b = inputs
    out = a + b
    return np.maximum(out, 0, out=out) if node.attributes.get("relu") else out
