# SPDX-License-Identifier: Apache-2.0
"""Where `kilograd` and `python -m kilograd` start: settles exit codes and shows errors without tracebacks."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from typer import TyperException

from kilograd import cli, console
from kilograd.errors import KilogradError

TOOL_FAILED = 2
INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 fine, 1 a check failed, 2 the work could not be done."""
    arguments = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    _find_own_programs()
    try:
        return _run([argument for argument in arguments if argument != cli.DEBUG])
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last place that can turn it into words
        if cli.DEBUG in arguments:
            traceback.print_exc()
        console.show_error(_for_people(error))
        return error.exit_code if isinstance(error, KilogradError) else TOOL_FAILED


def _run(arguments: list[str]) -> int:
    code = cli.command().main(args=arguments, prog_name="kilograd", standalone_mode=False)
    if code == INTERRUPTED:
        console.for_people().print("interrupted")
    return code if isinstance(code, int) else 0


def _find_own_programs() -> None:
    """Let cmake, ninja and compilers that were installed beside this Python be found without activating it."""
    folder = str(Path(sys.executable).parent)
    search = os.environ.get("PATH", os.defpath).split(os.pathsep)
    if folder not in search:
        os.environ["PATH"] = os.pathsep.join([folder, *search])


def _for_people(error: Exception) -> KilogradError:
    if isinstance(error, KilogradError):
        return error
    if isinstance(error, TyperException):
        message = error.format_message()
        return KilogradError(message.rstrip("."), cli.usage_hint(error))
    message = f"{type(error).__name__}: {error}"
    return KilogradError(message, "this is a defect of kilograd; --debug shows where it happened")


if __name__ == "__main__":
    sys.exit(main())
