# SPDX-License-Identifier: Apache-2.0
"""A child process whose stdin and stdout are the firmware's UART."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
from typing import IO, TYPE_CHECKING, cast

from kilograd.engines import _last_words
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

READ_BYTES = 1 << 16
STDERR_BYTES = 4096
"""Of what the process said last, shown when it dies."""


class Pipes:
    """Runs a command; it ends with `close`, and by itself when this process does."""

    def __init__(self, command: Sequence[str | Path], who: str, way_out: str) -> None:
        """
        Start the command.

        Args:
            command: the program and its arguments.
            who: what to call it in messages.
            way_out: the hint where it cannot be started.

        """
        self._who = who
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the pipes
        self.words = _last_words.LastWords()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the program that kilograd has built or found
                [str(part) for part in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
            )
        except OSError as error:
            self._errors.close()
            message = f"{who} cannot be started: {error.strerror} ({command[0]})"
            raise KilogradError(message, way_out) from error
        self._stdin = cast("IO[bytes]", self._process.stdin)
        self._stdout = cast("IO[bytes]", self._process.stdout)
        self._input, self._output = self._stdin.fileno(), self._stdout.fileno()
        os.set_blocking(self._input, False)
        self._received: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send bytes; takes in what the process answers meanwhile, so that neither waits for the other."""
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

    def read(self, seconds: float | None = None) -> bytes:
        """Return what the process has sent; waits for it, but not longer than that: then nothing."""
        if self._received:
            data = b"".join(self._received)
            self._received = []
            return data
        if seconds is not None and not select.select([self._output], [], [], seconds)[0]:
            return b""
        return self._read_output()

    def close(self) -> None:
        """End the process; closing it again does nothing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._stdin, self._stdout, self._errors):
            stream.close()

    def _read_output(self) -> bytes:
        data = os.read(self._output, READ_BYTES)
        if not data:
            raise self._death()
        self.words.hear(data)
        return data

    def _death(self) -> KilogradError:
        """Say how the process ended; its last words are the hint, or those of the firmware's fault handler."""
        code = self._process.wait()
        self.words.check(self._who, lambda: b"")
        self._errors.seek(0)
        words = self._errors.read().decode("utf-8", "replace")[-STDERR_BYTES:].strip()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return KilogradError(f"{self._who} ended ({how})", words or "it said nothing")
