# SPDX-License-Identifier: Apache-2.0
"""
Handwritten digits, 8x8 pixels: the set that comes with scikit-learn, so that nothing needs a network.

Source: UCI Machine Learning Repository, "Optical Recognition of Handwritten Digits" (the test part, 1797 images),
as bundled with scikit-learn. Licence: CC BY 4.0. Cite: E. Alpaydin, C. Kaynak, 1998, doi:10.24432/C50P49.
Split: of each class every fourth image, from the first on, is for testing (450), the others for training (1347).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.datasets import load_digits

from kilograd.types import Dataset, Samples

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (1, 8, 8)
HOME = "https://scikit-learn.org"
FILES = ()

WHITE = 16
EVERY = 4


def load(_: Path) -> Dataset:
    """Return the digits with pixels from 0 to 1; they need no folder."""
    pixels, labels = load_digits(return_X_y=True)
    x = (pixels / WHITE).astype(np.float32).reshape(-1, *SHAPE)
    y = labels.astype(np.int64)
    testing = np.zeros(len(y), np.bool_)
    testing[np.argsort(y, kind="stable")[::EVERY]] = True
    train, test = Samples(x[~testing], y[~testing]), Samples(x[testing], y[testing])
    return Dataset("digits", train, test, tuple("0123456789"))
