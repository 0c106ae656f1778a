# SPDX-License-Identifier: Apache-2.0
"""The mean of each window, with padding counted as zeros; global pooling is a window of the whole map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.ops import _checks, _window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kilograd.types import Node, Shape


def shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Return (channels, rows, columns)."""
    return _window.pooled(node, _checks.feature_map(node, inputs))


def evaluate(node: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Take the mean of each window."""
    (x,) = inputs
    mean: NDArray[np.float32] = _window.windows(node, x, fill=0.0).mean(axis=(4, 5))
    return mean
