# SPDX-License-Identifier: Apache-2.0
"""The host twin: the firmware built for this machine, as a child process on two pipes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
from typing import IO, TYPE_CHECKING, cast

from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from kilograd.engines.base import StepCount

READ_BYTES = 1 << 16
STDERR_BYTES = 4096
"""Of what the twin said last, shown when it dies."""


class HostEngine:
    """Runs the twin; it ends with `close`, and by itself when this process does."""

    name = "host"
    window = 64
    needs_board = False

    def __init__(self, executable: Path) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the engine
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the program that kilograd has built
                [str(executable.resolve())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
            )
        except OSError as error:
            self._errors.close()
            message = f"the host twin {executable} cannot be started: {error.strerror}"
            raise KilogradError(message, "build it again") from error
        self._stdin = cast("IO[bytes]", self._process.stdin)
        self._stdout = cast("IO[bytes]", self._process.stdout)
        self._input, self._output = self._stdin.fileno(), self._stdout.fileno()
        os.set_blocking(self._input, False)
        self._received: list[bytes] = []

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
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._input, rest) :]
            except BlockingIOError:
                readable, _, _ = select.select([self._output], [self._input], [])
                if readable:
                    self._received.append(self._read_output())
            except BrokenPipeError:
                raise self._death() from None

    def read(self) -> bytes:
        """Return what the twin has sent; waits for it."""
        if self._received:
            data = b"".join(self._received)
            self._received = []
            return data
        return self._read_output()

    def step_counts(self) -> dict[int, StepCount]:
        """Return nothing: only a core has cycles."""
        return {}

    def reset_counts(self) -> None:
        """Do nothing: there are no counts."""

    def close(self) -> None:
        """End the twin; closing it again does nothing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._stdin, self._stdout, self._errors):
            stream.close()

    def _read_output(self) -> bytes:
        data = os.read(self._output, READ_BYTES)
        if not data:
            raise self._death()
        return data

    def _death(self) -> KilogradError:
        """Say how the twin ended; its last words are the hint."""
        code = self._process.wait()
        self._errors.seek(0)
        words = self._errors.read().decode("utf-8", "replace")[-STDERR_BYTES:].strip()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return KilogradError(f"the host twin ended ({how})", words or "it said nothing")
