# SPDX-License-Identifier: Apache-2.0
"""Intel HEX: lines of at most 16 bytes with their addresses and checksums (Intel, "Hexadecimal Object File Format")."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilograd.images import Piece
    from kilograd.platforms.board import Board

LINE_BYTES = 16
DATA, END, UPPER_ADDRESS = 0, 1, 4
HALF = 1 << 16


def encode(pieces: Sequence[Piece], _: Board) -> bytes:
    """Return the file."""
    lines = [*_lines(pieces), _record(END, 0, b"")]
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def _lines(pieces: Sequence[Piece]) -> Iterator[str]:
    upper = 0
    for piece in pieces:
        address, end = piece.address, piece.address + len(piece.data)
        while address < end:
            if address // HALF != upper:
                upper = address // HALF
                yield _record(UPPER_ADDRESS, 0, upper.to_bytes(2, "big"))
            stop = min(address + LINE_BYTES - address % LINE_BYTES, end)
            yield _record(DATA, address % HALF, piece.data[address - piece.address : stop - piece.address])
            address = stop


def _record(kind: int, address: int, data: bytes) -> str:
    body = bytes([len(data), *address.to_bytes(2, "big"), kind, *data])
    return f":{body.hex().upper()}{-sum(body) & 0xFF:02X}"
