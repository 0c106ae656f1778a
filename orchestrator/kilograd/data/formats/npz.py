# SPDX-License-Identifier: Apache-2.0
"""Numpy's .npz files: named arrays without pickled objects, and what can be wrong with such a file."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd.data.formats.archive import DAMAGE
from kilograd.data.formats.checks import AGAIN, checked
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from kilograd.types import Samples, Shape


def names(path: Path, hint: str = AGAIN) -> tuple[str, ...]:
    """Return the names of the arrays in the file."""
    try:
        with zipfile.ZipFile(path) as file:
            return tuple(sorted(name.removesuffix(".npy") for name in file.namelist()))
    except FileNotFoundError as error:
        message = f"{path}: no such file"
        raise KilogradError(message) from error
    except DAMAGE as error:
        message = f"{path}: not an .npz file, or damaged: {error}"
        raise KilogradError(message, hint) from error


def read(path: Path, *wanted: str, hint: str = AGAIN) -> tuple[NDArray[Any], ...]:
    """Return the arrays of these names; a missing one lists those that are there."""
    there = names(path, hint)
    missing = [name for name in wanted if name not in there]
    if missing:
        message = f"{path}: there is no array {missing[0]}, but {', '.join(there) or 'nothing'}"
        raise KilogradError(message, hint)
    return tuple(_array(path, name, hint) for name in wanted)


def _array(path: Path, name: str, hint: str) -> NDArray[Any]:
    try:
        with np.load(path, allow_pickle=False) as file:
            array: NDArray[Any] = file[name]
    except DAMAGE as error:
        message = f"{path}: cannot read {name}: {error}"
        raise KilogradError(message, hint) from error
    return array


def read_samples(
    path: Path, part: str, shape: Shape, classes: int, *, scale: float = 1.0, labels: str = "y"
) -> Samples:
    """
    Read x_<part> and <labels>_<part>.

    Args:
        path: the file.
        part: "train" or "test".
        shape: of one sample, with an axis of height 1 where the file has none (a time series).
        classes: labels are below it.
        scale: factor from stored to real units.
        labels: first part of the name of the array of labels.

    """
    x, y = read(path, f"x_{part}", f"{labels}_{part}")
    for name, array in ((f"x_{part}", x), (f"{labels}_{part}", y)):
        if array.dtype.kind not in "iu":
            message = f"{path}: {name} holds {array.dtype}, expected whole numbers"
            raise KilogradError(message, AGAIN)
    if x.shape[1:] == (shape[0], *shape[2:]):
        x = np.expand_dims(x, 2)
    return checked(x.astype(np.float32) * np.float32(scale), y, shape, classes, f"{path}: x_{part}")
