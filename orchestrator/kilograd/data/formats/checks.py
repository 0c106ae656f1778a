# SPDX-License-Identifier: Apache-2.0
"""What must hold for the samples of any data set: shape, number and labels belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd.errors import KilogradError
from kilograd.types import Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilograd.types import Shape

AGAIN = "delete it and get the data set again"


def checked(x: NDArray[Any], y: NDArray[Any], shape: Shape, classes: int, place: str, hint: str = AGAIN) -> Samples:
    """Return samples and labels as they are needed, or tell what is wrong with the file at `place`."""
    if x.shape[1:] != shape:
        message = f"{place}: samples are {x.shape[1:]}, expected {shape}"
        raise KilogradError(message, hint)
    if y.shape != x.shape[:1]:
        message = f"{place}: {' x '.join(map(str, y.shape))} labels for {len(x)} samples"
        raise KilogradError(message, hint)
    if not len(y):
        message = f"{place}: there are no samples"
        raise KilogradError(message, hint)
    if y.min() < 0 or y.max() >= classes:
        message = f"{place}: label {y.min() if y.min() < 0 else y.max()}, but there are {classes} classes"
        raise KilogradError(message, hint)
    return Samples(x.astype(np.float32, copy=False), y.astype(np.int64))
