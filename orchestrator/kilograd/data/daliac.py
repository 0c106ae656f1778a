# SPDX-License-Identifier: Apache-2.0
"""
DaLiAc: 13 daily activities of 19 people, felt by four sensors (acceleration and rotation), windows of 5 s at 204.8 Hz.

A window is 1024 moments of one activity, windows do not overlap; what is left at the end of an activity is dropped. The
last four people are only in the test set (there is no official split). The sensors' units differ, so each of the 24
channels is shifted and scaled by its mean and standard deviation in the training windows.

No checksum is published, and the archive's address has changed: kilograd does not download it, but checks its
structure.

Source: Machine Learning and Data Analytics Lab, FAU Erlangen-Nuremberg. Licence: none stated; citation requested.
Cite: Leutheuser, Schuldhaus, Eskofier, "Hierarchical, Multi-Sensor Based Classification of Daily Life Activities",
PLoS ONE 8(10), 2013, doi:10.1371/journal.pone.0075196.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from kilograd.data._download import DataFile
from kilograd.data.formats.archive import members
from kilograd.data.formats.checks import AGAIN, checked
from kilograd.errors import KilogradError
from kilograd.types import Dataset, Samples

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WINDOW = 1024
SHAPE = (24, 1, WINDOW)
HOME = "https://www.mad.tf.fau.de/research/activitynet/daliac-daily-life-activities"
ARCHIVE = "daliac.zip"
FILES = (DataFile(ARCHIVE),)
CLASSES = (
    "sitting", "lying", "standing", "washing dishes", "vacuuming", "sweeping", "walking", "ascending stairs",
    "descending stairs", "treadmill running", "bicycling 50 W", "bicycling 100 W", "rope jumping",
)  # fmt: skip

PEOPLE = 19
TESTED = (16, 17, 18, 19)


def load(folder: Path) -> Dataset:
    """Read the recordings, one file per person: 24 columns of values, and the activity from 1 on."""
    path = folder / ARCHIVE
    names = {f"dataset_{person}.txt": person for person in range(1, PEOPLE + 1)}
    recordings = {
        names[name.rpartition("/")[2]]: _windows(content, f"{path}: {name}")
        for name, content in members(path, lambda name: name.rpartition("/")[2] in names)
    }
    missing = [name for name, person in names.items() if person not in recordings]
    if missing:
        message = f"{path}: {missing[0]} is not inside"
        raise KilogradError(message, AGAIN)
    train = _joined([part for person, part in recordings.items() if person not in TESTED])
    test = _joined([part for person, part in recordings.items() if person in TESTED])
    mean, deviation = train.x.mean((0, 2, 3), keepdims=True), train.x.std((0, 2, 3), keepdims=True)
    train, test = (Samples((part.x - mean) / np.maximum(deviation, 1e-6), part.y) for part in (train, test))
    return Dataset("daliac", train, test, CLASSES)


def _windows(content: bytes, place: str) -> Samples:
    try:
        table = np.loadtxt(io.BytesIO(content), np.float32, delimiter=",", ndmin=2)
    except ValueError as error:
        message = f"{place}: {error}"
        raise KilogradError(message, AGAIN) from error
    if table.shape[1] != SHAPE[0] + 1 or not np.isfinite(table).all():
        message = f"{place}: {table.shape[1]} columns, or values that are no numbers; expected {SHAPE[0] + 1} columns"
        raise KilogradError(message, AGAIN)
    activity = table[:, -1].astype(np.int64) - 1
    changes = np.flatnonzero(np.diff(activity)) + 1
    starts = [
        start
        for first, end in zip([0, *changes], [*changes, len(table)], strict=True)
        for start in range(first, end - WINDOW + 1, WINDOW)
    ]
    x = [table[start : start + WINDOW, :-1].T[:, None] for start in starts]
    return checked(_stacked(x), activity[starts], SHAPE, len(CLASSES), place)


def _stacked(windows: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.stack(windows) if windows else np.empty((0, *SHAPE), np.float32)


def _joined(parts: list[Samples]) -> Samples:
    return Samples(np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts]))
