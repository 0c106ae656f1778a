# SPDX-License-Identifier: Apache-2.0
"""The one place that starts other programs."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TAIL_LINES = 40


def find(program: str, hint: str) -> str:
    """Return the path of a program, or say how to get it."""
    path = shutil.which(program)
    if path is None:
        message = f"{program} was not found"
        raise KilogradError(message, hint)
    return path


def run(
    arguments: Sequence[str | Path],
    *,
    what: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end and return its output; `what` names the work in the error message."""
    done = subprocess.run(  # noqa: S603 - the arguments are ours, never a shell's
        [str(argument) for argument in arguments],
        cwd=cwd,
        env=env,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-TAIL_LINES:])
        message = f"{what} failed (exit code {done.returncode})"
        raise KilogradError(message, tail)
    return done.stdout
