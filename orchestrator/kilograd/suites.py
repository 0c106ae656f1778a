# SPDX-License-Identifier: Apache-2.0
"""The Robot suites: the same tests for every board, on every engine that runs it."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilograd import paths, tools
from kilograd.engines import engine_names, qemu
from kilograd.engines._renode_process import find_renode
from kilograd.errors import KilogradError
from kilograd.platforms.board import boards, load_board

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from kilograd.console import Progress
    from kilograd.platforms.board import Board

ENGINES = ("builtin", "qemu", "renode")
"""Those that a matrix can hold: the host twin is no board, and a real board is one."""
KINDS = ("passed", "failed", "skipped")
SLOW = "slow"
ROBOT_FAILED_TESTS = 250  # up to so many failed tests are the exit code itself; above is trouble of another kind


@dataclass(frozen=True)
class Cell:
    """One board on one engine."""

    board: str
    """Its name, or its folder."""
    name: str
    engine: str


@dataclass(frozen=True)
class Failure:
    """A test that failed, and why."""

    test: str
    message: str


@dataclass(frozen=True)
class Result:
    """How the suites ended."""

    counts: Counter[str]
    """Tests by kind."""
    failures: tuple[Failure, ...]


def matrix(chosen: Sequence[str], engines: Sequence[str], progress: Progress) -> list[Cell]:
    """
    Return every chosen board on every chosen engine that runs it.

    Args:
        chosen: names or folders of boards; none: all that kilograd brings.
        engines: names; none: all that are installed, each for the boards that it knows.
        progress: is told what is left out.

    """
    for engine in engines:
        if engine not in ENGINES:
            what = "cannot run the suites" if engine in engine_names() else "is no engine"
            message = f"{engine} {what}"
            raise KilogradError(message, f"engines: {', '.join(ENGINES)}")
    loaded = [(name, load_board(name)) for name in chosen or boards()]
    cells = []
    for engine in engines or ENGINES:
        if not engines and not _installed(engine, progress):
            continue
        cells += [Cell(name, board.name, engine) for name, board in loaded if _runs(engine, board)]
    if not cells:
        message = f"{' and '.join(engines or ENGINES)} cannot run {', '.join(board.name for _, board in loaded)}"
        known = [name for name in boards() if any(_runs(engine, load_board(name)) for engine in engines or ENGINES)]
        raise KilogradError(message, f"boards there: {', '.join(known)}")
    return cells


def _runs(engine: str, board: Board) -> bool:
    """Tell whether an engine knows a board: Renode has other ways than QEMU's boards to be tried."""
    if engine == "qemu":
        return board.qemu_machine is not None
    return engine == "builtin" or board.qemu_machine is None


def _installed(engine: str, progress: Progress) -> bool:
    try:
        if engine == "qemu":
            tools.find(qemu.PROGRAM, qemu.INSTALL)
        elif engine == "renode":
            find_renode()
    except KilogradError as error:
        progress.note(f"without {engine}: {error.message}")
        return False
    return True


def run_cell(cell: Cell, experiment: str, out: Path, *, quick: bool, progress: Progress) -> Result:
    """
    Run all suites for one board on one engine.

    Args:
        cell: which.
        experiment: whose model is trained.
        out: folder of the matrix: Robot's files go into one of the cell, firmware into one for all.
        quick: leave out what is slow.
        progress: is told about every test.

    """
    suites = folder()
    variables = {
        "BOARD": cell.board,
        "ENGINE": cell.engine,
        "EXPERIMENT": experiment,
        "FIRMWARE": str(out / "firmware"),
    }
    with progress.task(f"{cell.name} on {cell.engine}", _tests_in(suites, quick=quick)) as task:
        return run_robot(
            suites,
            out / f"{cell.engine}-{cell.name}",
            name=f"{cell.name} on {cell.engine}",
            variables=variables,
            exclude=[SLOW] if quick else [],
            advance=task.advance,
        )


def folder() -> Path:
    """Return where the suites are: in a checkout only."""
    suites = paths.share() / "robot_tests"
    if not suites.is_dir():
        message = "the Robot suites are not part of an installed kilograd"
        raise KilogradError(message, "run ./kilograd robot in a checkout")
    return suites


class _Watch:
    """Tells of every test that ends, as a listener of Robot."""

    ROBOT_LISTENER_API_VERSION = 3

    def __init__(self, advance: Callable[[int], None]) -> None:
        self._advance = advance

    def end_test(self, data: object, result: object) -> None:  # noqa: ARG002 - Robot's signature
        """Count one."""
        self._advance(1)


def run_robot(
    suites: Path,
    out: Path,
    *,
    name: str | None = None,
    variables: Mapping[str, str] | None = None,
    exclude: Iterable[str] = (),
    advance: Callable[[int], None] = lambda _: None,
) -> Result:
    """Run a folder of suites in this process; what Robot makes goes to `out`."""
    from robot.run import run  # noqa: PLC0415 - slow to load

    code = run(
        str(suites),
        name=name,
        outputdir=str(out),
        variable=[f"{key}:{value}" for key, value in (variables or {}).items()],
        exclude=list(exclude),
        listener=_Watch(advance),
        console="none",
        stdout=sys.stderr,
    )
    if code > ROBOT_FAILED_TESTS:
        message = f"Robot could not run {suites.name} (exit code {code})"
        raise KilogradError(message, "what it says is above")
    return _read(out / "output.xml")


def _read(output: Path) -> Result:
    from robot.api import ExecutionResult  # noqa: PLC0415 - slow to load

    suite = ExecutionResult(output).suite
    total = suite.statistics
    failures = tuple(Failure(test.name, test.message) for test in suite.all_tests if test.failed)
    return Result(Counter({kind: getattr(total, kind) for kind in KINDS}), failures)


def _tests_in(suites: Path, *, quick: bool) -> int:
    from robot.api import TestSuite  # noqa: PLC0415 - slow to load

    suite = TestSuite.from_file_system(suites)
    if quick:
        suite.filter(excluded_tags=[SLOW])
    return int(suite.test_count)


def combine(cells: Iterable[Cell], out: Path) -> None:
    """Write one log, report and JUnit file of all cells."""
    from robot.rebot import rebot  # noqa: PLC0415 - slow to load

    outputs = [str(out / f"{cell.engine}-{cell.name}" / "output.xml") for cell in cells]
    rebot(*outputs, name="kilograd", outputdir=str(out), output="output.xml", xunit="junit.xml", stdout=sys.stderr)
