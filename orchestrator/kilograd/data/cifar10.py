# SPDX-License-Identifier: Apache-2.0
"""
CIFAR-10, a part of it: 10000 + 2000 colour images of 32x32, lossless. NOT the complete 50000 + 10000.

1000 + 200 images of each class, drawn (seeded) from the official training and test set, so accuracies are below those
of the complete set.

Source: A. Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html. Licence: none stated; free for research with
citation. Cite: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.data._download import DataFile
from kilograd.data.formats.npz import read_samples
from kilograd.types import Dataset

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (3, 32, 32)
HOME = "https://www.cs.toronto.edu/~kriz/cifar.html"
FILE = "cifar10_10k_2k.npz"
FILES = (DataFile(FILE),)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def load(folder: Path) -> Dataset:
    """Read both parts, colours from 0 to 1."""
    train, test = (read_samples(folder / FILE, part, SHAPE, len(CLASSES), scale=1 / 255) for part in ("train", "test"))
    return Dataset("cifar10", train, test, CLASSES)
