# SPDX-License-Identifier: Apache-2.0
"""What several verbs do: find their experiment, run it, print results."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kilograd import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilograd.errors import CheckFailedError
    from kilograd.experiment import Experiment
    from kilograd.report import Report


def run_experiment(experiment: Experiment, out: Path | None, *, as_json: bool, progress: console.Progress) -> None:
    """Do the whole flow, print its report, and fail where a check failed."""
    from kilograd import flow, report

    result: Report = flow.run_experiment(
        experiment,
        out=out_folder(out, experiment),
        boards=experiment.run.boards,
        engine=experiment.run.engine,
        progress=progress,
    )
    show(report.report_json(result) if as_json else report.report_table(result))
    fail(report.problems(result, experiment.limits))


def load_experiment(
    source: str,
    boards: list[str] | None,
    engine: str | None,
    seed: int | None,
    settings: list[str] | None,
    port: str | None = None,
) -> Experiment:
    """Read an experiment, with what the command line replaces in it."""
    from kilograd import experiment

    overrides = dict(experiment.parse_override(setting) for setting in settings or ())
    options = {"run.boards": boards or None, "run.engine": engine, "train.seed": seed, "run.port": port}
    given = {key: value for key, value in options.items() if value is not None}
    return experiment.load_experiment(source, overrides | given)


def out_folder(out: Path | None, experiment: Experiment) -> Path:
    """Return the folder for everything that is made."""
    return (out or Path("build") / experiment.name).absolute()


def about(module: Any) -> str:  # noqa: ANN401 - modules have no common type
    """Return what a module says about itself, in one line."""
    summary = inspect.cleandoc(module.__doc__ or "").partition("\n\n")[0]
    return " ".join(summary.split())


def show_list(kind: str, rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print rows with the same keys as a table, or as JSON."""
    from rich.table import Table

    from kilograd import report

    if as_json:
        show(report.to_json({kind: rows}))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in rows[0]:
        table.add_column(column, justify="right" if isinstance(rows[0][column], int) else "left")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else cell for cell in row.values()))
    show(table)


def pairs(values: dict[str, Any]) -> str:
    """Return a line for each key."""
    return "\n".join(f"{key}: {value}" for key, value in values.items())


def show(result: Any) -> None:  # noqa: ANN401 - whatever rich can print
    """Print a result on stdout."""
    if isinstance(result, str):
        typer.echo(result)
    else:
        console.for_results().print(result)


def fail(problems: Sequence[CheckFailedError]) -> None:
    """Show all problems but the last, and raise that."""
    for problem in problems[:-1]:
        console.show_error(problem)
    if problems:
        raise problems[-1]


def bench_folder(out: Path | None) -> Path:
    """Return the folder for firmware that is only measured."""
    return (out or Path("build") / "bench").absolute()
