# SPDX-License-Identifier: Apache-2.0
"""The bytes from the start of flash to the last one that is used; gaps are 0xFF, as erased flash is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilograd.images import Piece
    from kilograd.platforms.board import Board

ERASED = b"\xff"


def encode(pieces: Sequence[Piece], board: Board) -> bytes:
    """Return the file."""
    image = b""
    for piece in pieces:
        image = image.ljust(piece.address - board.flash.base, ERASED) + piece.data
    return image
