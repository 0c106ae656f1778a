# SPDX-License-Identifier: Apache-2.0
"""kilograd's own tests: pytest, then the Robot suites."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kilograd import paths
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CHECK_FAILED = 1
TOOL_FAILED = 2  # for pytest: interrupted, or the tests could not even be collected
ROBOT_FAILED_TESTS = 250  # up to so many failed tests are the exit code itself; above is trouble of another kind


def run(arguments: Sequence[str]) -> int:
    """Run the tests and return the exit code; with arguments for pytest, the Robot suites are left out."""
    checkout = paths.share()
    tests = checkout / "orchestrator" / "tests"
    if not tests.is_dir():
        message = "the tests are not part of an installed kilograd"
        raise KilogradError(message, "run ./kilograd test in a checkout")
    code = _pytest(checkout, arguments)
    if arguments or code == TOOL_FAILED:
        return code
    return max(code, run_robot(checkout / "robot_tests", checkout / "build" / "robot"))


def _pytest(checkout: Path, arguments: Sequence[str]) -> int:
    try:
        import pytest  # noqa: PLC0415 - part of the test extra only
    except ImportError as error:
        message = "pytest is not installed"
        raise KilogradError(message, "pip install 'kilograd[test]'") from error
    os.chdir(checkout)
    return min(int(pytest.main(list(arguments))), TOOL_FAILED)


def run_robot(suites: Path, out: Path) -> int:
    """Run Robot suites, if there are any, and return the exit code."""
    if not any(suites.rglob("*.robot")):
        return 0
    from robot import run_cli  # noqa: PLC0415 - slow to load

    code = int(run_cli(["--outputdir", str(out), "--console", "dotted", str(suites)], exit=False))
    if code == 0:
        return 0
    return CHECK_FAILED if code < ROBOT_FAILED_TESTS else TOOL_FAILED
