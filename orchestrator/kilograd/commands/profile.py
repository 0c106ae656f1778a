# SPDX-License-Identifier: Apache-2.0
"""The verb `profile`: where the cycles of a training step go."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from kilograd import console
from kilograd.commands import _common
from kilograd.commands._options import Board, Json, Out, Quiet, Seed, Settings, Source

Trace = Annotated[
    Path | None, typer.Option("--trace", metavar="FILE", help="Write the last 100,000 basic blocks that ran.")
]
MOST = 25
"""Functions that people are shown; the files have all."""


def profile(
    experiment: Source,
    board: Board = "nrf52840",
    out: Out = None,
    seed: Seed = None,
    settings: Settings = None,
    trace: Trace = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """
    Show which layers and functions take the cycles.

    One minibatch is trained on a virtual board. The calls are also written beside the firmware, as collapsed stacks and
    for speedscope.
    """
    from kilograd import profile as profiles

    loaded = _common.load_experiment(experiment, [board], None, seed, settings)
    folder = _common.out_folder(out, loaded)
    say = console.progress(quiet=quiet)
    made = profiles.profile(loaded, out=folder, board=loaded.run.boards[0], progress=say, trace=trace)
    if as_json:
        _common.show(profiles.to_json(made))
        return
    _common.show_list("layers", [asdict(layer) for layer in made.layers], as_json=False)
    _common.show("")
    _common.show_list("functions", [asdict(function) for function in made.functions[:MOST]], as_json=False)
    _common.show(f"\n{made.cycles:,} cycles for {made.samples} samples on {made.board}")
    _common.show("".join(f"{file}\n" for file in made.files).rstrip())
