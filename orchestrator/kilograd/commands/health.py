# SPDX-License-Identifier: Apache-2.0
"""The verb `health`: does quantisation hurt the training, where, and what helps."""

from __future__ import annotations

from typing import Annotated

import typer

from kilograd import console
from kilograd.commands import _common
from kilograd.commands._options import Json, Out, Quiet, Seed, Settings, Source

SAMPLES = 4800

Samples = Annotated[int, typer.Option("--samples", min=1, help="Training samples to watch.")]


def health(
    experiment: Source,
    samples: Samples = SAMPLES,
    out: Out = None,
    seed: Seed = None,
    settings: Settings = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """
    Tell which layers quantisation hurts, and what helps.

    A float32 shadow with the same weights sees the same samples and tells what is lost. Unhealthy, with exit code 1:
    more than 5 % of a layer's outputs or weights at the end of their range; outputs that use less than 5 % of it;
    weights that span less than 2 quanta (root mean square); more than half of the gradient lost to errors that round
    to zero; more than 0.1 % of a gradient buffer at its limits; updates that move less than 0.01 % of the weights, or
    change them by more than 20 % on average; a loss that doubles.
    """
    from kilograd.errors import CheckFailedError
    from kilograd.health import check

    loaded = _common.load_experiment(experiment, None, "host", seed, settings)
    verdict = check.check(loaded, samples, _common.out_folder(out, loaded), console.progress(quiet=quiet))
    _common.show(check.health_json(verdict) if as_json else check.health_table(verdict))
    _common.fail([CheckFailedError(*_split(text)) for _, text in verdict.problems])


def _split(text: str) -> tuple[str, str]:
    """Return what is wrong, and what helps."""
    problem, _, help_ = text.rpartition("; ") if "; " in text else text.rpartition(": ")
    return problem, help_
