# SPDX-License-Identifier: Apache-2.0
"""A row of features as a feature map; the order of the bytes stays."""

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
    """Return the node's own shape, which holds as many elements as the input."""
    made, source = node.attributes.get("shape"), _checks.only(node, inputs)
    if not isinstance(made, tuple) or min(made, default=0) < 1 or math.prod(made) != math.prod(source):
        raise _checks.misfit(node, f"cannot make {made} of {source}")
    return made


def evaluate(node: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Reshape every sample."""
    (x,) = inputs
    return x.reshape(len(x), *shape(node, [x.shape[1:]]))


def forward_steps(node: Node, low: Lowering) -> None:
    """Add nothing: the tensors share their memory."""


def backward_steps(node: Node, low: Lowering, error: Error) -> None:
    """Add nothing: the error is that of the input."""
