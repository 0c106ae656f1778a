# SPDX-License-Identifier: Apache-2.0
"""
Speech Commands v0.02: spoken words of one second, ten commands, silence and other words.

A sample is the log-mel spectrogram of `formats/mel.py`: 49 moments, 40 pitches. The archive's testing_list.txt is the
test set, everything else (the validation list too) trains. Of the 25 other words every 25th clip is taken, chosen by
a hash of its name, so that "unknown" has about as many clips as a command. Silence is cut from the recordings of
background noise, one clip each half second: the first 80 % of a recording trains, the rest tests.

Source: P. Warden, Google, http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz. Licence: CC BY 4.0.
Cite: Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", arXiv:1804.03209.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from kilograd.data._download import DataFile
from kilograd.data.formats import mel
from kilograd.data.formats.archive import members
from kilograd.data.formats.checks import AGAIN, checked
from kilograd.data.formats.wav import sound
from kilograd.errors import KilogradError
from kilograd.types import Dataset

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from kilograd.types import Samples

SHAPE = mel.SHAPE
HOME = "https://www.tensorflow.org/datasets/catalog/speech_commands"
ARCHIVE = "speech_commands_v0.02.tar.gz"
FILES = (
    DataFile(
        ARCHIVE,
        f"http://download.tensorflow.org/data/{ARCHIVE}",
        sha256="af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    ),
)
COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
CLASSES = (*COMMANDS, "silence", "unknown")
SILENCE, UNKNOWN = CLASSES.index("silence"), CLASSES.index("unknown")

NOISE = "_background_noise_"
TEST_LIST = "testing_list.txt"
OTHER_WORDS = 25
TRAINED_NOISE = 0.8

Clip = tuple[bool, int, "NDArray[np.float32]"]
"""Whether it is for testing, its label, its spectrogram."""


def load(folder: Path) -> Dataset:
    """Read the archive and compute the spectrograms."""
    path = folder / ARCHIVE
    tested = {content.decode("utf-8", "replace") for _, content in members(path, TEST_LIST.__eq__)}
    if not tested:
        message = f"{path}: {TEST_LIST} is not inside"
        raise KilogradError(message, AGAIN)
    clips = list(_clips(path, frozenset(tested.pop().split())))
    train, test = (_samples([clip for clip in clips if clip[0] is for_test], path) for for_test in (False, True))
    return Dataset("speech_commands", train, test, CLASSES)


def _clips(path: Path, tested: frozenset[str]) -> Iterator[Clip]:
    for name, content in members(path, _is_wanted):
        word, heard = name.partition("/")[0], sound(content, mel.RATE, f"{path}: {name}")
        if word == NOISE:
            yield from _silence(heard)
        else:
            yield name in tested, COMMANDS.index(word) if word in COMMANDS else UNKNOWN, _seen(heard)


def _is_wanted(name: str) -> bool:
    word = name.partition("/")[0]
    if not name.endswith(".wav") or word in (*COMMANDS, NOISE):
        return name.endswith(".wav")
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % OTHER_WORDS == 0


def _silence(noise: NDArray[np.int16]) -> Iterator[Clip]:
    border = int(TRAINED_NOISE * len(noise))
    for for_test, part in ((False, noise[:border]), (True, noise[border:])):
        for first in range(0, len(part) - mel.SAMPLES + 1, mel.SAMPLES // 2):
            yield for_test, SILENCE, _seen(part[first : first + mel.SAMPLES])


def _seen(heard: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return the spectrogram of one second; a shorter clip is filled with zeros."""
    second = np.zeros((1, mel.SAMPLES), np.int16)
    second[0, : len(heard)] = heard[: mel.SAMPLES]
    seen: NDArray[np.float32] = mel.log_mel(second)[0]
    return seen


def _samples(clips: list[Clip], path: Path) -> Samples:
    x = np.array([seen for _, _, seen in clips], np.float32).reshape(-1, *SHAPE)
    y = np.array([label for _, label, _ in clips], np.int64)
    return checked(x, y, SHAPE, len(CLASSES), str(path))
