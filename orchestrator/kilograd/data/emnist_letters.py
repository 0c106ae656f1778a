# SPDX-License-Identifier: Apache-2.0
"""
EMNIST letters: handwritten letters, large and small ones together, 124800 + 20800 grey images of 28x28.

Source: NIST, https://www.nist.gov/itl/products-and-services/emnist-dataset. Licence: none stated (a work of the US
government). Cite: Cohen, Afshar, Tapson, van Schaik, "EMNIST: an extension of MNIST to handwritten letters",
arXiv:1702.05373.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.data.formats import emnist
from kilograd.types import Dataset

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = emnist.SHAPE
HOME = emnist.HOME
FOLDER = emnist.FOLDER
FILES = emnist.FILES
CLASSES = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def load(folder: Path) -> Dataset:
    """Read the official training and test set."""
    train, test = (
        emnist.read_samples(folder, "letters", part, len(CLASSES), first_label=1) for part in ("train", "test")
    )
    return Dataset("emnist_letters", train, test, CLASSES)
