# SPDX-License-Identifier: Apache-2.0
"""What the verbs that measure kernels have in common: options, and how results are shown."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from kilograd.commands import _common

if TYPE_CHECKING:
    from kilograd.bench_kernels import Bench, Memory, Row
    from kilograd.platforms.board import Board

CONFIGURATIONS = ("uint8", "mixed", "float32")

Nets = Annotated[list[str] | None, typer.Option("--net", metavar="MODEL", help="A built-in model; may be repeated.")]
Configurations = Annotated[
    list[str] | None,
    typer.Option(
        "--configuration",
        metavar="CONFIGURATION",
        help="uint8, mixed or float32; may be repeated [default: uint8, with an FPU float32, too].",
    ),
]


def configurations_for(board: Board, names: list[str] | None) -> tuple[str, ...]:
    """Return the configurations to measure: by default the usual ones."""
    from kilograd.bench_kernels import usual_configurations
    from kilograd.errors import KilogradError

    for name in names or ():
        if name not in CONFIGURATIONS:
            message = f"unknown configuration: {name}"
            raise KilogradError(message, f"configurations: {', '.join(CONFIGURATIONS)}")
    return tuple(names) if names else usual_configurations(board)


def show(made: Bench, *, as_json: bool) -> None:
    """Print the results as JSON or as a table."""
    from kilograd import bench_kernels, report

    if as_json:
        _common.show(report.to_json({"schema": 1, **asdict(made), "batch": bench_kernels.BATCH}))
        return
    _common.show_list("rows", [_cells(row) for row in made.rows], as_json=False)
    if made.memory:
        _common.show("")
        _common.show_list("memory", [_costs(made, use) for use in made.memory], as_json=False)
    _common.show(f"\n{made.board}, {made.compiler}; a step has 1/{bench_kernels.BATCH} of an update")
    if made.enlarged_ram:
        _common.show(f"with more RAM than {made.board} has: {', '.join(made.enlarged_ram)}")


def _costs(made: Bench, use: Memory) -> dict[str, str]:
    """Return what people ask of a net: milliseconds of a step, KB by segment, and the authors' numbers."""
    from kilograd.bench_cases import PUBLISHED
    from kilograd.platforms.board import load_board

    clock = load_board(made.board).clock_hz
    cycles = [
        row.cycles
        for row in made.rows
        if (row.case, row.phase, row.configuration) == (use.case, "step", use.configuration)
    ]
    theirs = PUBLISHED.get((use.case, use.configuration, made.board))
    published = (theirs.ms, theirs.ram_kb, theirs.flash_kb) if theirs else (None, None, None)
    ms, ram, flash = ("-" if value is None else f"{value:,.2f}" for value in published)
    return {
        "case": use.case,
        "format": use.configuration,
        "ms": f"{1000 * sum(cycles) / clock:,.2f}",
        "authors": ms,
        "features KB": f"{use.features / 1000:,.2f}",
        "at least": f"{use.features_bound / 1000:,.2f}",
        "trained KB": f"{use.trained / 1000:,.2f}",
        "authors' RAM": ram,
        "weights KB": f"{use.weights / 1000:,.2f}",
        "code KB": f"{use.code / 1000:,.2f}",
        "authors' flash": flash,
    }


def _cells(row: Row) -> dict[str, str | int]:
    per_mac = (f"{cost / row.macs:.2f}" if row.macs else "-" for cost in (row.instructions, row.cycles))
    return {
        "case": row.case,
        "phase": row.phase,
        "format": row.configuration,
        "MACs": row.macs,
        "instructions": row.instructions,
        "cycles": row.cycles,
        "each MAC": " / ".join(per_mac),
        "code": row.code_bytes,
        "scratch": row.scratch_bytes,
        "kernel": row.kernel.removeprefix("kg_"),
    }
