# SPDX-License-Identifier: Apache-2.0
"""Hot code in RAM: copied at boot, faster where flash is slow, counted where it lies, and no other RAM runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from builds import MODEL
from kilograd import elf
from kilograd.build import TooLargeError, build_firmware
from kilograd.engines.builtin import BuiltinEngine
from kilograd.errors import KilogradError
from kilograd.platforms.board import load_board, with_code_in
from placed import Placed, place, trained

if TYPE_CHECKING:
    from pathlib import Path

    from command_line import Cli

SLOW = load_board("rp2040")
FAST = with_code_in(SLOW, "ram")


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Placed:
    """Build a model for a board whose flash is slow."""
    return place(SLOW, FAST, tmp_path_factory)


def test_code_in_ram_waits_for_nothing_and_computes_the_same(placed: Placed) -> None:
    """The RP2040 reads flash over four wires: what is left of its waits are constants that stay there."""
    slow_state, slow, slow_work = trained(placed.lowered, placed.flash, SLOW)
    fast_state, fast, fast_work = trained(placed.lowered, placed.ram, FAST)

    assert slow_state == fast_state
    assert fast.total < slow.total
    # A jump between flash and RAM is too far for one instruction; there are few.
    assert fast_work.total == pytest.approx(slow_work.total, rel=0.01)


def test_code_in_the_ram_of_a_cortex_m4_loses_to_cached_flash(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Its fetches share the bus with data; nothing else about it changes."""
    board = load_board("nrf52840")
    busy = with_code_in(board, "ram")
    ours = place(board, busy, tmp_path_factory)

    flash_state, flash, flash_work = trained(ours.lowered, ours.flash, board)
    ram_state, ram, ram_work = trained(ours.lowered, ours.ram, busy)

    assert flash_state == ram_state
    assert ram_work.total == pytest.approx(flash_work.total, rel=0.01)
    assert flash.total < ram.total < 1.5 * flash.total


def test_code_is_counted_in_ram_and_as_an_image_in_flash(placed: Placed) -> None:
    """Kernels and runtime lie in RAM, what starts them in flash; the sizes are those of the ELF's symbols."""
    inside = [symbol for symbol in elf.functions(placed.ram) if symbol.section == ".kg_code"]
    outside = {symbol.name for symbol in elf.functions(placed.ram)} - {symbol.name for symbol in inside}

    use, before = (elf.memory_use(path, board) for path, board in ((placed.ram, FAST), (placed.flash, SLOW)))

    assert {"kg_reset_entry", "kg_fault_entry", "kg_port_read"} <= outside
    assert {"kg_trainer_lap", "main"} <= {symbol.name for symbol in inside}
    assert all(FAST.ram.base <= symbol.address < FAST.ram.end for symbol in inside)
    sizes = {symbol.address: symbol.size for symbol in inside}  # libgcc has several names for one function
    assert sum(sizes.values()) <= use.ram.code < use.ram.total
    assert 0 == before.ram.code
    assert before.ram.total + use.ram.code <= use.ram.total < before.ram.total + use.ram.code + elf.PAGE
    assert before.flash.total == pytest.approx(use.flash.total, rel=0.1)


def test_only_pages_with_code_can_be_executed(placed: Placed) -> None:
    """A jump into data is as wrong as before."""
    with BuiltinEngine(placed.ram, FAST) as chip:
        parts = chip._pieces(FAST.ram)

    assert [False, True, False] == [part.executable for part in parts]
    assert (FAST.ram.base, FAST.ram.end) == (parts[0].base, parts[-1].end)
    assert [part.end for part in parts[:-1]] == [part.base for part in parts[1:]]
    assert elf.symbol(placed.ram, "kg_trainer_lap").address in range(parts[1].base, parts[1].end)


def test_ram_that_code_does_not_fit_into_is_an_error_with_numbers(tmp_path: Path) -> None:
    """The limit of RAM holds for code, too."""
    small = replace(FAST, ram=replace(FAST.ram, size=0x2000))

    with pytest.raises(TooLargeError, match=r"RAM: [\d,]+ bytes needed, 8,192 available"):
        build_firmware([MODEL], small, tmp_path)


def test_board_without_such_ram_says_which_have_it(cli: Cli) -> None:
    """QEMU's boards have no cycles that could differ."""
    told = cli.fails("plan", "digits", "--board", "mps2_an386", "--set", "run.code=ram")

    assert "run.code: mps2_an386 cannot run code from ram" in told
    assert "it has: flash; boards with ram: nrf52840, rp2040, stm32l4r5" in told


def test_wrong_place_lists_the_right_ones() -> None:
    """Only what a board's file names."""
    with pytest.raises(KilogradError, match="cannot run code from moon"):
        with_code_in(SLOW, "moon")
