# SPDX-License-Identifier: Apache-2.0
"""
Kuzushiji-MNIST, test set only: 10000 grey images of cursive Japanese, split 8000 / 2000. NOT the official split.

The 10000 images of the official test set (the release of January 2019, in the order of kmnist-test-imgs.npz), split
by class with the indices of split_8k_2k.npz: accuracies do not compare with those of the official 60000 / 10000.

Source: CODH, http://codh.rois.ac.jp/kmnist. Licence: CC BY-SA 4.0, "KMNIST Dataset" (created by CODH), adapted from
"Kuzushiji Dataset" (created by NIJL and others), doi:10.20676/00000341.
Cite: Clanuwat et al., "Deep Learning for Classical Japanese Literature", arXiv:1812.01718.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.data import kmnist
from kilograd.data._download import DataFile
from kilograd.data.formats import npz
from kilograd.data.formats.checks import AGAIN
from kilograd.data.formats.idx import read_samples
from kilograd.errors import KilogradError
from kilograd.types import Dataset, Samples

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SHAPE = kmnist.SHAPE
HOME = "http://codh.rois.ac.jp/kmnist"
FOLDER = "kmnist"
SPLIT = "split_8k_2k.npz"
FILES = (DataFile("t10k-images-idx3-ubyte.gz"), DataFile("t10k-labels-idx1-ubyte.gz"), DataFile(SPLIT))
CLASSES = kmnist.CLASSES


def load(folder: Path) -> Dataset:
    """Read the test set and split it."""
    samples = read_samples(folder, "t10k", SHAPE, len(CLASSES))
    train, test = (_indices(folder / SPLIT, key, len(samples)) for key in ("train_index", "test_index"))
    return Dataset(
        "kmnist_test_split",
        Samples(samples.x[train], samples.y[train]),
        Samples(samples.x[test], samples.y[test]),
        CLASSES,
    )


def _indices(path: Path, key: str, count: int) -> NDArray[np.intp]:
    (stored,) = npz.read(path, key)
    indices: NDArray[np.intp] = stored.astype(np.intp)
    if indices.ndim != 1 or indices.min(initial=0) < 0 or indices.max(initial=0) >= count:
        message = f"{path}: {key} points outside the {count} images"
        raise KilogradError(message, AGAIN)
    return indices
