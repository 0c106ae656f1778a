# SPDX-License-Identifier: Apache-2.0
"""The core's clock: memories with a clock of their own cost fewer cycles of a slower core, and no bit changes."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

import pytest

from builds import MODEL
from chip.programs import assemble
from kilograd import measure
from kilograd.build import build_firmware
from kilograd.engines.builtin import BuiltinEngine
from kilograd.errors import KilogradError
from kilograd.link.session import Session
from kilograd.lower import Settings, lower
from kilograd.platforms.board import boards, load_board, with_clock
from kilograd.schedule import train
from kilograd.zoo import build_model
from workshop import digits, steps, workshop

if TYPE_CHECKING:
    from pathlib import Path

    from command_line import Cli
    from kilograd.platforms.board import Board

FAST, SLOW_HZ = load_board("imxrt1062"), 528_000_000
SLOW = with_clock(FAST, SLOW_HZ)
SAMPLES = 16


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


def test_a_slower_core_waits_fewer_cycles_and_computes_the_same(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same training at two clocks: all bits agree, cycles fall, the time of a sample grows."""
    shop = workshop(tmp_path_factory)
    graph, settings = build_model("digits_cnn", seed=1, classes=10), Settings("uint8", "best", layers=2)
    lowered = lower(graph, settings, digits(SAMPLES)[0].x, FAST.core, shop.kernels, shop.root / "clocks")
    states, cycles, times = [], [], []
    for board in (FAST, SLOW):
        elf = build_firmware([lowered.source], board, shop.root / f"clocks-{board.clock_hz}")
        with BuiltinEngine(elf, board) as chip:
            session = Session(chip)
            session.reset_profile()
            train(session, digits(SAMPLES)[0], lowered.program.input_format, steps(SAMPLES, 8), lambda _: None)
            phases = measure.cycles_by_phase(lowered.program, session.profile().cycles, SAMPLES)
            states.append(session.read_state())
        cycles.append(phases.total)
        times.append(measure.time_ms(board, phases) or 0.0)

    assert states[0] == states[1]
    assert cycles[0] > cycles[1]
    assert times[0] < times[1]


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


def test_ports_set_the_slowest_clock_that_their_board_names(tmp_path: Path) -> None:
    """The port's own checks of its dividers pass at both ends of the range."""
    for name in boards():
        board = load_board(name)
        if board.clock_range is not None:
            assert build_firmware([MODEL], with_clock(board, board.clock_range.least_hz), tmp_path / name).is_file()


def test_renode_keeps_the_clock_of_its_platform(cli: Cli) -> None:
    """Its platform description names one clock, and its counters follow that."""
    told = cli.fails("run", "digits", "--engine", "renode", "--board", "rp2040", "--set", "run.clock_hz=63000000")

    assert "run.clock_hz: Renode runs a board at the clock in its .repl" in told
