# SPDX-License-Identifier: Apache-2.0
"""
Log-mel spectrograms: what a keyword spotter hears in one second of sound at 16 kHz.

49 frames of 40 ms, one every 20 ms, with a Hann window; magnitudes of a transform of 1024 points; 40 triangular
filters, equally spaced on the mel scale (1127 ln(1 + f / 700)) from 20 to 4000 Hz. Then ln(filter + 0.001), shifted
and scaled by the mean and the standard deviation of the training clips of `speech_commands_mini`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 16000
SAMPLES = RATE
FRAME, STEP, POINTS = 640, 320, 1024
FILTERS = 40
LOWEST_HZ, HIGHEST_HZ = 20.0, 4000.0
FLOOR = 0.001
MEAN, DEVIATION = -1.7, 2.4
SHAPE = (1, (SAMPLES - FRAME) // STEP + 1, FILTERS)
FULL_SCALE = 32768
AT_ONCE = 256
"""Clips for one transform: more would not be faster, but take much memory."""


def log_mel(sound: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return the spectrograms (n, *SHAPE) of sounds (n, 16000)."""
    window, filters = np.hanning(FRAME + 1)[:-1].astype(np.float32), _filters()
    result = np.empty((len(sound), *SHAPE), np.float32)
    for first in range(0, len(sound), AT_ONCE):
        clips = sound[first : first + AT_ONCE].astype(np.float32) / np.float32(FULL_SCALE)
        frames = np.lib.stride_tricks.sliding_window_view(clips, FRAME, axis=1)[:, ::STEP]
        loudness = np.abs(np.fft.rfft(frames * window, POINTS)).astype(np.float32) @ filters
        result[first : first + AT_ONCE, 0] = (np.log(loudness + FLOOR) - MEAN) / DEVIATION
    return result


def _mel(hertz: NDArray[Any]) -> NDArray[np.float64]:
    mel: NDArray[np.float64] = 1127 * np.log1p(hertz / 700)
    return mel


def _filters() -> NDArray[np.float32]:
    """Return the weight of each frequency in each filter (513, 40)."""
    lowest, highest = _mel(np.array([LOWEST_HZ, HIGHEST_HZ]))
    edges = np.linspace(lowest, highest, FILTERS + 2)
    points = _mel(np.fft.rfftfreq(POINTS, 1 / RATE))[:, None]
    rising = (points - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - points) / (edges[2:] - edges[1:-1])
    filters: NDArray[np.float32] = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    return filters
