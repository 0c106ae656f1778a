# SPDX-License-Identifier: Apache-2.0
"""
Animals-10: about 26000 colour photographs of ten animals, the middle square of each scaled to 128x128.

There is no official split: of each class every fifth photograph, by name, is for testing. The whole set takes 5 GB of
memory.

Kaggle asks for a login and publishes no checksum: kilograd does not download it, but checks its structure.

Source: C. Alessio, https://www.kaggle.com/datasets/alessiocorrado99/animals10. Licence: GPL 2.
Cite: Alessio, "Animals-10", Kaggle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.data._download import DataFile
from kilograd.data.formats.archive import members, zip_names
from kilograd.data.formats.checks import AGAIN, checked
from kilograd.data.formats.images import cropped_pixels
from kilograd.errors import KilogradError
from kilograd.types import Dataset

if TYPE_CHECKING:
    from pathlib import Path

    from kilograd.types import Samples

SIZE = 128
SHAPE = (3, SIZE, SIZE)
HOME = "https://www.kaggle.com/datasets/alessiocorrado99/animals10"
ARCHIVE = "archive.zip"
FILES = (DataFile(ARCHIVE),)
FOLDERS = {
    "cane": "dog", "cavallo": "horse", "elefante": "elephant", "farfalla": "butterfly", "gallina": "chicken",
    "gatto": "cat", "mucca": "cow", "pecora": "sheep", "ragno": "spider", "scoiattolo": "squirrel",
}  # fmt: skip
CLASSES = tuple(FOLDERS.values())
EVERY = 5


def load(folder: Path) -> Dataset:
    """Read the photographs: raw-img/<animal in Italian>/<name>."""
    path = folder / ARCHIVE
    names = zip_names(path)
    animals = [sorted(name for name in names if name.startswith(f"raw-img/{animal}/")) for animal in FOLDERS]
    for animal, photographs in zip(FOLDERS, animals, strict=True):
        if len(photographs) < EVERY:
            message = f"{path}: {len(photographs)} photographs in raw-img/{animal}, expected {EVERY} at least"
            raise KilogradError(message, AGAIN)
    tested = {name for photographs in animals for name in photographs[::EVERY]}
    labels = {name: label for label, photographs in enumerate(animals) for name in photographs}
    trained = {name: label for name, label in labels.items() if name not in tested}
    train = _samples(path, trained)
    test = _samples(path, {name: labels[name] for name in labels if name in tested})
    return Dataset("animals10", train, test, CLASSES)


def _samples(path: Path, labels: dict[str, int]) -> Samples:
    rows = {name: row for row, name in enumerate(labels)}
    x = np.empty((len(rows), *SHAPE), np.float32)
    for name, content in members(path, rows.__contains__):
        x[rows[name]] = cropped_pixels(content, f"{path}: {name}", SIZE)
    return checked(x, np.array(list(labels.values()), np.int64), SHAPE, len(CLASSES), str(path))
