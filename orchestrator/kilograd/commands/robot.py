# SPDX-License-Identifier: Apache-2.0
"""The verb `robot`: the Robot suites on every board and engine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kilograd import console
from kilograd.commands import _common
from kilograd.commands._options import Boards, Json, Quiet

Engines = Annotated[
    list[str] | None, typer.Option("--engine", metavar="ENGINE", help="Only this engine; may be repeated.")
]
Experiment = Annotated[str, typer.Option("--experiment", help="Whose model the boards train.")]
Quick = Annotated[bool, typer.Option("--quick", help="Leave out tests with the tag slow.")]
Out = Annotated[Path, typer.Option("--out", help="Folder for logs and firmware.")]


def robot(
    boards: Boards = None,
    engines: Engines = None,
    experiment: Experiment = "digits",
    quick: Quick = False,
    out: Out = Path("build/robot"),
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """
    Run the Robot suites on boards and engines.

    All boards run, each on the engines that are installed and know it. Exit code 0: all tests pass; 1: some fail.
    """
    from kilograd import report, suites
    from kilograd.errors import CheckFailedError

    say = console.progress(quiet=quiet)
    cells = suites.matrix(boards or [], engines or [], say)
    results = [suites.run_cell(cell, experiment, out.absolute(), quick=quick, progress=say) for cell in cells]
    suites.combine(cells, out.absolute())
    rows = [
        {"board": cell.name, "engine": cell.engine, **{kind: result.counts[kind] for kind in suites.KINDS}}
        for cell, result in zip(cells, results, strict=True)
    ]
    failures = [
        {"board": cell.name, "engine": cell.engine, "test": failure.test, "message": failure.message}
        for cell, result in zip(cells, results, strict=True)
        for failure in result.failures
    ]
    if as_json:
        _common.show(report.to_json({"passed": not failures, "rows": rows, "failures": failures}))
    else:
        _common.show_list("rows", rows, as_json=False)
    log = f"{out}/log.html shows every step"
    _common.fail([CheckFailedError("{test} ({board} on {engine}): {message}".format(**item), log) for item in failures])
