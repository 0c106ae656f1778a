# SPDX-License-Identifier: Apache-2.0
"""UF2: blocks that a boot loader with a USB drive takes in any order (github.com/microsoft/uf2)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilograd.images import Piece
    from kilograd.platforms.board import Board

MAGIC_START, MAGIC_SECOND, MAGIC_END = 0x0A324655, 0x9E5D5157, 0x0AB16F30
FAMILY_ID_PRESENT = 0x2000
PAGE_BYTES = 256
_BLOCK = struct.Struct("<8I476sI")


def encode(pieces: Sequence[Piece], board: Board) -> bytes:
    """Return the file: whole pages of flash, with zeros where a page is not filled."""
    if board.uf2_family is None:
        message = f"{board.name} has no boot loader that takes UF2 files"
        raise KilogradError(message, f"choose one of its formats: {', '.join(board.images)}")
    pages: dict[int, bytearray] = {}
    for piece in pieces:
        for offset, byte in enumerate(piece.data, piece.address):
            page = offset - offset % PAGE_BYTES
            pages.setdefault(page, bytearray(PAGE_BYTES))[offset - page] = byte
    return b"".join(
        _BLOCK.pack(
            MAGIC_START, MAGIC_SECOND, FAMILY_ID_PRESENT, address, PAGE_BYTES, number, len(pages), board.uf2_family,
            bytes(pages[address]), MAGIC_END,
        )
        for number, address in enumerate(sorted(pages))
    )  # fmt: skip
