# SPDX-License-Identifier: Apache-2.0
"""
The idx-ubyte format of MNIST and its successors, gzipped.

Big-endian: two zero bytes, 8 for unsigned bytes, the number of dimensions, each dimension in four bytes, the data.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd.data.formats.checks import AGAIN, checked
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from kilograd.types import Samples, Shape

UNSIGNED_BYTE = 8


def read_samples(folder: Path, prefix: str, shape: Shape, classes: int) -> Samples:
    """
    Read <prefix>-images-idx3-ubyte.gz and <prefix>-labels-idx1-ubyte.gz.

    Returns:
        Grey values / 255 in the given sample shape (1, height, width), and labels below `classes`.

    """
    images_path = folder / f"{prefix}-images-idx3-ubyte.gz"
    labels_path = folder / f"{prefix}-labels-idx1-ubyte.gz"
    images, labels = read(images_path, dimensions=3), read(labels_path, dimensions=1)
    return grey_samples(images, labels, shape, classes, f"{images_path}, {labels_path.name}")


def grey_samples(images: NDArray[np.uint8], labels: NDArray[Any], shape: Shape, classes: int, place: str) -> Samples:
    """Return images (n, height, width) with values / 255 and their labels."""
    x = images[:, None].astype(np.float32) / np.float32(255)
    return checked(x, labels, shape, classes, place)


def read(path: Path, *, dimensions: int) -> NDArray[np.uint8]:
    """Read an array of unsigned bytes with that many dimensions from a gzipped file."""
    try:
        packed = path.read_bytes()
    except FileNotFoundError as error:
        message = f"{path}: no such file"
        raise KilogradError(message) from error
    return unpack(packed, str(path), dimensions=dimensions)


def unpack(packed: bytes, path: str, *, dimensions: int) -> NDArray[np.uint8]:
    """Return the array in a gzipped file's content; `path` is for messages."""
    try:
        data = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        message = f"{path}: damaged gzip file: {error}"
        raise KilogradError(message, AGAIN) from error
    header = struct.calcsize(f">4B{dimensions}I")
    magic = bytes((0, 0, UNSIGNED_BYTE, dimensions))
    if data[:4] != magic or len(data) < header:
        message = (
            f"{path}: not an idx-ubyte file of {dimensions} dimensions: it starts with {data[:4].hex() or 'nothing'}"
        )
        raise KilogradError(message, f"expected {magic.hex()}; {AGAIN}")
    shape = struct.unpack_from(f">{dimensions}I", data, offset=4)
    if len(data) - header != math.prod(shape):
        message = f"{path}: holds {len(data) - header} bytes of data, its header promises {math.prod(shape)}"
        raise KilogradError(message, AGAIN)
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)
