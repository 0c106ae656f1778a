# SPDX-License-Identifier: Apache-2.0
"""
CWRU bearing faults: 6313 + 2699 windows of 512 accelerations, a normal bearing and nine faults.

The drive-end sensor at 12 kHz, loads of 0 to 3 HP. Of each record the first 70 % is for training, the rest for testing;
no two windows share a sample. A value is the acceleration divided by 0.34 g, the standard deviation of the training
windows, so that most values lie within -1..1; the strongest shock is at 19.6.

Source: Case Western Reserve University Bearing Data Center. Licence: none stated; public download, credit requested.
Cite: CWRU Bearing Data Center; Smith, Randall, "Rolling element bearing diagnostics using the Case Western Reserve
University data", MSSP 64-65, 2015; in the form of numpy: Rigas et al., Sensors 24(16), doi:10.3390/s24165310.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.data._download import DataFile
from kilograd.data.formats.npz import read_samples
from kilograd.types import Dataset

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (1, 1, 512)
HOME = "https://engineering.case.edu/bearingdatacenter"
FILE = "cwru_de12k_w512.npz"
FILES = (DataFile(FILE),)
CLASSES = (
    "normal",
    *(f"{part} {size} mil" for part in ("ball", "inner race", "outer race") for size in (7, 14, 21)),
)

G_PER_STEP = 1 / 4800
DEVIATION_G = 0.34


def load(folder: Path) -> Dataset:
    """Read both parts."""
    train, test = (
        read_samples(folder / FILE, part, SHAPE, len(CLASSES), scale=G_PER_STEP / DEVIATION_G)
        for part in ("train", "test")
    )
    return Dataset("cwru", train, test, CLASSES)
