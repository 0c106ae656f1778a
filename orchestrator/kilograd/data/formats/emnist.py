# SPDX-License-Identifier: Apache-2.0
"""
EMNIST's archive: for each of its sets four gzipped idx-ubyte files in one zip, images with rows and columns swapped.

Both of kilograd's sets read the same file, so it is downloaded once, into the folder "emnist".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.data._download import DataFile
from kilograd.data.formats.archive import named_members
from kilograd.data.formats.idx import grey_samples, unpack

if TYPE_CHECKING:
    from pathlib import Path

    from kilograd.types import Samples

SHAPE = (1, 28, 28)
HOME = "https://www.nist.gov/itl/products-and-services/emnist-dataset"
FOLDER = "emnist"
ARCHIVE = "gzip.zip"
FILES = (DataFile(ARCHIVE, "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip", "58c8d27c78d21e728a6bc7b3cc06412e"),)


def read_samples(folder: Path, name: str, part: str, classes: int, *, first_label: int = 0) -> Samples:
    """Read one part ("train" or "test") of one set ("letters", "digits"); labels of the file begin at `first_label`."""
    path, prefix = folder / ARCHIVE, f"gzip/emnist-{name}-{part}"
    images_name, labels_name = f"{prefix}-images-idx3-ubyte.gz", f"{prefix}-labels-idx1-ubyte.gz"
    found = named_members(path, (images_name, labels_name))
    images = unpack(found[images_name], f"{path}: {images_name}", dimensions=3)
    labels = unpack(found[labels_name], f"{path}: {labels_name}", dimensions=1)
    upright, counted = images.transpose(0, 2, 1), labels.astype(int) - first_label
    return grey_samples(upright, counted, SHAPE, classes, f"{path}: {images_name}")
