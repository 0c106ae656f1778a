# SPDX-License-Identifier: Apache-2.0
"""The core's clock: a slower core waits fewer cycles for memories with a clock of their own."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

import pytest

from chip.programs import assemble
from kilograd.engines.builtin import BuiltinEngine
from kilograd.errors import KilogradError
from kilograd.platforms.board import boards, load_board, with_clock

if TYPE_CHECKING:
    from pathlib import Path

    from command_line import Cli
    from kilograd.platforms.board import Board

FAST, SLOW_HZ = load_board("imxrt1062"), 528_000_000
SLOW = with_clock(FAST, SLOW_HZ)


def waits(elf: Path, board: Board) -> int:
    """Return the cycles that a program waits for memories."""
    cycles = []
    for ideal_memory in (False, True):
        with BuiltinEngine(elf, board, ideal_memory=ideal_memory) as chip:
            assert "has halted" in chip.advance(10_000_000)
            cycles.append(chip.cycles)
    return cycles[0] - cycles[1]


@pytest.mark.parametrize("core_hz", [SLOW_HZ, FAST.clock_hz])
def test_a_line_of_flexspi_takes_its_own_clocks(core_hz: int, tmp_path: Path) -> None:
    """A loop that loads each line of 4 KB in a row: 84 clocks of 133 MHz for the first, 64 for all that follow it."""
    body = (
        "ldr r0, =0xE000ED14\nldr r1, =0x30000\nstr r1, [r0]\ndsb\nisb\n"  # caches on
        "ldr r0, ={base}\nb 3f\n.ltorg\n3: movs r1, #128\n1: ldr r2, [r0]\nadds r0, #32\nsubs r1, #1\nbne 1b\n"
        "\n.pushsection .rodata\n.balign 4096\ntable: .space 4096\n.balign 4096\n.popsection\n"
    )
    board = with_clock(FAST, core_hz)
    flash, ram = (
        waits(assemble(body.format(base=base), "imxrt1062", tmp_path), board) for base in ("table", "0x20000124")
    )

    first, following = (ceil(Fraction(clocks * core_hz, 133_000_000)) for clocks in (84, 64))
    assert first + 127 * following == flash - ram


def test_without_a_clock_of_their_own_memories_follow_the_core() -> None:
    """The RP2040's serial flash runs at half the core's clock, whatever that is."""
    fast = load_board("rp2040")
    slow = with_clock(fast, 63_000_000)

    for board in (fast, slow):
        cache = board.lines["xip_cache"]
        assert 112 == cache.core_cycles(cache.fill, board.clock_hz)


def test_the_default_clock_is_the_fastest_and_changes_nothing() -> None:
    """Only another clock takes the currents away: they were measured at the fastest."""
    assert all(with_clock(load_board(name), None) == load_board(name) for name in boards())
    assert with_clock(FAST, FAST.clock_hz) == FAST
    assert SLOW == replace(FAST, clock_hz=SLOW_HZ, active_ma=None, idle_ma=None)


@pytest.mark.parametrize(
    ("name", "hz", "hint"),
    [
        ("nrf52840", 32_000_000, "it has one clock: 64,000,000 Hz"),
        ("imxrt1062", 606_000_000, "it can at 528,000,000 to 600,000,000 Hz in steps of 6,000,000 Hz"),
        ("imxrt1062", 522_000_000, "it can at 528,000,000 to 600,000,000 Hz"),
        ("rp2040", 100_500_000, "in steps of 1,000,000 Hz"),
    ],
)
def test_a_clock_that_a_board_cannot_have_is_an_error(name: str, hz: int, hint: str) -> None:
    """Too fast, too slow, between two steps; each with what is possible."""
    with pytest.raises(KilogradError, match=f"run.clock_hz: {name} cannot run at") as caught:
        with_clock(load_board(name), hz)

    assert hint in caught.value.hint


def test_renode_keeps_the_clock_of_its_platform(cli: Cli) -> None:
    """Its platform description names one clock, and its counters follow that."""
    told = cli.fails("run", "digits", "--engine", "renode", "--board", "rp2040", "--set", "run.clock_hz=63000000")

    assert "run.clock_hz: Renode runs a board at the clock in its .repl" in told
