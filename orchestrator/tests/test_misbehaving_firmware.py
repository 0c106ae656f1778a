# SPDX-License-Identifier: Apache-2.0
"""Firmware that hangs or faults on the virtual chip: it is stopped, and the message tells where and how."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from builds import CHIPS
from command_line import QUICK, own_board
from kilograd import paths
from kilograd.build import build_firmware
from kilograd.engines import open_engine
from kilograd.errors import KilogradError
from kilograd.link.session import Session
from kilograd.platforms.board import load_board

if TYPE_CHECKING:
    from pathlib import Path

    from command_line import Cli

ALL_BOARDS = pytest.mark.parametrize("name", CHIPS)
MISBEHAVING = paths.share() / "firmware" / "tests" / "misbehaving_model.c"
_elves: dict[str, Path] = {}


def misbehave(name: str, what: int, temporary: pytest.TempPathFactory) -> KilogradError:
    """Run firmware/tests/misbehaving_model.c on a board; `what` is of its enum."""
    board = load_board(name)
    if name not in _elves:
        _elves[name] = build_firmware([MISBEHAVING], board, temporary.mktemp(f"misbehaving-{name}"))
    with open_engine("builtin", _elves[name], board, time_limit_s=0.05) as chip:
        session = Session(chip)
        x = np.zeros((1, 4), np.uint8)
        assert session.evaluate(x, np.array([0])).losses.shape == (1,)
        with pytest.raises(KilogradError) as caught:
            session.evaluate(x, np.array([what]))
    return caught.value


def place_of(function: str) -> str:
    """Return file and line of the offence, as a report names them."""
    lines = MISBEHAVING.read_text(encoding="utf-8").splitlines()
    (number,) = [number for number, line in enumerate(lines, start=1) if f"// line: {function}" in line]
    return rf"{function}(\+0x[0-9a-f]+)? \({MISBEHAVING.name}:{number}\)"


@ALL_BOARDS
@pytest.mark.parametrize(
    ("what", "function", "message"),
    [
        (1, "loop_forever", "sent nothing for 0.05 s of its time"),
        (2, "stand_still", "has halted"),
    ],
)
def test_a_firmware_that_hangs_is_stopped_and_named(
    name: str, what: int, function: str, message: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The limit is of the chip's own time, so it does not depend on the machine; the hint says where it hangs."""
    error = misbehave(name, what, tmp_path_factory)

    assert error.message == f"the firmware on {name} {message}"
    assert re.search(place_of(function), error.hint)


@ALL_BOARDS
@pytest.mark.parametrize(
    ("what", "function", "message"),
    [
        (3, "write_to_flash", r"write of 4 bytes to 0x[0-9a-f]{8} \(read-only memory\)"),
        (4, "call_nothing", r"(execution of 0x00000000|branch to an even address) .*"),
        (
            5,
            "overflow_stack",
            r"stack overflow: access to 0x1fff[0-9a-f]{4}, below .*: [\d,]+ bytes deep, 2,048 are there",
        ),
    ],
)
def test_a_firmware_that_faults_reports_registers_symbol_and_line(
    name: str, what: int, function: str, message: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What a debugger would show, and what the firmware's own handler prints on a real board."""
    error = misbehave(name, what, tmp_path_factory)

    assert re.fullmatch(f"fault on {name}: {message}", error.message)
    assert re.search(rf"^(at  |from) {function}", error.hint, re.MULTILINE)
    assert what == 5 or re.search(place_of(function), error.hint)
    registers = dict(re.findall(r"\b(r\d+|sp|lr|pc|xpsr) ([0-9a-f]{8})\b", error.hint))
    assert list(registers) == [*(f"r{number}" for number in range(13)), "sp", "lr", "pc", "xpsr"]
    assert "the firmware's fault handler said:\nFAULT HardFault" in error.hint
    assert what != 4 or registers["pc"] == "00000000"


def test_a_run_past_its_time_limit_fails(cli: Cli) -> None:
    """The limit is in the experiment; the message says what it was, and where the firmware was."""
    told = cli.fails("run", "digits", *QUICK, "--board", "nrf52840", "--set", "run.time_limit_s=0.001")

    assert "the firmware on nrf52840 sent nothing for 0.001 s of its time" in told
    assert re.search(r"it is at \w+\S* \(\w+\.[ch]:\d+\); it hangs, or needs a higher time limit", told)


def test_a_run_whose_firmware_faults_fails(cli: Cli) -> None:
    """A board whose stack is far too small."""
    small = own_board(cli.place.here / "small", **{"stack_bytes = .*": "stack_bytes = 64"})

    told = cli.fails("run", "digits", *QUICK, "--board", str(small))

    assert "error: fault on small: stack overflow" in told
    assert re.search(r"^ +r0 [0-9a-f]{8} ", told, re.MULTILINE)
