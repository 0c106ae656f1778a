# SPDX-License-Identifier: Apache-2.0
"""What a trained autoencoder is good for: features for a small classifier with few labels, and reconstructions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kilograd.build import build_twin
from kilograd.engines.host import HostEngine
from kilograd.errors import KilogradError
from kilograd.graph import make_graph
from kilograd.link.session import Session
from kilograd.lower import Settings, lower
from kilograd.pretrain import Pretraining, pretrain
from kilograd.quantise import store_input
from kilograd.schedule import accuracy, evaluate, make_schedule, train
from kilograd.types import Samples
from kilograd.zoo._layers import linear

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from kilograd.console import Progress
    from kilograd.experiment import Classifier
    from kilograd.types import Format, Graph, Program

BATCH = 48
CALIBRATION_SAMPLES = 480


@dataclass(frozen=True)
class Features:
    """Latent means with their classes, to learn from and to test with."""

    train: Samples
    test: Samples


def latent_means(
    session: Session, x: NDArray[np.float32], form: Format, advance: Callable[[int], None]
) -> NDArray[np.float32]:
    """Return the means (n, latent variables) that a firmware's encoder gives to samples."""
    samples = Samples(x, np.zeros(len(x), np.int64))
    heads = np.concatenate([part.logits for part in evaluate(session, samples, form, advance)])
    return np.ascontiguousarray(heads[:, : heads.shape[1] // 2])


def reconstruct(session: Session, x: NDArray[np.float32], program: Program) -> NDArray[np.float32]:
    """Return what a firmware's decoder makes of samples, as probabilities in the shape of x."""
    form, size = program.output_format, program.buffers[program.output].bytes
    stored = store_input(x, program.input_format)
    outputs = b"".join(session.output(stored[i : i + 1], size) for i in range(len(x)))
    if form.dtype == "float32":
        logits = np.frombuffer(outputs, "<f4")
    else:
        logits = (np.frombuffer(outputs, np.uint8).astype(np.float32) - form.zero) * np.float32(form.scale)
    probabilities: NDArray[np.float32] = 1 / (1 + np.exp(-logits.reshape(x.shape)))
    return probabilities


def few_labels(samples: Samples, count: int, seed: int) -> Samples:
    """Return that many random samples of each class (seeded)."""
    chosen, rng = [], np.random.default_rng([*b"labels", seed])
    for label in np.unique(samples.y):
        known = np.flatnonzero(samples.y == label)
        if len(known) < count:
            message = (
                f"classifier.labels_per_class: class {label} has {len(known)} training samples, {count} are wanted"
            )
            raise KilogradError(message, "take fewer labels, or more data.samples")
        chosen.append(rng.permutation(known)[:count])
    order = np.concatenate(chosen)
    return Samples(samples.x[order], samples.y[order])


def classify(
    features: Features, labels: int, how: Classifier, seed: int, kernels: Path, out: Path, say: Progress
) -> float:
    """
    Train a net of two layers on the features of a few labelled samples; return its accuracy on the test features.

    Args:
        features: of the autoencoder.
        labels: labelled samples per class.
        how: the experiment's settings.
        seed: which samples are labelled, and the first weights.
        kernels: the library of kernels.
        out: a folder for builds.
        say: is told what goes on.

    """
    rng = np.random.default_rng([*b"classifier", seed])
    known = few_labels(features.train, labels, seed)
    graph = _net(rng, known.x.shape[1], how.neurons, int(max(features.train.y.max(), features.test.y.max())) + 1)
    settings = Settings(how.configuration, "best", "all")
    epochs = -(-how.steps // len(known))
    rehearsed = None
    if how.configuration == "uint8":
        learning = Pretraining(f"{labels} labels per class", epochs, how.learning_rate, seed)
        rehearsed = pretrain(graph, known, learning, out / "pretrain", kernels, say)
    lowered = lower(graph, settings, known.x[:CALIBRATION_SAMPLES], "host", kernels, out, rehearsed)
    twin, form = build_twin([lowered.source], out / "build"), lowered.program.input_format
    schedule = make_schedule(len(known), epochs, min(BATCH, len(known)), how.learning_rate, seed, most=how.steps)
    with (
        say.task(f"classifying with {labels} labels per class", len(schedule.order)) as task,
        HostEngine(twin) as engine,
    ):
        session = Session(engine)
        train(session, known, form, schedule, task.advance)
        return accuracy(session, features.test, form, lambda _: None)


def _net(rng: np.random.Generator, inputs: int, neurons: int, classes: int) -> Graph:
    """Return the classifier: so many neurons in its two layers together."""
    if neurons <= classes:
        message = f"classifier.neurons: {neurons} neurons leave none for a layer before the {classes} classes"
        raise KilogradError(message, f"take more than {classes}")
    hidden = neurons - classes
    nodes = (
        linear(rng, "hidden", "input", (inputs, hidden), relu=True),
        linear(rng, "classes", "hidden", (hidden, classes)),
    )
    return make_graph("latent_classifier", (inputs,), nodes)
