# SPDX-License-Identifier: Apache-2.0
"""Frames on a byte stream: COBS with a CRC-32, many at a time on the way out, beside text lines on the way in."""

from __future__ import annotations

import zlib
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DELIMITER = b"\0"
CRC_BYTES = 4
FULL_BLOCK = 255
"""COBS code of a block that no zero follows; every other code stands for the zero behind its block."""
LONGEST_RUN = FULL_BLOCK - 1
LEAD_BYTES = 2
"""On the wire before a frame: its delimiter and its first COBS code."""


class DamagedFrameError(ValueError):
    """Bytes between two delimiters that are no frame."""


def encode(frame: bytes) -> bytes:
    """Return what goes on the wire for one frame (without its CRC)."""
    return encode_rows([np.frombuffer(frame, np.uint8).reshape(1, -1)])[0]


def encode_rows(columns: Sequence[NDArray[np.uint8]]) -> list[bytes]:
    """
    Encode many frames at once, because COBS byte by byte would be slower than the training it feeds.

    Args:
        columns: each (n, size): the n frames, without CRC, of one size. All have the same n.

    Returns:
        The wire bytes of every frame: row 0 of each column, row 1 of each column, ...

    """
    sizes = [column.shape[1] + LEAD_BYTES + CRC_BYTES + 1 for column in columns]
    wire = np.zeros((len(columns[0]), sum(sizes)), dtype=np.uint8)
    ends = np.cumsum(sizes)
    for column, end in zip(columns, ends, strict=True):
        _place(wire, column, int(end))
    every_end = (np.arange(len(wire))[:, None] * wire.shape[1] + ends).ravel()
    return _stuff(wire, np.concatenate((ends - sizes, ends - 1)), every_end)


def _place(wire: NDArray[np.uint8], column: NDArray[np.uint8], end: int) -> None:
    """Write the frames of one column and their CRCs in front of the delimiter at end - 1."""
    crc_start = end - 1 - CRC_BYTES
    start = crc_start - column.shape[1]
    wire[:, start:crc_start] = column
    data, width = wire.data.cast("B"), wire.shape[1]
    crcs = [zlib.crc32(data[row + start : row + crc_start]) for row in range(0, wire.size, width)]
    wire[:, crc_start : end - 1] = np.array(crcs, dtype="<u4").view(np.uint8).reshape(-1, CRC_BYTES)


def _stuff(wire: NDArray[np.uint8], delimiters: NDArray[np.int64], ends: NDArray[np.int64]) -> list[bytes]:
    """Replace every zero but the delimiters (columns) by the distance to the next, and cut at the ends."""
    flat = wire.reshape(-1)
    zeros = np.flatnonzero(flat == 0)
    gaps = np.diff(zeros)
    flat[zeros[:-1]] = np.minimum(gaps, FULL_BLOCK)
    wire[:, delimiters] = 0
    long = gaps > LONGEST_RUN
    if long.any():
        where, codes = _long_runs(zeros[:-1][long], gaps[long])
        flat = np.insert(flat, where, codes)
        ends = ends + np.searchsorted(where, ends)
    data = flat.tobytes()
    return [data[start:end] for start, end in pairwise([0, *ends.tolist()])]


def _long_runs(starts: NDArray[np.int64], gaps: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return where runs longer than a block need further codes (indices before insertion), and these codes."""
    counts = (gaps - 1) // LONGEST_RUN
    last = np.cumsum(counts) - 1
    order = np.arange(counts.sum()) - np.repeat(last - counts, counts)
    codes = np.full(len(order), FULL_BLOCK, dtype=np.uint8)
    codes[last] = gaps - LONGEST_RUN * counts
    return np.repeat(starts + 1, counts) + LONGEST_RUN * order, codes


def decode(body: bytes) -> bytes:
    """Return the frame (without its CRC) that stood between two delimiters."""
    frame = _unstuff(body)
    payload, crc = frame[:-CRC_BYTES], frame[-CRC_BYTES:]
    if len(crc) < CRC_BYTES or zlib.crc32(payload) != int.from_bytes(crc, "little"):
        message = f"the CRC of a frame of {len(frame)} bytes does not match"
        raise DamagedFrameError(message)
    return payload


def _unstuff(body: bytes) -> bytes:
    frame = bytearray()
    at, size = 0, len(body)
    while at < size:
        code = body[at]
        end = at + code
        if code == 0 or end > size:
            message = f"COBS code {code} at byte {at} of {size} points outside"
            raise DamagedFrameError(message)
        frame += body[at + 1 : end]
        if code != FULL_BLOCK and end < size:
            frame.append(0)
        at = end
    return bytes(frame)


class Splitter:
    """
    Takes a byte stream apart into frames and text lines.

    What stands between two delimiters is a frame if its CRC says so, else text if it is printable, else damage. So
    a lost or an inserted delimiter damages the frames it touches and no other.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        """Text that came between frames."""
        self.damaged = 0
        """Pieces that were neither frame nor text."""
        self._tail = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; return the frames, without CRC, that they complete."""
        *pieces, self._tail = (self._tail + data).split(DELIMITER)
        frames = []
        for piece in pieces:
            if piece:
                try:
                    frames.append(decode(piece))
                except DamagedFrameError:
                    self._take_text(piece)
        return frames

    def finish(self) -> None:
        """Keep what the ended stream left behind, such as a fault report, as text."""
        self.lines += self._tail.decode("utf-8", "backslashreplace").splitlines()
        self._tail = b""

    def _take_text(self, piece: bytes) -> None:
        text = piece.decode("utf-8", "replace")
        if "\ufffd" not in text and all(line.expandtabs().isprintable() for line in text.splitlines()):
            self.lines += text.splitlines()
        else:
            self.damaged += 1
