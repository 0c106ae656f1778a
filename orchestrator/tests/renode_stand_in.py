# SPDX-License-Identifier: Apache-2.0
"""
Stands in for Renode where it is not installed: answers as Renode 1.16 does, and has the virtual chip inside.

It knows the commands that the engine sends, in their order of need, and refuses others.
"""

from __future__ import annotations

import os
import re
import select
import socket
import sys
import tempfile
import threading
from pathlib import Path
from xmlrpc.server import SimpleXMLRPCServer

from kilograd.engines.builtin import BuiltinEngine
from kilograd.errors import KilogradError
from kilograd.platforms.board import load_board


class Machine:
    """What the commands have made so far."""

    def __init__(self) -> None:
        self.board = self.chip = self.wire = None
        self.offset = self.uart = None

    def run(self, command: str) -> str:
        """Carry out one command of the monitor."""
        for pattern, action in self.commands():
            if found := re.fullmatch(pattern, command):
                return str(action(*found.groups()) or "")
        message = f"no such command or device: {command}"
        raise ValueError(message)

    def commands(self) -> tuple:
        """Return the commands that it knows."""
        return (
            (r"emulation SetGlobalAdvanceImmediately true", lambda: None),
            (r'mach create "\w+"', lambda: None),
            (r"machine LoadPlatformDescription @(.*)\.repl", self.load_platform),
            (r'emulation CreateServerSocketTerminal (\d+) "term" false', self.listen),
            (r"connector Connect sysbus\.(\w+) term", self.connect),
            (r"sysbus LoadELF @(.*)", self.load_elf),
            (r"cpu VectorTableOffset (0x\w+)", self.set_offset),
            (r"start", self.start),
            (r"pause", lambda: None),
            (r"cpu ExecutedInstructions", lambda: f"0x{self.chip.instructions:016X}\n"),
        )

    def load_platform(self, path: str) -> None:
        """Take the board of this folder."""
        self.board = load_board(str(Path(path).parent))

    def listen(self, port: str) -> None:
        """Open the socket terminal."""
        self.wire = socket.create_server(("127.0.0.1", int(port)))

    def connect(self, uart: str) -> None:
        """Remember that the terminal is on the right UART."""
        names = [peripheral.name for peripheral in self.board.peripherals if peripheral.kind.startswith("UART.")]
        if uart not in names:
            message = f"there is no {uart}"
            raise ValueError(message)
        self.uart = uart

    def load_elf(self, path: str) -> None:
        """Put the firmware into the chip."""
        self.chip = BuiltinEngine(Path(path), self.board)

    def set_offset(self, offset: str) -> None:
        """Take the vector table's address."""
        self.offset = int(offset, 16)

    def start(self) -> None:
        """Let the firmware run; Renode would boot from 0 without an offset."""
        if self.uart is None or (self.offset or 0) != self.board.vector_table:
            message = "nothing is connected, or the vector table is elsewhere"
            raise ValueError(message)
        threading.Thread(target=self.carry, daemon=True).start()

    def carry(self) -> None:
        """Carry bytes between the socket and the chip."""
        host, _ = self.wire.accept()
        host.sendall(self.chip.read())
        while select.select([host], [], [])[0] and (data := host.recv(1 << 16)):
            self.chip.write(data)
            try:
                while True:
                    host.sendall(self.chip.read())
            except KilogradError as error:
                if "FAULT" in error.hint:
                    host.sendall(f"\n{error.hint[error.hint.index('FAULT') :]}\n".encode())


def main() -> None:
    """Serve keywords until somebody ends the process."""
    if "--version" in sys.argv:
        print("Renode v1.16.1.14652")  # noqa: T201 - as the real one does
        return
    machine = Machine()

    def run_keyword(name: str, arguments: list[str]) -> dict[str, str]:
        try:
            return {"status": "PASS", "return": machine.run(*arguments) if name == "ExecuteCommand" else ""}
        except (KilogradError, ValueError) as error:
            return {"status": "FAIL", "error": str(error)}

    server = SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False)
    server.register_function(run_keyword)
    folder = Path(tempfile.gettempdir()) / f"renode-{os.getpid()}"
    folder.mkdir()
    (folder / "robot_port").write_text(str(server.server_address[1]))
    server.serve_forever()


if __name__ == "__main__":
    main()
