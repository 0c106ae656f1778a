# SPDX-License-Identifier: Apache-2.0
"""The boards that kilograd brings, and boards of one's own."""

from __future__ import annotations

import shutil
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from kilograd.engines import _native
from kilograd.engines.builtin import STUB, ready_bits
from kilograd.errors import KilogradError
from kilograd.platforms.board import boards, load_board

if TYPE_CHECKING:
    from pathlib import Path

KB = 1024


# From the data sheets: core, clock in MHz, flash (base, KB), RAM (base, KB), vector table.
@pytest.mark.parametrize(
    ("name", "core", "mhz", "flash", "ram", "vectors"),
    [
        ("nrf52840", "cortex-m4", 64, (0, 1024), (0x20000000, 256), 0),
        ("rp2040", "cortex-m0plus", 133, (0x10000000, 16384), (0x20000000, 264), 0x10000100),
        ("stm32l4r5", "cortex-m4", 120, (0x08000000, 2048), (0x20000000, 640), 0x08000000),
        ("imxrt1062", "cortex-m7", 600, (0x60000000, 16384), (0x20000000, 512), 0x60002000),
    ],
)
def test_boards_have_the_memory_of_their_data_sheets(
    name: str, core: str, mhz: int, flash: tuple[int, int], ram: tuple[int, int], vectors: int
) -> None:
    """Everything about memory is derived from these numbers."""
    board = load_board(name)

    assert (core, mhz * 1_000_000) == (board.core, board.clock_hz)
    assert flash == (board.flash.base, board.flash.size // KB)
    assert ram == (board.ram.base, board.ram.size // KB)
    assert vectors == board.vector_table
    assert (board.flash.kind, board.ram.kind) == ("flash", "ram")
    assert board.flash.executable
    assert not board.ram.executable


@pytest.mark.parametrize("name", boards())
def test_no_two_blocks_of_a_board_overlap(name: str) -> None:
    """An overlap would be mapped wrongly without a word."""
    board = load_board(name)
    blocks = [(base, memory.size) for memory in board.memories for base in (memory.base, *memory.aliases)]
    blocks += [(peripheral.base, peripheral.size) for peripheral in board.peripherals]

    blocks.sort()

    assert all(base + size <= after for (base, size), (after, _) in pairwise(blocks))


@pytest.mark.parametrize("name", boards())
def test_every_peripheral_of_a_board_has_a_model(name: str) -> None:
    """A board that kilograd brings must run."""
    for peripheral in load_board(name).peripherals:
        stub = ready_bits(peripheral) is not None
        model = peripheral.name if peripheral.kind == STUB else peripheral.kind

        assert stub or model in _native.models()


@pytest.mark.parametrize("name", boards())
def test_stub_scripts_do_in_python_what_the_virtual_chip_does(name: str) -> None:
    """Renode runs the script, the virtual chip reads its table of ready bits: both must mean the same."""

    class Request:
        IsInit = IsRead = IsWrite = False
        Offset = Value = 0

    for peripheral in load_board(name).peripherals:
        ready = ready_bits(peripheral)
        if ready is None:
            continue
        script = compile(str(peripheral.properties["script"]), peripheral.name, "exec")
        scope: dict[str, object] = {}
        for kind, offset, value in [("IsInit", 0, 0), ("IsWrite", 0x20, 0x55)]:
            request = Request()
            setattr(request, kind, True)
            request.Offset, request.Value = offset, value
            exec(script, scope | {"request": request}, scope)  # noqa: S102 - a board file of ours
        for offset in (*ready, 0x20, 0x24):
            request = Request()
            request.IsRead, request.Offset = True, offset
            exec(script, scope | {"request": request}, scope)  # noqa: S102

            assert (0x55 if offset == 0x20 else 0) | ready.get(offset, 0) == request.Value


def test_the_active_current_is_above_the_idle_current() -> None:
    """Energy above idle would else be negative."""
    for name in boards():
        board = load_board(name)
        if board.active_ma is None:
            continue

        assert 0 < board.idle_ma < board.active_ma


def test_an_unknown_board_lists_the_known_ones() -> None:
    """A typing error in a board's name must be easy to correct."""
    with pytest.raises(KilogradError) as caught:
        load_board("nrf52")

    assert "nrf52" in caught.value.message
    assert ", ".join(boards()) in caught.value.hint


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Make a board of one's own: a renamed copy."""
    folder = tmp_path / "mine"
    shutil.copytree(load_board("nrf52840").folder, folder)
    (folder / "nrf52840.repl").rename(folder / "mine.repl")
    return folder


def test_a_folder_of_ones_own_is_a_board(own: Path) -> None:
    """New boards need no change to kilograd."""
    board = load_board(str(own))

    assert (board.name, board.folder) == ("mine", own)
    assert load_board("nrf52840").memories == board.memories


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("clock_hz", "clock", "clock_hz: Field required"),
        ('core = "cortex-m4"', 'core = "cortex-m3"', "core: Input should be 'cortex-m0plus'"),
        ("stack_bytes = 2048", "stack_bytes = 2048\ncolour = 1", "colour: Extra inputs"),
        ('ram = "ram"', 'ram = "sram"', "memory 'sram' is not in mine.repl"),
        ("[power]", "[power", "Expected"),
    ],
)
def test_mistakes_in_a_board_file_are_named(own: Path, before: str, after: str, message: str) -> None:
    """Unknown keys, wrong values and missing memories are errors that name the key."""
    file = own / "board.toml"
    file.write_text(file.read_text(encoding="utf-8").replace(before, after, 1), encoding="utf-8")

    with pytest.raises(KilogradError) as caught:
        load_board(str(own))

    assert message in caught.value.message
    assert "mine" in caught.value.message


def test_a_board_without_its_repl_says_so(own: Path) -> None:
    """Half a board is a common mistake."""
    (own / "mine.repl").unlink()

    with pytest.raises(KilogradError, match=r"mine\.repl is missing"):
        load_board(str(own))
