# SPDX-License-Identifier: Apache-2.0
"""Renode: a functional simulator, one instruction per tick; driven over XML-RPC, its UART on a socket."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from kilograd.engines import _last_words
from kilograd.engines._renode_process import RenodeProcess
from kilograd.engines.base import EngineBase
from kilograd.errors import KilogradError
from kilograd.platforms.board import uart_of

if TYPE_CHECKING:
    from pathlib import Path

    from kilograd.platforms.board import Board

READ_BYTES = 1 << 16
REPORT_SECONDS = 0.2
MEGAHERTZ = 1e6


class RenodeEngine(EngineBase):
    """Runs a board's firmware in a Renode of its own."""

    name = "renode"
    window = 64

    def __init__(self, elf: Path, board: Board, *, time_limit_s: float = 60.0) -> None:
        self._who = f"{board.name} (Renode)"
        self._limit = time_limit_s
        self._words = _last_words.LastWords()
        self.ticks_per_instruction = board.clock_hz / MEGAHERTZ / board.mips
        self._renode = RenodeProcess()
        try:
            self._wire = self._boot(elf, board)
        except BaseException:
            self._renode.close()
            raise

    @property
    def instructions(self) -> int:
        """Return the instructions that have run since reset; the machine stands still meanwhile."""
        self._renode.execute("pause")
        text = self._renode.execute("cpu ExecutedInstructions")
        self._renode.execute("start")
        return int(text.strip(), 0)

    def write(self, data: bytes) -> None:
        """Send bytes to the firmware's UART."""
        try:
            self._wire.sendall(data)
        except OSError as error:
            raise self._gone(error) from error

    def read(self) -> bytes:
        """Return what the firmware has sent; waits for it, as many seconds as the limit says."""
        data = self._receive(self._limit)
        if not data:
            message = f"the firmware on {self._who} sent nothing for {self._limit:g} s"
            raise KilogradError(message, "it hangs, or needs a higher run.time_limit_s")
        self._words.hear(data)
        self._words.check(self._who, lambda: self._receive(REPORT_SECONDS))
        return data

    def close(self) -> None:
        """End Renode; closing it again does nothing."""
        self._wire.close()
        self._renode.close()

    def _boot(self, elf: Path, board: Board) -> socket.socket:
        """Make the machine, load the firmware, connect the UART, start."""
        port = _free_port()
        for command in (
            "emulation SetGlobalAdvanceImmediately true",
            f'mach create "{board.name}"',
            f"machine LoadPlatformDescription @{board.folder / board.name}.repl",
            f'emulation CreateServerSocketTerminal {port} "term" false',
            f"connector Connect sysbus.{uart_of(board).name} term",
            f"sysbus LoadELF @{elf.resolve()}",
            *([f"cpu VectorTableOffset {board.vector_table:#x}"] if board.vector_table else []),
        ):
            self._renode.execute(command)
        wire = socket.create_connection(("127.0.0.1", port), timeout=self._limit)
        self._renode.execute("start")
        return wire

    def _receive(self, seconds: float) -> bytes:
        self._wire.settimeout(seconds)
        try:
            data = self._wire.recv(READ_BYTES)
        except TimeoutError:
            return b""
        except OSError as error:
            raise self._gone(error) from error
        if not data:
            reason = "the connection was closed"
            raise self._gone(reason)
        return data

    def _gone(self, reason: object) -> KilogradError:
        self._words.check(self._who, lambda: b"")
        return KilogradError(f"{self._who} ended: {reason}", self._renode.last_words() or "it said nothing")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
