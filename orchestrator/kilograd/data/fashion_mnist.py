# SPDX-License-Identifier: Apache-2.0
"""
Fashion-MNIST: articles of clothing, 60000 + 10000 grey images of 28x28.

Source: Zalando SE, https://github.com/zalandoresearch/fashion-mnist. Licence: MIT, (c) 2017 Zalando SE.
Cite: Xiao, Rasul, Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms",
arXiv:1708.07747.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.data._download import DataFile
from kilograd.data.formats.idx import read_samples
from kilograd.types import Dataset

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (1, 28, 28)
HOME = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion"
FILES = tuple(
    DataFile(name, f"{HOME}/{name}", md5, content_md5)
    for name, md5, content_md5 in (
        ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
        ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe", "9018921c3c673c538a1fc5bad174d6f9"),
        ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79", "8181f5470baa50b63fa0f6fddb340f0a"),
        ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310", "15d484375f8d13e6eb1aabb0c3f46965"),
    )
)
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def load(folder: Path) -> Dataset:
    """Read the official training and test set."""
    train = read_samples(folder, "train", SHAPE, len(CLASSES))
    test = read_samples(folder, "t10k", SHAPE, len(CLASSES))
    return Dataset("fashion_mnist", train, test, CLASSES)
