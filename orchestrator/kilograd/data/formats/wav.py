# SPDX-License-Identifier: Apache-2.0
"""Sound files: 16-bit mono .wav."""

from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING

import numpy as np

from kilograd.data.formats.checks import AGAIN
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def sound(content: bytes, rate: int, place: str) -> NDArray[np.int16]:
    """Return the samples of a file that must have this rate; `place` is for messages."""
    try:
        with wave.open(io.BytesIO(content)) as file:
            form = (file.getnchannels(), 8 * file.getsampwidth(), file.getframerate())
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        message = f"{place}: not a .wav file, or damaged: {error}"
        raise KilogradError(message, AGAIN) from error
    if form != (1, 16, rate):
        message = f"{place}: {form[0]} channels of {form[1]} bits at {form[2]} Hz, expected 1 of 16 bits at {rate} Hz"
        raise KilogradError(message, AGAIN)
    return np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.int16)
