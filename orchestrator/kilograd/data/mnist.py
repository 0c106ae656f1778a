# SPDX-License-Identifier: Apache-2.0
"""
MNIST: handwritten digits, 60000 + 10000 grey images of 28x28.

Source: Y. LeCun, C. Cortes, C. Burges, http://yann.lecun.com/exdb/mnist. Licence: CC BY-SA 3.0.
Cite: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 86(11),
1998.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.data._download import DataFile
from kilograd.data.formats.idx import read_samples
from kilograd.types import Dataset

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (1, 28, 28)
HOME = "https://ossci-datasets.s3.amazonaws.com/mnist"
FILES = tuple(
    DataFile(name, f"{HOME}/{name}", md5, content_md5)
    for name, md5, content_md5 in (
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
        ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
        ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
        ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
    )
)
CLASSES = tuple("0123456789")


def load(folder: Path) -> Dataset:
    """Read the official training and test set."""
    train = read_samples(folder, "train", SHAPE, len(CLASSES))
    test = read_samples(folder, "t10k", SHAPE, len(CLASSES))
    return Dataset("mnist", train, test, CLASSES)
