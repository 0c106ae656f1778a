# SPDX-License-Identifier: Apache-2.0
"""A board on a serial port: a pseudo-terminal with the virtual chip behind it."""

from __future__ import annotations

import os
import select
import threading
import tty
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest

from builds import model_firmware
from kilograd.build import build_firmware
from kilograd.engines import open_engine
from kilograd.engines.builtin import BuiltinEngine
from kilograd.engines.hardware import HardwareEngine
from kilograd.errors import KilogradError
from kilograd.link.session import Session
from kilograd.paths import share
from kilograd.platforms.board import load_board

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CALL_NOTHING = 4  # of the misbehaving model's enum


def unchanged(data: bytes) -> bytes:
    """Return what was given: a good wire."""
    return data


class Wire:
    """Carries bytes between a pseudo-terminal and a virtual chip until it is cut."""

    def __init__(self, elf: Path, disturb: Callable[[bytes], bytes]) -> None:
        self._elf = elf
        self._disturb = disturb
        self._host, board = os.openpty()
        tty.setraw(board)
        self.port = os.ttyname(board)
        self._board = board
        self._cut = threading.Event()
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()

    def cut(self) -> None:
        """Take the cable out."""
        if not self._cut.is_set():
            self._cut.set()
            self._thread.join()
            os.close(self._board)
            os.close(self._host)

    def _carry(self) -> None:
        with BuiltinEngine(self._elf, load_board("nrf52840")) as chip:
            chip.read()  # the boot line, long before anybody listens
            while not self._cut.is_set():
                if not select.select([self._host], [], [], 0.02)[0]:
                    continue
                chip.write(self._disturb(os.read(self._host, 4096)))
                self._answer(chip)

    def _answer(self, chip: BuiltinEngine) -> None:
        try:
            while True:
                os.write(self._host, chip.read())
        except KilogradError as error:  # it waits for more, or has reported a fault
            if "FAULT" in error.hint:
                report = error.hint[error.hint.index("FAULT") :]
                os.write(self._host, f"\n{report}\n".encode())


@contextmanager
def wired(elf: Path, disturb: Callable[[bytes], bytes] = unchanged) -> Iterator[Wire]:
    """Return a wire that is cut in the end."""
    wire = Wire(elf, disturb)
    try:
        yield wire
    finally:
        wire.cut()


@pytest.fixture
def elf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the firmware of the smallest model."""
    return model_firmware(load_board("nrf52840"), tmp_path_factory)


def test_session_over_a_serial_port_is_that_of_the_chip(elf: Path) -> None:
    """The host need not know whether a chip is real."""
    board = load_board("nrf52840")
    with wired(elf) as wire, open_engine("hardware", elf, board, port=wire.port) as real:
        over_the_wire = Session(real)
        state = over_the_wire.read_state()
        profile = over_the_wire.profile()
        hello = over_the_wire.hello
    with BuiltinEngine(elf, board) as chip:
        direct = Session(chip)

        assert direct.hello == hello
        assert direct.read_state() == state
        assert len(direct.profile().cycles) == len(profile.cycles)


def test_request_that_is_damaged_on_the_wire_is_sent_again(elf: Path) -> None:
    """Real wires have noise."""
    frames = 0

    def noise(data: bytes) -> bytes:
        nonlocal frames
        frames += 1
        return bytes([*data[:-3], data[-3] ^ 0x10, *data[-2:]]) if frames == 2 else data

    with wired(elf, noise) as wire, HardwareEngine(elf, load_board("nrf52840"), port=wire.port) as real:
        session = Session(real)
        session.read_state()

        assert 1 == session.repeated


def test_port_that_vanishes_is_named(elf: Path) -> None:
    """A cable is pulled out more often than a chip fails."""
    with wired(elf) as wire, HardwareEngine(elf, load_board("nrf52840"), port=wire.port, time_limit_s=2) as real:
        session = Session(real)
        wire.cut()

        with pytest.raises(KilogradError) as caught:
            session.read_state()

    assert f"the serial port {wire.port} is gone" in caught.value.message
    assert "connect nrf52840 again" in caught.value.hint


def test_silent_board_is_given_up(elf: Path) -> None:
    """A board without the firmware says nothing."""
    with (
        wired(elf, lambda _: b"") as wire,
        HardwareEngine(elf, load_board("nrf52840"), port=wire.port, time_limit_s=0.3) as real,
        pytest.raises(KilogradError, match="was lost twice: nothing came back in time"),
    ):
        Session(real)


def test_fault_report_of_a_real_board_reaches_the_user(tmp_path: Path) -> None:
    """The handler on the chip is the only one who knows."""
    board = load_board("nrf52840")
    misbehaving = build_firmware([share() / "firmware" / "tests" / "misbehaving_model.c"], board, tmp_path)
    with wired(misbehaving) as wire, HardwareEngine(misbehaving, board, port=wire.port) as real:
        session = Session(real)

        with pytest.raises(KilogradError, match=f"fault on nrf52840 at {wire.port}: HardFault") as caught:
            session.evaluate(np.zeros((1, 4), np.uint8), np.array([CALL_NOTHING]))

    assert "pc=0x" in caught.value.hint


def test_port_that_does_not_exist_is_refused(elf: Path) -> None:
    """The message names the ports there are."""
    with pytest.raises(KilogradError, match="/dev/nothing cannot be opened") as caught:
        HardwareEngine(elf, load_board("nrf52840"), port="/dev/nothing")

    assert "serial ports here" in caught.value.hint
