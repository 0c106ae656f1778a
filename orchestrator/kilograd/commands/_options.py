# SPDX-License-Identifier: Apache-2.0
"""Arguments and options that several verbs take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kilograd.engines import engine_names

Source = Annotated[
    str, typer.Argument(metavar="EXPERIMENT", help="A TOML file, or the name of one that kilograd brings.")
]
Boards = Annotated[list[str] | None, typer.Option("--board", metavar="BOARD", help="Only this board; may be repeated.")]
Board = Annotated[str, typer.Option("--board", metavar="BOARD", help="Board to emulate.")]
Engine = Annotated[
    str | None,
    typer.Option("--engine", metavar="ENGINE", help=f"What runs the firmware: {', '.join(engine_names())}."),
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder for everything that is made [default: build/<name>].")]
Seed = Annotated[int | None, typer.Option("--seed", help="Start of every random choice.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a key of the experiment; may be repeated."),
]
Port = Annotated[
    str | None, typer.Option("--port", metavar="PORT", help="Serial port of a real board, for the engine hardware.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but the result.")]
