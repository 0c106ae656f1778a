# SPDX-License-Identifier: Apache-2.0
"""
CIFAR-100: 50000 + 10000 colour images of 32x32, a hundred classes.

The binary version: a record is the coarse label (not used), the fine label, and 3 x 32 x 32 bytes.

Source: A. Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html. Licence: none stated; free for research with
citation. Cite: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kilograd.data._download import DataFile
from kilograd.data.formats.archive import named_members
from kilograd.data.formats.checks import AGAIN, checked
from kilograd.errors import KilogradError
from kilograd.types import Dataset

if TYPE_CHECKING:
    from pathlib import Path

    from kilograd.types import Samples

SHAPE = (3, 32, 32)
HOME = "https://www.cs.toronto.edu/~kriz/cifar.html"
ARCHIVE = "cifar-100-binary.tar.gz"
FILES = (
    DataFile(ARCHIVE, "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),
)

COUNT = 100
RECORD = 2 + math.prod(SHAPE)


def load(folder: Path) -> Dataset:
    """Read the official training and test set, colours from 0 to 1."""
    path = folder / ARCHIVE
    names, *parts = (f"cifar-100-binary/{name}" for name in ("fine_label_names.txt", "train.bin", "test.bin"))
    found = named_members(path, (names, *parts))
    classes = tuple(found[names].decode("ascii", "replace").split())
    if len(classes) != COUNT:
        message = f"{path}: {names} holds {len(classes)} names, expected {COUNT}"
        raise KilogradError(message, AGAIN)
    train, test = (_samples(found[part], f"{path}: {part}") for part in parts)
    return Dataset("cifar100", train, test, classes)


def _samples(content: bytes, place: str) -> Samples:
    if len(content) % RECORD:
        message = f"{place}: {len(content)} bytes are no whole records of {RECORD}"
        raise KilogradError(message, AGAIN)
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    x = records[:, 2:].reshape(-1, *SHAPE).astype(np.float32) / np.float32(255)
    return checked(x, records[:, 1], SHAPE, COUNT, place)
