# SPDX-License-Identifier: Apache-2.0
"""
Oxford 102 Flowers: 2040 + 6149 colour photographs, the middle square of each scaled to 128x128.

The official training and validation set train, the official test set tests.

Source: Visual Geometry Group, University of Oxford. Licence: none stated; free for research with citation.
Cite: Nilsback, Zisserman, "Automated flower classification over a large number of classes", ICVGIP 2008.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.io import loadmat  # type: ignore[import-untyped]
from scipy.io.matlab import MatReadError  # type: ignore[import-untyped]

from kilograd.data._download import DataFile
from kilograd.data.formats.archive import members
from kilograd.data.formats.checks import AGAIN, checked
from kilograd.data.formats.images import cropped_pixels
from kilograd.errors import KilogradError
from kilograd.types import Dataset

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from kilograd.types import Samples

SIZE = 128
SHAPE = (3, SIZE, SIZE)
HOME = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102"
IMAGES, LABELS, SPLIT = "102flowers.tgz", "imagelabels.mat", "setid.mat"
FILES = tuple(
    DataFile(name, f"{HOME}/{name}", md5)
    for name, md5 in (
        (IMAGES, "52808999861908f626f3c1f4e79d11fa"),
        (LABELS, "e0620be6f572b9609742df49c70aed4d"),
        (SPLIT, "a5357ecc9cb78c4bef273ce3793fc85c"),
    )
)
COUNT = 102
CLASSES = tuple(str(number) for number in range(1, COUNT + 1))
"""The authors' numbers: they publish no names."""


def load(folder: Path) -> Dataset:
    """Read the photographs of both parts."""
    (labels,) = _numbers(folder / LABELS, "labels")
    first, second, last = _numbers(folder / SPLIT, "trnid", "valid", "tstid")
    parts = (np.concatenate([first, second]), last)
    if min(map(np.min, parts)) < 1 or max(map(np.max, parts)) > len(labels):
        message = f"{folder / SPLIT}: names images outside the {len(labels)} of {LABELS}"
        raise KilogradError(message, AGAIN)
    train, test = (_samples(folder / IMAGES, numbers, labels) for numbers in parts)
    return Dataset("flowers102", train, test, CLASSES)


def _numbers(path: Path, *names: str) -> list[NDArray[np.int64]]:
    try:
        file: dict[str, Any] = loadmat(io.BytesIO(path.read_bytes()))
        return [np.asarray(file[name]).ravel().astype(np.int64) for name in names]
    except (OSError, ValueError, TypeError, KeyError, NotImplementedError, MatReadError) as error:
        message = f"{path}: cannot read {', '.join(names)}: {error}"
        raise KilogradError(message, AGAIN) from error


def _samples(path: Path, numbers: NDArray[np.int64], labels: NDArray[np.int64]) -> Samples:
    rows = {f"jpg/image_{number:05}.jpg": row for row, number in enumerate(numbers)}
    x = np.empty((len(rows), *SHAPE), np.float32)
    for name, content in members(path, lambda name: name in rows):
        x[rows.pop(name)] = cropped_pixels(content, f"{path}: {name}", SIZE)
    if rows:
        message = f"{path}: {next(iter(rows))} is not inside"
        raise KilogradError(message, AGAIN)
    return checked(x, labels[numbers - 1] - 1, SHAPE, COUNT, str(path))
