# SPDX-License-Identifier: Apache-2.0
"""A feature map as one row of features; the order of the bytes stays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kilograd.ops import _checks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from kilograd.lowering import Error, Lowering
    from kilograd.types import Node, Shape


def shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Return (features,)."""
    return (math.prod(_checks.only(node, inputs)),)


def evaluate(_: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Reshape every sample to one dimension."""
    (x,) = inputs
    return x.reshape(len(x), -1)


def forward_steps(node: Node, low: Lowering) -> None:
    """Add nothing: the tensors share their memory."""


def backward_steps(node: Node, low: Lowering, error: Error) -> None:
    """Add nothing: the error is that of the input."""
