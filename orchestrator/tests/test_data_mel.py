# SPDX-License-Identifier: Apache-2.0
"""Log-mel spectrograms, against their definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kilograd.data.formats import mel as mel_file
from kilograd.data.formats.mel import log_mel

RATE = 16000
MOMENTS = np.arange(RATE)


def mel(hertz: float) -> float:
    """Return the pitch on the mel scale."""
    return 1127 * math.log(1 + hertz / 700)


def by_definition(sound: list[int], frame: int, pitch: int) -> float:
    """Return one value of a spectrogram, with sums instead of a fast transform."""
    edges = [mel(20) + (mel(4000) - mel(20)) * number / 41 for number in (pitch, pitch + 1, pitch + 2)]
    values = [
        value / 32768 * (0.5 - 0.5 * math.cos(2 * math.pi * n / 640))
        for n, value in enumerate(sound[320 * frame : 320 * frame + 640])
    ]
    total = 0.0
    for point in range(513):
        at = mel(point * RATE / 1024)
        weight = min((at - edges[0]) / (edges[1] - edges[0]), (edges[2] - at) / (edges[2] - edges[1]))
        if weight > 0:
            turns = [2 * math.pi * point * n / 1024 for n in range(640)]
            real = sum(value * math.cos(turn) for value, turn in zip(values, turns, strict=True))
            imaginary = sum(value * math.sin(turn) for value, turn in zip(values, turns, strict=True))
            total += weight * math.hypot(real, imaginary)
    return (math.log(total + 0.001) + 1.7) / 2.4


@pytest.mark.parametrize(("frame", "pitch"), [(0, 0), (7, 13), (48, 39)])
def test_values_follow_the_definition(frame: int, pitch: int) -> None:
    """First, last, and one between."""
    sound = np.random.default_rng(5).integers(-20000, 20000, RATE, np.int16)

    assert log_mel(sound[None])[0, 0, frame, pitch] == pytest.approx(
        by_definition(sound.tolist(), frame, pitch), abs=1e-4
    )


@pytest.mark.parametrize("hertz", [100, 440, 1000, 3500])
def test_a_tone_is_loudest_in_the_filter_around_its_pitch(hertz: int) -> None:
    """In every frame."""
    tone = (10000 * np.sin(2 * np.pi * hertz * MOMENTS / RATE)).astype(np.int16)
    expected = round((mel(hertz) - mel(20)) / ((mel(4000) - mel(20)) / 41)) - 1

    loudest = log_mel(tone[None])[0, 0].argmax(1)

    assert loudest.shape == (49,)
    assert np.abs(loudest - expected).max() <= 1


def test_silence_is_the_floor() -> None:
    """No logarithm of zero."""
    assert np.unique(log_mel(np.zeros((2, RATE), np.int16))) == pytest.approx([(math.log(0.001) + 1.7) / 2.4])


def test_many_clips_are_the_same_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are transformed in groups to save memory."""
    monkeypatch.setattr(mel_file, "AT_ONCE", 2)
    sounds = np.random.default_rng(6).integers(-99, 99, (5, RATE), np.int16)

    spectrograms = log_mel(sounds)

    assert spectrograms.dtype == np.float32
    assert spectrograms.shape == (5, 1, 49, 40)
    for sound, spectrogram in zip(sounds, spectrograms, strict=True):
        assert spectrogram == pytest.approx(log_mel(sound[None])[0], abs=1e-5)
