# SPDX-License-Identifier: Apache-2.0
"""kilograd's own tests: pytest, then the Robot suites."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kilograd import console, paths, suites
from kilograd.errors import KilogradError
from kilograd.platforms.board import load_board

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

CHECK_FAILED = 1
TOOL_FAILED = 2  # for pytest: interrupted, or the tests could not even be collected


@dataclass
class Outcome:
    """How a test run ended: its exit code, and how many tests passed, failed, were skipped."""

    code: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one phase of a test, as a plugin of pytest: its call, or a set-up that went wrong."""
        if report.when == "call" or not report.passed:
            self.counts[report.outcome] += 1


def run(arguments: Sequence[str], *, quiet_stdout: bool = False) -> Outcome:
    """
    Run the tests; with arguments for pytest, the Robot suites are left out.

    Args:
        arguments: for pytest.
        quiet_stdout: whether what the tests print goes to stderr.

    """
    checkout = paths.share()
    tests = checkout / "orchestrator" / "tests"
    if not tests.is_dir():
        message = "the tests are not part of an installed kilograd"
        raise KilogradError(message, "run ./kilograd test in a checkout")
    outcome = Outcome()
    with contextlib.redirect_stdout(sys.stderr) if quiet_stdout else contextlib.nullcontext():
        outcome.code = _pytest(checkout, arguments, outcome)
        if not arguments and outcome.code != TOOL_FAILED:
            _robot(outcome, checkout / "build" / "robot")
    return outcome


def _pytest(checkout: Path, arguments: Sequence[str], outcome: Outcome) -> int:
    try:
        import pytest  # noqa: PLC0415 - part of the test extra only
    except ImportError as error:
        message = "pytest is not installed"
        raise KilogradError(message, "pip install 'kilograd[test]'") from error
    os.chdir(checkout)
    return min(int(pytest.main(list(arguments), plugins=[outcome])), TOOL_FAILED)


def _robot(outcome: Outcome, out: Path) -> None:
    """Run the quick Robot suites: boards that QEMU knows on QEMU if it is there, the others on the virtual chip."""
    say = console.progress(quiet=False)
    cells = [cell for cell in suites.matrix([], [], say) if cell.engine != "builtin" or not _qemu_knows(cell.board)]
    for cell in cells:
        result = suites.run_cell(cell, "digits", out, quick=True, progress=say)
        outcome.counts += result.counts
        for failure in result.failures:
            outcome.code = max(outcome.code, CHECK_FAILED)
            say.note(f"FAILED {failure.test} ({cell.name} on {cell.engine}): {failure.message}")
    suites.combine(cells, out)


def _qemu_knows(board: str) -> bool:
    return load_board(board).qemu_machine is not None
