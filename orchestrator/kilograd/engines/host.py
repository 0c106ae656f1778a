# SPDX-License-Identifier: Apache-2.0
"""The host twin: the firmware built for this machine, as a child process on two pipes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.engines._pipes import Pipes
from kilograd.engines.base import EngineBase

if TYPE_CHECKING:
    from pathlib import Path


class HostEngine(EngineBase):
    """Runs the twin; it ends with `close`, and by itself when this process does."""

    name = "host"
    window = 64
    needs_board = False

    def __init__(self, executable: Path) -> None:
        self._pipes = Pipes([executable.resolve()], "the host twin", "build it again")

    def write(self, data: bytes) -> None:
        """Send bytes; takes in what the twin answers meanwhile, so that neither waits for the other."""
        self._pipes.write(data)

    def read(self) -> bytes:
        """Return what the twin has sent; waits for it."""
        return self._pipes.read()

    def close(self) -> None:
        """End the twin; closing it again does nothing."""
        self._pipes.close()
