# SPDX-License-Identifier: Apache-2.0
"""The verb `reproduce`: published tables, made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kilograd import console
from kilograd.commands import _common
from kilograd.commands._options import Json, Quiet

Name = Annotated[str, typer.Argument(metavar="TABLE", help="A table that kilograd brings, or a TOML file.")]
Quick = Annotated[bool, typer.Option("--quick", help="Few samples, one seed: shows that it works, not how well.")]
Seeds = Annotated[int | None, typer.Option("--seeds", min=1, help="Runs of each row, with seeds from 1 on.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder for the pictures [default: build/reproduce/<table>].")]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="COLUMN=VALUE", help="Only rows with this value; may be repeated."),
]


def reproduce(
    name: Name,
    quick: Quick = False,
    seeds: Seeds = None,
    out: Out = None,
    only: Only = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """
    Train a published table and print it beside the authors'.

    Runs on the host twin, which has the bits of the boards. Finished runs are cached: an interrupted table goes on
    where it was. Curves and heat maps of the gradients are drawn into the folder.
    """
    from kilograd.errors import CheckFailedError
    from kilograd.reproduce import definition, limits, pictures, result, run

    table = definition.select(definition.load_table(name, quick=quick), definition.parse_columns(only or []))
    folder = (out or Path("build") / "reproduce" / table.name).absolute()
    progress = console.progress(quiet=quiet)
    rows = run.fill(table, seeds or table.seeds, folder, progress)
    pictures.draw(rows, folder, progress)
    _common.show(result.table_json(table.name, rows) if as_json else result.printed_table(table.title, rows))
    if not quick:
        hint = "more seeds tell chance from defects: --seeds"
        _common.fail([CheckFailedError(text, hint) for text in limits.shortfalls(rows)])
