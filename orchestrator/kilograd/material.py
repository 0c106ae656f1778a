# SPDX-License-Identifier: Apache-2.0
"""What all boards of an experiment share: the model as it starts, its data, and what spans its value ranges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kilograd import pretrain_torch, zoo
from kilograd.augment import augmenter
from kilograd.build import build_kernels
from kilograd.data import load_dataset, take
from kilograd.errors import KilogradError
from kilograd.load import load_model
from kilograd.lower import Settings, check_settings
from kilograd.pretrain import Pretraining, pretrain
from kilograd.prune import Pruned, Pruning, float_accuracy, prune, remove, selected
from kilograd.types import Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilograd.console import Progress
    from kilograd.experiment import Experiment
    from kilograd.types import Dataset, Graph

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
    """
    A model that starts untrained, or forgets its last layers, as float training leaves it: activation ranges must hold
    what it will grow to.
    """
    settings: Settings
    kernels: Path
    labels: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
    """Classes of train and test, where the model itself knows none."""
    pruned: tuple[Pruned, ...] = ()
    """The model after each step of pruning, the first entry before any."""


def load_material(experiment: Experiment, out: Path, progress: Progress) -> Material:
    """Load the data and the model, as it is before any training."""
    with progress.task("loading model and data"):
        data = load_dataset(experiment.data.name)
        classes = experiment.model.classes or len(data.classes)
        seed = experiment.train.seed
        shape = data.train.x.shape[1:]
        graph = load_model(experiment.model.source, base=Path(), seed=seed, classes=classes, input_shape=shape)
        _check_fit(graph, data, experiment.data.name)
        how = experiment.train
        settings = Settings(
            how.configuration,
            how.recipe,
            how.layers,
            how.formats,
            how.parameters,
            how.gradient_bits,
            how.sparsity,
            experiment.run.kernels,
        )
        check_settings(graph, settings)  # a wrong name must not show after minutes of pretraining,
        zoo.with_fresh_weights(graph, experiment.model.reset, seed=seed)  # nor a wrong number
        _check_pruning(experiment, graph)
        augmenter(experiment.pretrain.augment, graph.shapes[graph.input], seed)  # nor samples of another kind
        learn = _some(data.train, experiment.data.samples, seed)
        _check_classes(graph, learn, data)
        test = _some(data.test, experiment.data.test_samples, seed)
        labels = None if _knows_classes(graph) else (learn.y, test.y)
        learn, test = _for_model(graph, learn), _for_model(graph, test)
        before, calibration = None, _calibration(learn)
        if experiment.pretrain.data is not None:
            known = load_dataset(experiment.pretrain.data)
            before = _for_model(graph, known.test)
            calibration = np.concatenate([_calibration(_earlier(experiment, graph, known)), calibration])
    with progress.task("building the kernels"):
        kernels = build_kernels(out / "kernels")
    return Material(graph, learn, test, before, calibration, None, settings, kernels, labels)


def sized(material: Material, experiment: Experiment) -> Material:
    """Return the material with a model of its final size: which channels are pruned changes no size."""
    how = _pruning(experiment)
    if how is None:
        return material
    return replace(material, graph=remove(material.graph, material.graph, how.layers, how.target))


def teach(material: Material, experiment: Experiment, out: Path, progress: Progress) -> Material:
    """Pretrain the model where the experiment says so; rehearse it where it starts untrained."""
    folder, seed, graph = out / "pretrain", experiment.train.seed, material.graph
    if experiment.pretrain.data is not None:
        samples = _earlier(experiment, graph, load_dataset(experiment.pretrain.data))
        how = experiment.pretrain
        if how.batch_norm:
            pretrain_torch.check(graph)
        pretraining = Pretraining(
            experiment.pretrain.data, how.epochs, how.learning_rate, seed,
            augment=how.augment, batch_norm=how.batch_norm,
        )  # fmt: skip
        learned = pretrain(graph, samples, pretraining, folder, material.kernels, progress)
        return _forget(_prune(replace(material, graph=learned), samples, experiment, out, progress), experiment)
    material = _prune(material, material.train, experiment, out, progress)
    if experiment.model.reset and experiment.model.source not in zoo.models():
        return _forget(material, experiment)
    if _needs_rehearsal(experiment):
        rate = min(experiment.train.rate, REHEARSAL_RATE)
        pretraining = Pretraining(experiment.data.name, experiment.train.epochs, rate, seed)
        rehearsed = pretrain(material.graph, material.train, pretraining, folder, material.kernels, progress)
        return replace(material, rehearsed=rehearsed)
    return material


def _prune(material: Material, samples: Samples, experiment: Experiment, out: Path, progress: Progress) -> Material:
    """Make the model smaller where the experiment says so; `samples` are those that it has learned from."""
    how = _pruning(experiment)
    if how is None:
        return material
    data, seed = experiment.pretrain.data or experiment.data.name, experiment.train.seed
    epochs, rate = experiment.prune.epochs, experiment.pretrain.learning_rate
    test = _some(material.test if material.before is None else material.before, experiment.data.test_samples, seed)

    def retrain(graph: Graph, step: int) -> Graph:
        what = Pretraining(data, epochs, rate, seed, f"pruning, step {step} of {how.steps}: training")
        return pretrain(graph, samples, what, out / "prune", material.kernels, progress)

    def tested(graph: Graph) -> float:
        with progress.task("testing the model between steps of pruning"):
            return float_accuracy(graph, test)

    smaller, pruned = prune(material.graph, how, retrain, tested)
    return replace(material, graph=smaller, pruned=pruned)


def _pruning(experiment: Experiment) -> Pruning | None:
    how = experiment.prune
    return None if how.target is None else Pruning(how.target, how.steps, how.layers)


def _check_pruning(experiment: Experiment, graph: Graph) -> None:
    """Find what is wrong with [prune] before anything long begins."""
    how = _pruning(experiment)
    if how is None:
        return
    selected(graph, how.layers)
    if not _knows_classes(graph):
        message = f"prune.target: {graph.name} tells no classes apart, so that nothing shows what pruning costs"
        raise KilogradError(message, "prune a model that does")
    if experiment.pretrain.data is None and experiment.model.source in zoo.models():
        message = f"prune.target: {graph.name} starts untrained, so that none of its weights means anything yet"
        raise KilogradError(message, "set pretrain.data, or give a trained model as a file")


def _forget(material: Material, experiment: Experiment) -> Material:
    """Give the last layers fresh weights; the model as it was tells how large activations will get again."""
    learned = material.graph
    if experiment.model.reset == 0:
        return material
    fresh = zoo.with_fresh_weights(learned, experiment.model.reset, seed=experiment.train.seed)
    return replace(material, graph=fresh, rehearsed=learned)


def _earlier(experiment: Experiment, graph: Graph, known: Dataset) -> Samples:
    """Return the samples of the pretraining."""
    _check_fit(graph, known, known.name)
    samples = _some(known.train, experiment.pretrain.samples, experiment.train.seed)
    _check_classes(graph, samples, known)
    return _for_model(graph, samples)


def _needs_rehearsal(experiment: Experiment) -> bool:
    """Tell whether quantised tensors would be calibrated on weights that mean nothing yet."""
    how = experiment.train
    quantised = how.configuration != "float32" or "uint8" in how.formats.values()
    return quantised and experiment.model.source in zoo.models()


def _knows_classes(graph: Graph) -> bool:
    return graph.loss == "cross_entropy"


def _for_model(graph: Graph, samples: Samples) -> Samples:
    """Return the samples as the model takes them: an autoencoder is its own teacher, and sees no classes."""
    return samples if _knows_classes(graph) else Samples(samples.x, np.zeros_like(samples.y))


def _check_fit(graph: Graph, data: Dataset, name: str) -> None:
    """Refuse data whose samples the model cannot take, or whose classes it cannot tell apart."""
    shape, samples = graph.shapes[graph.input], data.train
    if samples.x.shape[1:] != shape:
        message = f"{graph.name} takes samples of shape {shape}, those of {name} have {samples.x.shape[1:]}"
        raise KilogradError(message, "choose another model or data set")
    if not _knows_classes(graph):
        _check_probabilities(graph, samples, name)
        return
    (scores,) = graph.shapes[graph.output]
    classes = 1 + max(int(part.y.max()) for part in (data.train, data.test))
    if classes > scores:
        message = f"{graph.name} tells {scores} classes apart, {name} has {classes}: it lacks "
        message += ", ".join(data.classes[scores:classes])
        raise KilogradError(message, "set model.classes to the classes of the data, or leave it out")


def _check_classes(graph: Graph, samples: Samples, data: Dataset) -> None:
    """Refuse samples of a single class: a model would learn to say nothing else."""
    present = np.unique(samples.y)
    if _knows_classes(graph) and len(present) == 1:
        message = f"{data.name}: the samples for training ({len(samples)}) belong to one class, "
        message += data.classes[present[0]]
        raise KilogradError(message, "a model learns to tell at least two classes apart: take more samples")


def _check_probabilities(graph: Graph, samples: Samples, name: str) -> None:
    low, high = float(samples.x.min()), float(samples.x.max())
    if low < 0 or high > 1:
        message = f"{graph.name} gives back values from 0 to 1, those of {name} go from {low:.3g} to {high:.3g}"
        raise KilogradError(message, "choose data in this range, images for instance, or scale your own")


def _some(samples: Samples, count: int | None, seed: int) -> Samples:
    """Return that many samples (seeded), or all where there are no more."""
    if count is None or count >= len(samples):
        return samples
    return take(samples, count, np.random.default_rng(seed))


def _calibration(samples: Samples) -> NDArray[np.float32]:
    return samples.x[:CALIBRATION_SAMPLES]
