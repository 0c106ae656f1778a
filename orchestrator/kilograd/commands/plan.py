# SPDX-License-Identifier: Apache-2.0
"""The verb `plan`: what fits, and what takes the room."""

from __future__ import annotations

from kilograd import console
from kilograd.commands import _common
from kilograd.commands._options import Boards, Json, Out, Quiet, Seed, Settings, Source


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

    loaded = _common.load_experiment(experiment, boards, None, seed, settings)
    plans = flow.plan_experiment(
        loaded,
        out=_common.out_folder(out, loaded),
        boards=loaded.run.boards,
        progress=console.progress(quiet=quiet),
    )
    _common.show(report.plan_json(plans) if as_json else report.plan_table(plans))
    _common.fail([report.does_not_fit(plan) for plan in plans if not plan.fits])
