# SPDX-License-Identifier: Apache-2.0
"""
UCI HAR: what a smartphone at the waist feels, 7352 + 2947 windows of 2.56 s at 50 Hz, six activities.

Channels: acceleration without gravity (g), rotation (rad/s), acceleration with gravity (g), each in x, y, z. Windows
overlap by half. The official split: nine of the 30 people are only in the test set.

Source: UCI Machine Learning Repository, "Human Activity Recognition Using Smartphones". Licence: CC BY 4.0; the
authors' own text prohibits commercial use. Cite: Anguita, Ghio, Oneto, Parra, Reyes-Ortiz, "A Public Domain Dataset
for Human Activity Recognition Using Smartphones", ESANN 2013.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.data._download import DataFile
from kilograd.data.formats.npz import read_samples
from kilograd.types import Dataset

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (9, 1, 128)
HOME = "https://archive.ics.uci.edu/dataset/240"
FILE = "uci_har_9x128.npz"
FILES = (DataFile(FILE),)
CLASSES = ("walking", "walking upstairs", "walking downstairs", "sitting", "standing", "lying")

UNIT_PER_STEP = 1 / 4096


def load(folder: Path) -> Dataset:
    """Read both parts in g and rad/s."""
    train, test = (
        read_samples(folder / FILE, part, SHAPE, len(CLASSES), scale=UNIT_PER_STEP) for part in ("train", "test")
    )
    return Dataset("uci_har", train, test, CLASSES)
