# SPDX-License-Identifier: Apache-2.0
"""What kilograd reads from an ELF, against the numbers of GNU binutils."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from builds import CHIPS, model_firmware
from kilograd import elf, tools
from kilograd.errors import KilogradError
from kilograd.platforms.board import load_board

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("arm-none-eabi-size") is None, reason="needs arm-none-eabi-size and -nm")


def gnu_sections(path: Path) -> dict[str, tuple[int, int]]:
    """Return size and address of each section that `size -A` lists."""
    lines = tools.run(["arm-none-eabi-size", "-A", path], what="size").splitlines()
    rows = [line.split() for line in lines if line.startswith(".")]
    unloaded = (".debug", ".comment", ".ARM.attributes")
    return {name: (int(size), int(address)) for name, size, address in rows if not name.startswith(unloaded)}


@pytest.mark.parametrize("name", CHIPS)
def test_memory_use_by_segment_equals_binutils(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The numbers that decide whether a model fits are those of an independent reader."""
    board = load_board(name)
    path = model_firmware(board, tmp_path_factory)
    size = {section: numbers[0] for section, numbers in gnu_sections(path).items()}

    use = elf.memory_use(path, board)

    assert size[".kg_features"] == use.ram.features == 256
    assert size[".kg_trained"] + size[".kg_gradients"] == use.ram.trained == 64 + 200
    assert size[".stack"] == use.ram.stack_reserved == board.stack_bytes
    assert size[".kg_weights"] + size[".kg_trained"] == use.flash.weights == 128 + 64
    assert (board.ram.size, board.flash.size) == (use.ram.limit, use.flash.limit)


@pytest.mark.parametrize("name", CHIPS)
def test_segments_add_up_to_the_end_of_each_memory(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing in a memory is counted twice or forgotten; alignment may leave gaps of a few bytes."""
    board = load_board(name)
    path = model_firmware(board, tmp_path_factory)
    sections = gnu_sections(path)
    in_ram = sum(size for size, address in sections.values() if address >= board.ram.base and address < board.ram.end)
    sections.pop(".boot", None)  # it is in the room before the vectors
    in_flash = sum(size for size, address in sections.values() if board.flash.base <= address < board.flash.end)
    loaded = sections[".kg_trained"][0] + sections[".data"][0]

    use = elf.memory_use(path, board)

    assert use.ram.features + use.ram.trained + use.ram.stack_reserved + use.ram.other == use.ram.total
    assert use.flash.weights + use.flash.code == use.flash.total
    assert in_ram <= use.ram.total < in_ram + 8 * 6
    before_vectors = board.vector_table - board.flash.base
    assert in_flash + loaded + before_vectors <= use.flash.total < in_flash + loaded + before_vectors + 8 * 6


def test_symbols_equal_binutils(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Names, addresses and sizes in fault reports and size tables are true."""
    path = model_firmware(load_board("nrf52840"), tmp_path_factory)
    rows = [line.split() for line in tools.run(["arm-none-eabi-nm", "-S", path], what="nm").splitlines()]
    expected = {(row[3], int(row[0], 16), int(row[1], 16)) for row in rows if len(row) == 4}

    found = {(symbol.name, symbol.address, symbol.size) for symbol in elf.symbols(path) if symbol.size > 0}

    assert expected == found


def test_largest_symbols_come_largest_first(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The first names of the list are those worth shrinking: the link's buffer of 1 KB leads in the smallest model."""
    path = model_firmware(load_board("nrf52840"), tmp_path_factory)

    sizes = [symbol.size for symbol in elf.largest_symbols(path, 5)]

    assert sorted(sizes, reverse=True) == sizes
    assert (elf.symbol(path, "buffer").size, ".bss") == (sizes[0], elf.symbol(path, "buffer").section)


def test_unknown_symbol_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A symbol that an engine needs and the linker dropped must not pass as address 0."""
    path = model_firmware(load_board("nrf52840"), tmp_path_factory)

    with pytest.raises(KilogradError, match="no symbol nobody"):
        elf.symbol(path, "nobody")


def test_file_that_is_no_elf_is_named(tmp_path: Path) -> None:
    """A truncated or foreign file gives one line, not a traceback."""
    path = tmp_path / "firmware.elf"
    path.write_bytes(b"not an ELF")

    with pytest.raises(KilogradError, match=r"firmware\.elf is not an ELF file"):
        elf.memory_use(path, load_board("nrf52840"))
