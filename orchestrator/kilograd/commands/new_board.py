# SPDX-License-Identifier: Apache-2.0
"""The verb `new-board`: begin a board of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kilograd.commands import _common
from kilograd.commands._options import Json

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the board is called, and its folder.")]
From = Annotated[str, typer.Option("--from", metavar="BOARD", help="What it starts as: a board, or its folder.")]
Parent = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Where the folder goes [default: emulation/platforms of the checkout]."),
]


def new_board(name: Name, like: From = "nrf52840", out: Parent = None, as_json: Json = False) -> None:
    """
    Make the folder of a board of your own.

    It starts as a copy of another board, which runs at once. emulation/platforms/README.md tells what to change.
    """
    from kilograd import paths, report
    from kilograd.platforms.make import make_board

    folder = make_board(name, like, out)
    files = sorted(file.name for file in folder.iterdir())
    if as_json:
        _common.show(report.to_json({"board": name, "folder": str(folder), "files": files}))
        return
    where = name if folder.parent == paths.share() / "emulation" / "platforms" else folder
    _common.show("\n".join(str(folder / file) for file in files))
    _common.show(f"\nemulation/platforms/README.md tells what to change; then: kilograd robot --board {where}")
