# SPDX-License-Identifier: Apache-2.0
"""The host twin: the firmware built for this machine, as a child process on two pipes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.engines._pipes import Pipes

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from kilograd.engines.base import StepCount


class HostEngine:
    """Runs the twin; it ends with `close`, and by itself when this process does."""

    name = "host"
    window = 64
    needs_board = False
    ticks_per_instruction: float | None = None

    def __init__(self, executable: Path) -> None:
        self._pipes = Pipes([executable.resolve()], "the host twin", "build it again")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, data: bytes) -> None:
        """Send bytes; takes in what the twin answers meanwhile, so that neither waits for the other."""
        self._pipes.write(data)

    def read(self) -> bytes:
        """Return what the twin has sent; waits for it."""
        return self._pipes.read()

    def step_counts(self) -> dict[int, StepCount]:
        """Return nothing: only a core has cycles."""
        return {}

    def reset_counts(self) -> None:
        """Do nothing: there are no counts."""

    def close(self) -> None:
        """End the twin; closing it again does nothing."""
        self._pipes.close()
