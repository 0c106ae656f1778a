# SPDX-License-Identifier: Apache-2.0
"""The largest value of each window; padding never wins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kilograd.ops import _checks, _window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kilograd.types import Node, Shape

LARGEST_WINDOW = 256  # the runtime remembers the winner of a window in one byte


def shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Return (channels, rows, columns)."""
    out = _window.pooled(node, _checks.feature_map(node, inputs))
    kernel = _window.window(node).kernel
    if math.prod(kernel) > LARGEST_WINDOW:
        raise _checks.misfit(node, f"a window of {kernel} holds more than {LARGEST_WINDOW} elements")
    return out


def evaluate(node: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Take the maximum of each window."""
    (x,) = inputs
    largest: NDArray[np.float32] = _window.windows(node, x, fill=-np.inf).max(axis=(4, 5))
    return largest
