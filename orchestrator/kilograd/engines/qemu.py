# SPDX-License-Identifier: Apache-2.0
"""QEMU's MPS2 boards: another implementation of the cores, which counts instructions (-icount) and has no cycles."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kilograd import tools
from kilograd.engines._pipes import Pipes
from kilograd.engines.base import EngineBase
from kilograd.errors import KilogradError
from kilograd.platforms import board as platforms

if TYPE_CHECKING:
    from pathlib import Path

    from kilograd.platforms.board import Board

PROGRAM = "qemu-system-arm"
INSTALL = f"install it: apt-get install {PROGRAM}; or put it on the PATH"
OLDEST = (6, 0)
INSTRUCTION_SHIFT = 10
"""One instruction takes 2^10 ns of virtual time: the largest that QEMU takes, for the finest count."""
NANOSECONDS = 1e9
REPORT_SECONDS = 0.2
"""How long the lines of a fault report may be apart."""


class QemuEngine(EngineBase):
    """Runs a board's firmware in a QEMU of its own."""

    name = "qemu"
    window = 64

    def __init__(self, elf: Path, board: Board, *, time_limit_s: float = 60.0) -> None:
        self._limit = time_limit_s
        self._who = f"{board.name} (QEMU)"
        self.ticks_per_instruction = 2**INSTRUCTION_SHIFT * board.clock_hz / NANOSECONDS
        self._pipes = Pipes(
            [
                _program(),
                *("-M", _machine(board), "-nodefaults", "-nographic", "-monitor", "none", "-serial", "stdio"),
                *("-icount", f"shift={INSTRUCTION_SHIFT},align=off,sleep=off", "-kernel", elf),
            ],
            self._who,
            INSTALL,
        )

    def write(self, data: bytes) -> None:
        """Send bytes to the firmware's UART."""
        self._pipes.write(data)

    def read(self) -> bytes:
        """Return what the firmware has sent; waits for it, as many seconds as the limit says."""
        data = self._pipes.read(self._limit)
        if not data:
            message = f"the firmware on {self._who} sent nothing for {self._limit:g} s"
            raise KilogradError(message, "it hangs, or needs a higher run.time_limit_s")
        self._pipes.words.check(self._who, lambda: self._pipes.read(REPORT_SECONDS))
        return data

    def close(self) -> None:
        """End QEMU; closing it again does nothing."""
        self._pipes.close()


def _machine(board: Board) -> str:
    if board.qemu_machine is not None:
        return board.qemu_machine
    known = [name for name in platforms.boards() if platforms.load_board(name).qemu_machine]
    message = f"QEMU does not know the board {board.name}"
    raise KilogradError(message, f"boards for QEMU: {', '.join(known)}; or use --engine builtin")


def _program() -> str:
    """Return QEMU's path, or say how to get one that is new enough."""
    program = tools.find(PROGRAM, INSTALL)
    text = tools.run([program, "--version"], what=f"asking {PROGRAM} for its version")
    found = re.search(r"version (\d+)\.(\d+)", text)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    if version < OLDEST:
        wanted, first = ".".join(map(str, OLDEST)), text.splitlines()[0] if text else "nothing"
        message = f"{program} is too old, or no QEMU: it says {first!r}"
        raise KilogradError(message, f"kilograd needs version {wanted} or newer; {INSTALL}")
    return program
