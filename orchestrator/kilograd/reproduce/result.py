# SPDX-License-Identifier: Apache-2.0
"""A filled table, for people and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table as Printed

from kilograd.report import UNKNOWN, to_json
from kilograd.reproduce.limits import limits_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilograd.reproduce.run import FilledRow

DIGITS = 6


def table_json(name: str, rows: Sequence[FilledRow]) -> str:
    """Return the table as JSON; accuracies are shares from 0 to 1, as everywhere."""
    return to_json(
        {
            "name": name,
            "rows": [
                {
                    "dataset": filled.row.data,
                    "configuration": filled.row.configuration,
                    "recipe": filled.row.recipe,
                    "lambda_min": filled.row.lambda_min,
                    "accuracy_mean": round(filled.mean, DIGITS),
                    "accuracy_sd": None if filled.deviation is None else round(filled.deviation, DIGITS),
                    "seeds": len(filled.outcomes),
                    "paper": None if filled.row.paper is None else round(filled.row.paper / 100, DIGITS),
                }
                for filled in rows
            ],
        }
    )


def printed_table(title: str, rows: Sequence[FilledRow]) -> Printed:
    """Return the table for people; columns that would be empty are left out."""
    table = Printed(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    limits = {id(filled): limits_of(filled, rows) for filled in rows}
    targets = any(limits.values())
    bounds = any(filled.bound is not None for filled in rows)
    for name in ("data", "configuration", "recipe"):
        table.add_column(name, no_wrap=True)
    extra = (*(("limits",) if targets else ()), *(("-ELBO, nats",) if bounds else ()))
    for name in ("lambda_min", "accuracy", "sd", "seeds", "authors", *extra):
        table.add_column(name, justify="right", no_wrap=True)
    for filled in rows:
        row = filled.row
        target = (", ".join(map(str, limits[id(filled)])) or UNKNOWN,) if targets else ()
        bound = (UNKNOWN if filled.bound is None else f"{filled.bound:.2f}",) if bounds else ()
        table.add_row(
            row.data, row.configuration, row.recipe, f"{row.lambda_min:g}", _percent(100 * filled.mean, 2),
            _points(filled.deviation), str(len(filled.outcomes)), _percent(row.paper, 1), *target, *bound,
        )  # fmt: skip
    return table


def _percent(value: float | None, digits: int) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f} %"


def _points(deviation: float | None) -> str:
    return UNKNOWN if deviation is None else f"{100 * deviation:.2f}"
