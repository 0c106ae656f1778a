# SPDX-License-Identifier: Apache-2.0
"""
Speech Commands, a small part: 852 + 411 spoken words of one second, ten commands, silence and other words.

No speaker is in both parts. A sample is the log-mel spectrogram of `formats/mel.py`: 49 moments, 40 pitches.

Source: P. Warden, Google, v0.01 and v0.02 of Speech Commands. Licence: CC BY 4.0.
Cite: Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", arXiv:1804.03209.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.data import speech_commands
from kilograd.data._download import DataFile
from kilograd.data.formats import mel
from kilograd.data.formats.npz import read_samples
from kilograd.types import Dataset, Samples

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = speech_commands.SHAPE
HOME = speech_commands.HOME
FILE = "speech_commands_mini.npz"
FILES = (DataFile(FILE),)
CLASSES = speech_commands.CLASSES


def load(folder: Path) -> Dataset:
    """Read both parts and compute their spectrograms."""
    train, test = (_heard(folder / FILE, part) for part in ("train", "test"))
    return Dataset("speech_commands_mini", train, test, CLASSES)


def _heard(path: Path, part: str) -> Samples:
    sound = read_samples(path, part, (1, 1, mel.SAMPLES), len(CLASSES), labels="y12")
    return Samples(mel.log_mel(sound.x[:, 0, 0].astype(np.int16)), sound.y)
