# SPDX-License-Identifier: Apache-2.0
"""The command line: one function for each verb."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kilograd import __version__, console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilograd.errors import CheckFailedError
    from kilograd.experiment import Experiment
    from kilograd.report import Report

DEBUG = "--debug"

app = typer.Typer(
    help="Train neural networks on Cortex-M microcontrollers, and prove it without a board.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
bench = typer.Typer(help="Measure kilograd itself.")
app.add_typer(bench, name="bench")

Source = Annotated[
    str, typer.Argument(metavar="EXPERIMENT", help="A TOML file, or the name of one that kilograd brings.")
]
Boards = Annotated[list[str] | None, typer.Option("--board", metavar="BOARD", help="Only this board; may be repeated.")]
Engine = Annotated[
    str | None, typer.Option("--engine", metavar="ENGINE", help="What runs the firmware: builtin, host.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder for everything that is made [default: build/<name>].")]
Seed = Annotated[int | None, typer.Option("--seed", help="Start of every random choice.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a key of the experiment; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but the result.")]


@app.command()
def demo(
    boards: Boards = None,
    engine: Engine = None,
    out: Out = None,
    seed: Seed = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show the story: a sensor changes, a chip learns again."""
    say = console.progress(quiet=quiet)
    say.note("A small CNN has learned to read handwritten digits. Then the sensor changes: the images are rotated,")
    say.note("darker and noisier, and it misreads them. Now the chip learns from the new images, by itself, in uint8.")
    _run("digits", boards, engine, out, seed, None, as_json=as_json, progress=say)


@app.command()
def run(
    experiment: Source,
    boards: Boards = None,
    engine: Engine = None,
    out: Out = None,
    seed: Seed = None,
    settings: Settings = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on virtual boards and report what it costs."""
    _run(experiment, boards, engine, out, seed, settings, as_json=as_json, progress=console.progress(quiet=quiet))


@app.command()
def plan(
    experiment: Source,
    boards: Boards = None,
    out: Out = None,
    seed: Seed = None,
    settings: Settings = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tell whether a model fits its boards, without running it."""
    from kilograd import flow, report

    loaded = _load(experiment, boards, None, seed, settings)
    plans = flow.plan_experiment(
        loaded, out=_out(out, loaded), boards=loaded.run.boards, progress=console.progress(quiet=quiet)
    )
    _print(report.plan_json(plans) if as_json else report.plan_table(plans))
    _fail([report.does_not_fit(plan) for plan in plans if not plan.fits])


@app.command()
def boards(as_json: Json = False) -> None:
    """List the boards."""
    from kilograd.platforms import board

    loaded = [board.load_board(name) for name in board.boards()]
    _list(
        "boards",
        [
            {
                "name": item.name,
                "title": item.title,
                "core": item.core,
                "clock_hz": item.clock_hz,
                "ram_bytes": item.ram.size,
                "flash_bytes": item.flash.size,
            }
            for item in loaded
        ],
        as_json=as_json,
    )


@app.command()
def models(as_json: Json = False) -> None:
    """List the built-in models."""
    from kilograd import listing, zoo

    rows = [{"name": name, "about": _about(listing.member(zoo.__name__, "model", name))} for name in zoo.models()]
    _list("models", rows, as_json=as_json)


@app.command()
def datasets(as_json: Json = False) -> None:
    """List the data sets."""
    from kilograd import data, experiment, listing

    names = experiment.datasets()
    rows = [{"name": name, "about": _about(listing.member(data.__name__, "data set", name))} for name in names]
    _list("datasets", rows, as_json=as_json)


@bench.command("engine")
def bench_engine(
    board: Annotated[str, typer.Option("--board", metavar="BOARD", help="Board to emulate.")] = "nrf52840",
    as_json: Json = False,
) -> None:
    """Measure how many instructions a second the virtual chip runs."""
    from kilograd import bench_engine, report

    result = bench_engine.bench(board)
    _print(report.to_json(result) if as_json else _pairs(result))


@app.command("test", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run_tests(context: typer.Context, as_json: Json = False) -> None:
    """
    Run kilograd's own tests: pytest, then the Robot suites.

    Arguments go to pytest; the Robot suites are then left out.
    """
    from kilograd import report, selftest

    outcome = selftest.run(context.args, quiet_stdout=as_json)
    if as_json:
        _print(report.to_json({kind: outcome.counts[kind] for kind in ("passed", "failed", "skipped")}))
    raise typer.Exit(outcome.code)


def command() -> Any:  # noqa: ANN401 - typer does not export the type
    """Return the whole command line as one callable command."""
    return typer.main.get_command(app)


def verbs() -> tuple[str, ...]:
    """Return the names of all verbs."""
    return tuple(command().commands)


def usage_hint(error: typer.TyperException) -> str:
    """Return the way out of a wrong command line."""
    context = getattr(error, "ctx", None)
    if context is None or context.parent is None:
        return f"verbs: {', '.join(verbs())}"
    return f"{context.command_path} --help shows its options"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kilograd {__version__}")
        raise typer.Exit


@app.callback()
def _everywhere(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option(DEBUG, help="Show a traceback with an error; may stand anywhere.")] = False,
) -> None:
    """Options of the whole command line; both are acted on elsewhere."""


def _run(
    source: str,
    boards: list[str] | None,
    engine: str | None,
    out: Path | None,
    seed: int | None,
    settings: list[str] | None,
    *,
    as_json: bool,
    progress: console.Progress,
) -> None:
    from kilograd import flow, report

    loaded = _load(source, boards, engine, seed, settings)
    result: Report = flow.run_experiment(
        loaded, out=_out(out, loaded), boards=loaded.run.boards, engine=loaded.run.engine, progress=progress
    )
    _print(report.report_json(result) if as_json else report.report_table(result))
    _fail(report.problems(result, loaded.limits))


def _load(
    source: str, boards: list[str] | None, engine: str | None, seed: int | None, settings: list[str] | None
) -> Experiment:
    from kilograd.experiment import load_experiment, parse_override

    overrides = dict(parse_override(setting) for setting in settings or ())
    options = {"run.boards": boards or None, "run.engine": engine, "train.seed": seed}
    return load_experiment(source, overrides | {key: value for key, value in options.items() if value is not None})


def _out(out: Path | None, experiment: Experiment) -> Path:
    return (out or Path("build") / experiment.name).absolute()


def _about(module: Any) -> str:  # noqa: ANN401 - modules have no common type
    summary = inspect.cleandoc(module.__doc__ or "").partition("\n\n")[0]
    return " ".join(summary.split())


def _list(kind: str, rows: list[dict[str, Any]], *, as_json: bool) -> None:
    from rich.table import Table

    from kilograd import report

    if as_json:
        _print(report.to_json({kind: rows}))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in rows[0]:
        table.add_column(column, justify="right" if isinstance(rows[0][column], int) else "left")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else cell for cell in row.values()))
    _print(table)


def _pairs(values: dict[str, Any]) -> str:
    return "\n".join(f"{key}: {value}" for key, value in values.items())


def _print(result: Any) -> None:  # noqa: ANN401 - whatever rich can print
    if isinstance(result, str):
        typer.echo(result)
    else:
        console.for_results().print(result)


def _fail(problems: Sequence[CheckFailedError]) -> None:
    """Show all problems but the last, and raise that."""
    for problem in problems[:-1]:
        console.show_error(problem)
    if problems:
        raise problems[-1]
