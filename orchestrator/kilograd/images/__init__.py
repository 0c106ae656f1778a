# SPDX-License-Identifier: Apache-2.0
"""Images for flashing, made from a firmware's ELF: one file for each format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from elftools.elf.elffile import ELFFile

from kilograd import listing
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from pathlib import Path

    from kilograd.platforms.board import Board

BOOT_BYTES = 256
BOOT_CODE_BYTES = 252
CRC_POLYNOMIAL = 0x04C11DB7


@dataclass(frozen=True)
class Piece:
    """Bytes of flash that follow each other."""

    address: int
    data: bytes


def formats() -> tuple[str, ...]:
    """Return the names of all formats, which are their file endings, too."""
    return listing.names(__name__)


def make_image(elf: Path, board: Board, form: str, path: Path) -> Path:
    """Write a firmware's image in one of the formats, whole or not at all."""
    module = listing.member(__name__, "image format", form)
    data: bytes = module.encode(flash_pieces(elf, board), board)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.tmp")
    fresh.write_bytes(data)
    fresh.replace(path)
    return path


def flash_pieces(elf: Path, board: Board) -> tuple[Piece, ...]:
    """Return what a firmware puts into flash, by rising address; pieces that touch become one."""
    with elf.open("rb") as stream:
        loads = [(s["p_paddr"], s.data()) for s in ELFFile(stream).iter_segments("PT_LOAD")]
    pieces: list[Piece] = []
    for address, data in sorted((address, data) for address, data in loads if data):
        if not board.flash.base <= address <= address + len(data) <= board.flash.end:
            message = f"{elf.name}: {len(data)} bytes at {address:#010x} are outside the flash of {board.name}"
            raise KilogradError(message, f"build the firmware for {board.name}")
        if pieces and pieces[-1].address + len(pieces[-1].data) == address:
            pieces[-1] = Piece(pieces[-1].address, pieces[-1].data + data)
        else:
            pieces.append(Piece(address, data))
    return tuple(pieces)


def seal_boot_block(elf: Path, board: Board) -> None:
    """Write the checksum of the first 256 bytes of flash into the ELF, where the board's boot ROM wants one."""
    if not board.boot_checksum:
        return
    with elf.open("r+b") as stream:
        offset = next(
            segment["p_offset"] + board.flash.base - segment["p_paddr"]
            for segment in ELFFile(stream).iter_segments("PT_LOAD")
            if segment["p_paddr"] <= board.flash.base < segment["p_paddr"] + segment["p_filesz"]
        )
        stream.seek(offset)
        block = stream.read(BOOT_BYTES)
        code = block[:BOOT_CODE_BYTES]
        sealed = code + boot_checksum(code).to_bytes(4, "little")
        if block != sealed:
            stream.seek(offset)
            stream.write(sealed)


def boot_checksum(code: bytes) -> int:
    """Return the CRC-32 of the RP2040's boot ROM: most significant bit first, no inversion at the end."""
    crc = 0xFFFFFFFF
    for byte in code:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (CRC_POLYNOMIAL if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    return crc
