# SPDX-License-Identifier: Apache-2.0
"""Image files, read with Pillow: an optional package, because the sets that come with kilograd need none."""

from __future__ import annotations

import importlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd.data.formats.checks import AGAIN
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

GREY = ("1", "L", "LA", "La")
COLOUR = ("P", "RGB", "RGBA", "RGBa", "RGBX", "PA", "CMYK", "YCbCr", "HSV", "LAB")


def pillow(part: str) -> ModuleType:
    """Import a module of Pillow."""
    try:
        return importlib.import_module(f"PIL.{part}")
    except ImportError as error:
        message = "image files need the package Pillow"
        raise KilogradError(message, "pip install 'kilograd[images]', or pip install pillow") from error


def pixels(content: bytes, place: str, *, hint: str = AGAIN) -> NDArray[np.float32]:
    """Return the image as it is, from 0 to 1: (1, height, width) if it is grey, else (3, height, width)."""
    image = _opened(content, place, hint)
    if image.mode not in (*GREY, *COLOUR):
        message = f"{place}: pixels of the kind {image.mode} are not supported"
        raise KilogradError(message, "save it with 8 bits for each colour")
    return _array(image.convert("L" if image.mode in GREY else "RGB"))


def cropped_pixels(content: bytes, place: str, size: int) -> NDArray[np.float32]:
    """Return the middle of the image, scaled (bilinear) to (3, size, size), from 0 to 1."""
    image = _opened(content, place, AGAIN).convert("RGB")
    return _array(pillow("ImageOps").fit(image, (size, size), method=pillow("Image").Resampling.BILINEAR))


def _opened(content: bytes, place: str, hint: str) -> Any:  # noqa: ANN401 - Pillow may be absent, and its types too
    module = pillow("Image")
    try:
        image = module.open(io.BytesIO(content))
        image.load()
    except (OSError, ValueError, SyntaxError, module.DecompressionBombError) as error:
        message = f"{place}: not an image, or damaged: {error}"
        raise KilogradError(message, hint) from error
    return image


def _array(image: Any) -> NDArray[np.float32]:  # noqa: ANN401 - the same
    array = np.asarray(image, np.uint8)
    planes = array[None] if array.ndim == len(("height", "width")) else array.transpose(2, 0, 1)
    return planes.astype(np.float32) / np.float32(255)
