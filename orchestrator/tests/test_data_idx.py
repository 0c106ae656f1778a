# SPDX-License-Identifier: Apache-2.0
"""The idx-ubyte format: files written byte by byte, and everything that can be wrong with one."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kilograd.data.formats.idx import read, read_samples
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from pathlib import Path

HEADER_1 = bytes.fromhex("00000801 00000003")
HEADER_3 = bytes.fromhex("00000803 00000002 00000002 00000003")


def images_and_labels(folder: Path, images: bytes, labels: bytes) -> None:
    """Write the two files of a set."""
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))


def test_bytes_come_out_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Two images of 2x3."""
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(HEADER_3 + bytes(range(12))))

    array = read(path, dimensions=3)

    assert array.dtype == np.uint8
    assert array.tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]


def test_samples_are_scaled_images_with_labels(tmp_path: Path) -> None:
    """0 is black, 255 is 1."""
    images_and_labels(tmp_path, HEADER_3 + bytes([0, 51, 255] * 4), bytes.fromhex("00000801 00000002 0902"))

    samples = read_samples(tmp_path, "t10k", (1, 2, 3), classes=10)

    assert samples.x[0].tolist() == [[[0, np.float32(0.2), 1]] * 2]
    assert samples.y.tolist() == [9, 2]


BROKEN = {
    "empty file": (b"", "starts with nothing"),
    "no gzip": (HEADER_1 + b"\1\2\3", "damaged gzip file"),
    "truncated gzip": (gzip.compress(HEADER_1 + b"\1\2\3")[:-9], "damaged gzip file"),
    "damaged checksum": (gzip.compress(HEADER_1 + b"\1\2\3")[:-8] + bytes(8), "damaged gzip file"),
    "empty content": (gzip.compress(b""), "not an idx-ubyte file"),
    "magic of images": (gzip.compress(HEADER_3 + bytes(12)), "starts with 00000803"),
    "floats": (gzip.compress(b"\0\0\x0d\1" + bytes(16)), "starts with 00000d01"),
    "header cut off": (gzip.compress(HEADER_1[:6]), "not an idx-ubyte file of 1 dimensions"),
    "too little data": (gzip.compress(HEADER_1 + b"\1\2"), "holds 2 bytes of data, its header promises 3"),
    "too much data": (gzip.compress(HEADER_1 + b"\1\2\3\4"), "holds 4 bytes of data, its header promises 3"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_file_is_named(case: str, tmp_path: Path) -> None:
    """One clear error with the file's path, and what to do."""
    content, reason = BROKEN[case]
    path = tmp_path / "labels.gz"
    path.write_bytes(content)

    with pytest.raises(KilogradError) as caught:
        read(path, dimensions=1)

    assert caught.value.message.startswith(f"{path}: ")
    assert reason in caught.value.message
    assert "get the data set again" in caught.value.hint


MISMATCHES = {
    "label count": (HEADER_3 + bytes(12), HEADER_1 + b"\1\2\3", "3 labels for 2 samples"),
    "label outside the classes": (HEADER_3 + bytes(12), bytes.fromhex("00000801 00000002 010a"), "label 10"),
    "image size": (
        bytes.fromhex("00000803 00000002 00000003 00000002") + bytes(12),
        bytes.fromhex("00000801 00000002 0101"),
        "samples are (1, 3, 2), expected (1, 2, 3)",
    ),
}


@pytest.mark.parametrize("case", MISMATCHES)
def test_files_that_do_not_belong_together_are_refused(case: str, tmp_path: Path) -> None:
    """Each file is whole, but not the pair."""
    images, labels, reason = MISMATCHES[case]
    images_and_labels(tmp_path, images, labels)

    with pytest.raises(KilogradError) as caught:
        read_samples(tmp_path, "t10k", (1, 2, 3), classes=10)

    assert reason in caught.value.message


def test_missing_file_is_named(tmp_path: Path) -> None:
    """The path tells which one."""
    with pytest.raises(KilogradError, match=r"t10k-images-idx3-ubyte\.gz: no such file"):
        read_samples(tmp_path, "t10k", (1, 2, 3), classes=10)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 60))
def test_no_truncated_file_passes(cut: int, tmp_path: Path) -> None:
    """Wherever an interrupted copy ends."""
    whole = gzip.compress(HEADER_3 + bytes(range(12)), mtime=0)
    path = tmp_path / "images.gz"
    path.write_bytes(whole[: min(cut, len(whole) - 1)])

    with pytest.raises(KilogradError):
        read(path, dimensions=3)
