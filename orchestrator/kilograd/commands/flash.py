# SPDX-License-Identifier: Apache-2.0
"""The verb `flash`: bring the firmware of an experiment onto a real board."""

from __future__ import annotations

from typing import Annotated

import typer

from kilograd import console
from kilograd.commands import _common
from kilograd.commands._options import Boards, Json, Out, Quiet, Seed, Settings, Source

ImagesOnly = Annotated[bool, typer.Option("--images-only", help="Make the images, and leave the board alone.")]


def flash(
    experiment: Source,
    boards: Boards = None,
    out: Out = None,
    seed: Seed = None,
    settings: Settings = None,
    images_only: ImagesOnly = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build firmware and bring it onto a real board."""
    from kilograd import flashing, report

    loaded = _common.load_experiment(experiment, boards, None, seed, settings)
    where = _common.out_folder(out, loaded)
    flashed = flashing.flash_experiment(
        loaded, out=where, program=not images_only, progress=console.progress(quiet=quiet)
    )
    if as_json:
        _common.show(report.to_json({"boards": [item.as_json() for item in flashed]}))
    else:
        _common.show("\n".join(item.as_text() for item in flashed))
