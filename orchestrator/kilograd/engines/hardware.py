# SPDX-License-Identifier: Apache-2.0
"""A real board on a serial port, flashed before with `kilograd flash`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kilograd.engines import _last_words
from kilograd.engines.base import EngineBase
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from pathlib import Path

    from kilograd.platforms.board import Board

BAUD = 115_200
QUIET_SECONDS = 0.1
"""Without a byte for so long, a frame is over."""
REPORT_SECONDS = 0.2


class HardwareEngine(EngineBase):
    """Talks to a board; what it has learned stays there when the engine closes."""

    name = "hardware"
    window = 1
    needs_port = True

    def __init__(self, elf: Path, board: Board, *, time_limit_s: float = 60.0, port: str | None = None) -> None:
        import serial  # noqa: PLC0415 - only a real board needs it

        del elf  # it is on the board already
        self._board = board
        self._limit = time_limit_s
        self._port = port or _only_port()
        self._words = _last_words.LastWords()
        self._lost = (serial.SerialException, OSError)
        try:
            self._serial = serial.Serial(self._port, BAUD, timeout=QUIET_SECONDS, write_timeout=time_limit_s)
        except self._lost as error:
            message = f"the serial port {self._port} cannot be opened: {error}"
            raise KilogradError(
                message, f"serial ports here: {_ports()}; you may need rights (group dialout)"
            ) from error
        self._serial.reset_input_buffer()

    def write(self, data: bytes) -> None:
        """Send bytes over the wire."""
        try:
            self._serial.write(data)
        except self._lost as error:
            raise self._gone(error) from error

    def read(self) -> bytes:
        """Return what the board has sent; a board that says nothing for as long as the limit has lost something."""
        end = time.monotonic() + self._limit
        while time.monotonic() < end:
            if data := self._receive():
                self._words.hear(data)
                self._words.check(f"{self._board.name} at {self._port}", self._receive)
                return data
        raise TimeoutError

    def close(self) -> None:
        """Leave the port."""
        self._serial.close()

    def _receive(self) -> bytes:
        try:
            return bytes(self._serial.read(max(self._serial.in_waiting, 1)))
        except self._lost as error:
            raise self._gone(error) from error

    def _gone(self, error: Exception) -> KilogradError:
        message = f"the serial port {self._port} is gone: {error}"
        return KilogradError(message, f"connect {self._board.name} again; what it has learned is lost with its power")


def _ports() -> str:
    from serial.tools import list_ports  # noqa: PLC0415 - only a real board needs it

    return ", ".join(sorted(port.device for port in list_ports.comports())) or "none"


def _only_port() -> str:
    """Return the serial port, where there is just one with a USB device behind it."""
    from serial.tools import list_ports  # noqa: PLC0415 - only a real board needs it

    usb = [port.device for port in list_ports.comports() if port.vid is not None]
    if len(usb) == 1:
        return str(usb[0])
    message = "which serial port is the board on?"
    raise KilogradError(message, f"give --port; serial ports here: {_ports()}")
