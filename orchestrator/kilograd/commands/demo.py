# SPDX-License-Identifier: Apache-2.0
"""The verb `demo`: the story in one command."""

from __future__ import annotations

from kilograd import console
from kilograd.commands import _common
from kilograd.commands._options import Boards, Engine, Json, Out, Quiet, Seed


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
    experiment = _common.load_experiment("digits", boards, engine, seed, None)
    _common.run_experiment(experiment, out, as_json=as_json, progress=say)
