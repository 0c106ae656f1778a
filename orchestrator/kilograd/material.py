# SPDX-License-Identifier: Apache-2.0
"""What all boards of an experiment share: the model as it starts, its data, and what spans its value ranges."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kilograd import zoo
from kilograd.build import build_kernels
from kilograd.data import load_dataset, take
from kilograd.differentiate import select_layers
from kilograd.errors import KilogradError
from kilograd.load import load_model
from kilograd.lower import Settings
from kilograd.pretrain import Pretraining, pretrain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilograd.console import Progress
    from kilograd.experiment import Experiment
    from kilograd.types import Graph, Samples

CALIBRATION_SAMPLES = 480  # of the data that the model learns, and of what it has learned before
REHEARSAL_RATE = 5e-4
"""At higher rates activations grow so large in float that the first, small ones would vanish in their ranges."""


@dataclass(frozen=True)
class Material:
    """The model as it starts on the chip, and everything it needs."""

    graph: Graph
    train: Samples
    test: Samples
    before: Samples | None
    """Test samples of the pretraining's data."""
    calibration: NDArray[np.float32]
    rehearsed: Graph | None
    """A model that starts untrained, as float training leaves it: activation ranges must hold what it will grow to."""
    settings: Settings
    kernels: Path


def prepare(experiment: Experiment, out: Path, progress: Progress, *, pretrained: bool = True) -> Material:
    """Load the data and the model; pretrain it where the experiment says so, rehearse where it starts untrained."""
    with progress.task("loading model and data"):
        data = load_dataset(experiment.data.name)
        classes = experiment.model.classes or len(data.classes)
        seed = experiment.train.seed
        graph = load_model(experiment.model.source, base=Path(), seed=seed, classes=classes)
        _check_fit(graph, data.train, experiment.data.name)
        settings = Settings(experiment.train.configuration, experiment.train.recipe, experiment.train.layers)
        select_layers(graph, settings.layers)  # a wrong name must not show after minutes of pretraining
        learn = _some(data.train, experiment.data.samples, seed)
        test = _some(data.test, experiment.data.test_samples, seed)
    with progress.task("building the kernels"):
        kernels = build_kernels(out / "kernels")
    before, calibration, rehearsed = None, _calibration(learn), None
    if experiment.pretrain.data is not None:
        known = load_dataset(experiment.pretrain.data)
        _check_fit(graph, known.train, experiment.pretrain.data)
        samples = _some(known.train, experiment.pretrain.samples, seed)
        before, calibration = known.test, np.concatenate([_calibration(samples), calibration])
        if pretrained:
            how = Pretraining(known.name, experiment.pretrain.epochs, experiment.pretrain.learning_rate, seed)
            graph = pretrain(graph, samples, how, out / "pretrain", kernels, progress)
    elif pretrained and _needs_rehearsal(experiment):
        how = Pretraining(data.name, experiment.train.epochs, min(experiment.train.rate, REHEARSAL_RATE), seed)
        rehearsed = pretrain(graph, learn, how, out / "pretrain", kernels, progress)
    return Material(graph, learn, test, before, calibration, rehearsed, settings, kernels)


def _needs_rehearsal(experiment: Experiment) -> bool:
    """Tell whether quantised tensors would be calibrated on weights that mean nothing yet."""
    return experiment.train.configuration != "float32" and experiment.model.source in zoo.models()


def _check_fit(graph: Graph, samples: Samples, name: str) -> None:
    shape, (scores,), classes = graph.shapes[graph.input], graph.shapes[graph.output], int(samples.y.max()) + 1
    if samples.x.shape[1:] != shape:
        message = f"{graph.name} takes samples of shape {shape}, those of {name} have {samples.x.shape[1:]}"
        raise KilogradError(message, "choose another model or data set")
    if classes > scores:
        message = f"{graph.name} tells {scores} classes apart, {name} has {classes}"
        raise KilogradError(message, "set model.classes to the classes of the data, or leave it out")


def _some(samples: Samples, count: int | None, seed: int) -> Samples:
    """Return that many samples (seeded), or all where there are no more."""
    if count is None or count >= len(samples):
        return samples
    return take(samples, count, np.random.default_rng(seed))


def _calibration(samples: Samples) -> NDArray[np.float32]:
    return samples.x[:CALIBRATION_SAMPLES]
