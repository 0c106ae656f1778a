# SPDX-License-Identifier: Apache-2.0
"""The verb `run`: the whole flow."""

from __future__ import annotations

from kilograd import console
from kilograd.commands import _common
from kilograd.commands._options import Boards, Engine, Json, Out, Port, Quiet, Seed, Settings, Source


def run(
    experiment: Source,
    boards: Boards = None,
    engine: Engine = None,
    out: Out = None,
    seed: Seed = None,
    settings: Settings = None,
    port: Port = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on virtual boards and report what it costs."""
    loaded = _common.load_experiment(experiment, boards, engine, seed, settings, port)
    _common.run_experiment(loaded, out, as_json=as_json, progress=console.progress(quiet=quiet))
