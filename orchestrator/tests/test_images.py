# SPDX-License-Identifier: Apache-2.0
"""Images for flashing, against the formats' own definitions and binutils."""

from __future__ import annotations

import shutil
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from builds import CHIPS, model_firmware
from kilograd import tools
from kilograd.images import Piece, boot_checksum, flash_pieces, formats, make_image, uf2
from kilograd.platforms.board import load_board

if TYPE_CHECKING:
    from pathlib import Path

needs_objcopy = pytest.mark.skipif(shutil.which("arm-none-eabi-objcopy") is None, reason="needs arm-none-eabi binutils")


def from_binutils(elf: Path, out: Path) -> dict[int, int]:
    """Return the bytes of a firmware by address, as objcopy finds them: those of its sections, without gaps."""
    tools.run(["arm-none-eabi-objcopy", "-O", "ihex", elf, out], what="objcopy")
    return parse_hex(out.read_text())


def parse_hex(text: str) -> dict[int, int]:
    """Return the bytes of an Intel HEX file by address; every checksum is tested."""
    found, upper = {}, 0
    for line in text.split():
        count, high, low, kind, *data = bytes.fromhex(line[1:])
        assert sum(bytes.fromhex(line[1:])) % 256 == 0
        if kind == 4:
            upper = int.from_bytes(data[:2], "big") << 16
        if kind == 0:
            found |= {upper + (high << 8) + low + i: byte for i, byte in enumerate(data[:count])}
    return found


@needs_objcopy
@pytest.mark.parametrize("name", CHIPS)
def test_bin_and_hex_hold_what_binutils_make_of_the_elf(
    name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What is flashed is the firmware, byte for byte."""
    board = load_board(name)
    elf = model_firmware(board, tmp_path_factory)

    image = make_image(elf, board, "bin", tmp_path / "ours.bin").read_bytes()
    ours = parse_hex(make_image(elf, board, "hex", tmp_path / "ours.hex").read_text())
    theirs = from_binutils(elf, tmp_path / "theirs.hex")

    assert theirs == {address: ours.pop(address) for address in theirs}
    assert {0} >= set(ours.values())  # gaps
    assert theirs == {address: image[address - board.flash.base] for address in theirs}


def test_uf2_holds_every_page_of_the_firmware(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The RP2040's boot loader takes blocks of its own family, numbered, with 256 bytes each."""
    board = load_board("rp2040")
    elf = model_firmware(board, tmp_path_factory)

    data = make_image(elf, board, "uf2", tmp_path / "firmware.uf2").read_bytes()
    blocks = [struct.unpack_from("<8I", data, start) for start in range(0, len(data), 512)]
    flash = b"".join(data[start + 32 : start + 288] for start in range(0, len(data), 512))

    assert all(block[:3] == (0x0A324655, 0x9E5D5157, 0x2000) for block in blocks)
    assert [(number, len(blocks)) for number in range(len(blocks))] == [block[5:7] for block in blocks]
    assert {0xE48BFF56} == {block[7] for block in blocks}
    assert [0x10000000 + 256 * number for number in range(len(blocks))] == [block[3] for block in blocks]
    assert all(data[end - 4 : end] == bytes.fromhex("306fb10a") for end in range(512, len(data) + 1, 512))
    for piece in flash_pieces(elf, board):
        first = piece.address - board.flash.base
        assert piece.data == flash[first : first + len(piece.data)]


def test_uf2_fills_pages_that_are_used_in_part() -> None:
    """A piece may begin and end anywhere."""
    data = uf2.encode([Piece(0x10000103, b"abc"), Piece(0x100003FF, b"xy")], load_board("rp2040"))

    pages = [struct.unpack_from("<4I", data, start)[3] for start in range(0, len(data), 512)]
    assert [0x10000100, 0x10000300, 0x10000400] == pages
    assert b"\0\0\0abc\0" == data[32:39]


def test_boot_checksum_is_crc_32_mpeg_2() -> None:
    """The check value of the catalogue of CRCs for this algorithm."""
    assert 0x0376E6E7 == boot_checksum(b"123456789")


def test_rp2040_boots_from_a_sealed_block(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The boot ROM runs the second stage only if the last word of 256 bytes is their checksum."""
    board = load_board("rp2040")
    first = flash_pieces(model_firmware(board, tmp_path_factory), board)[0]

    assert board.flash.base == first.address
    assert first.data[:252].rstrip(b"\0") != b""
    assert boot_checksum(first.data[:252]) == int.from_bytes(first.data[252:256], "little")


def test_imxrt1062_has_its_configuration_block_and_image_vector_table(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Offsets and values from the reference manual, chapter "System Boot"."""
    board = load_board("imxrt1062")
    data = flash_pieces(model_firmware(board, tmp_path_factory), board)[0].data

    assert b"FCFB" == data[:4]
    assert 0x56010400 == struct.unpack_from("<I", data, 4)[0]
    assert board.flash.size == struct.unpack_from("<I", data, 0x50)[0]
    assert (0x0A1804EB, 0x26043206) == struct.unpack_from("<2I", data, 0x80)
    assert (256, 4096) == struct.unpack_from("<2I", data, 0x1C0)
    header, entry, _, dcd, boot_data, own, csf, _ = struct.unpack_from("<8I", data, 0x1000)
    assert (0x432000D1, board.vector_table, 0, 0x60001000, 0) == (header, entry, dcd, own, csf)
    assert (board.flash.base, board.flash.size, 0) == struct.unpack_from("<3I", data, boot_data - board.flash.base)


def test_images_of_every_board_are_known() -> None:
    """A typing error in board.toml would show only when somebody flashes."""
    assert all(set(load_board(name).images) <= set(formats()) for name in CHIPS)


def test_failed_image_leaves_the_old_one(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing is half-written."""
    board = load_board("rp2040")
    elf = model_firmware(board, tmp_path_factory)
    path = tmp_path / "firmware.uf2"
    path.write_bytes(b"old")

    with pytest.raises(Exception, match="no boot loader that takes UF2"):
        make_image(elf, replace(board, uf2_family=None), "uf2", path)

    assert b"old" == path.read_bytes()
