# SPDX-License-Identifier: Apache-2.0
"""kilograd's own tests: pytest, then the Robot suites."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kilograd import paths
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

CHECK_FAILED = 1
TOOL_FAILED = 2  # for pytest: interrupted, or the tests could not even be collected
ROBOT_FAILED_TESTS = 250  # up to so many failed tests are the exit code itself; above is trouble of another kind


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
            robot = run_robot(checkout / "robot_tests", checkout / "build" / "robot")
            outcome.code = max(outcome.code, robot.code)
            outcome.counts += robot.counts
    return outcome


def _pytest(checkout: Path, arguments: Sequence[str], outcome: Outcome) -> int:
    try:
        import pytest  # noqa: PLC0415 - part of the test extra only
    except ImportError as error:
        message = "pytest is not installed"
        raise KilogradError(message, "pip install 'kilograd[test]'") from error
    os.chdir(checkout)
    return min(int(pytest.main(list(arguments), plugins=[outcome])), TOOL_FAILED)


def run_robot(suites: Path, out: Path) -> Outcome:
    """Run Robot suites, if there are any."""
    if not any(suites.rglob("*.robot")):
        return Outcome()
    import robot  # noqa: PLC0415 - slow to load

    code = int(robot.run(str(suites), outputdir=str(out), console="dotted", stdout=sys.stdout))
    total = robot.api.ExecutionResult(out / "output.xml").statistics.total
    counts = Counter(passed=total.passed, failed=total.failed, skipped=total.skipped)
    if code == 0:
        return Outcome(0, counts)
    return Outcome(CHECK_FAILED if code < ROBOT_FAILED_TESTS else TOOL_FAILED, counts)
