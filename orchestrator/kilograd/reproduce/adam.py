# SPDX-License-Identifier: Apache-2.0
"""One run of an experiment's model by Adam in torch, in float32: what the runtime's rows are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.material import load_material, teach
from kilograd.pretrain import Pretraining, pretrain
from kilograd.prune import float_accuracy
from kilograd.reproduce.job import Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from kilograd.console import Progress
    from kilograd.experiment import Experiment


def run_adam(experiment: Experiment, title: str, out: Path, progress: Progress) -> Outcome:
    """Return the accuracy that the same model reaches from the same start, with the same data; it has no curves."""
    material = teach(load_material(experiment, out, progress), experiment, out, progress)
    train = experiment.train
    how = Pretraining(experiment.data.name, train.epochs, train.rate, train.seed, f"{title}: training", adam=True)
    learned = pretrain(material.graph, material.train, how, out / "adam", material.kernels, progress)
    with progress.task(f"testing {title}"):
        return Outcome(float_accuracy(learned, material.test), (), (), (), (), {}, {})
