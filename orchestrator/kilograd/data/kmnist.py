# SPDX-License-Identifier: Apache-2.0
"""
Kuzushiji-MNIST: cursive Japanese characters, 60000 + 10000 grey images of 28x28.

Source: CODH, http://codh.rois.ac.jp/kmnist. Licence: CC BY-SA 4.0, "KMNIST Dataset" (created by CODH), adapted from
"Kuzushiji Dataset" (created by NIJL and others), doi:10.20676/00000341.
Cite: Clanuwat et al., "Deep Learning for Classical Japanese Literature", arXiv:1812.01718.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.data._download import DataFile
from kilograd.data.formats.idx import read_samples
from kilograd.types import Dataset

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (1, 28, 28)
HOME = "http://codh.rois.ac.jp/kmnist/dataset/kmnist"
FILES = tuple(
    DataFile(name, f"{HOME}/{name}", md5)
    for name, md5 in (
        ("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
        ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
        ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
        ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
    )
)
CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


def load(folder: Path) -> Dataset:
    """Read the official training and test set."""
    train = read_samples(folder, "train", SHAPE, len(CLASSES))
    test = read_samples(folder, "t10k", SHAPE, len(CLASSES))
    return Dataset("kmnist", train, test, CLASSES)
