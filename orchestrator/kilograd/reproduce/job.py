# SPDX-License-Identifier: Apache-2.0
"""One run of one experiment with one seed: its accuracy, and how it got there; done once, then read from the cache."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd import paths
from kilograd.autoencoder import reconstruct
from kilograd.build import build_twin
from kilograd.engines.host import HostEngine
from kilograd.flow import classify_features, latent_features, lower_for, schedule_for, score
from kilograd.link.session import Session
from kilograd.material import load_material, teach
from kilograd.reproduce.watch import Watch
from kilograd.schedule import train
from kilograd.types import Samples

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kilograd.console import Progress
    from kilograd.experiment import Experiment
    from kilograd.link.session import Results
    from kilograd.lower import Lowered
    from kilograd.material import Material
    from kilograd.schedule import Schedule

POINTS = 60
"""Of each curve."""
GLANCE = 50
"""Test samples of the curve at least; in all they are half as many as training samples. The result is of all."""
IMAGES = 10
FORMAT = 2
"""Of the cached files: another number makes them anew."""


@dataclass(frozen=True)
class Outcome:
    """What one run has shown."""

    accuracy: float
    samples: tuple[int, ...]
    """Training samples seen at each point of the curves."""
    loss: tuple[float, ...]
    """Mean training loss since the point before."""
    train_accuracy: tuple[float, ...]
    """Share of training samples that were classified rightly before they were learned, since the point before."""
    test_accuracy: tuple[float, ...]
    """Of the first test samples, at each point."""
    gradients: dict[str, tuple[tuple[float, ...], ...]]
    """Per layer and point: mean |gradient| of each structure (or group of them) in the units of the loss."""
    kept: dict[str, tuple[float, ...]]
    """Per layer and point: share of structures kept by sparse updates; empty where nothing is dropped."""
    bound: float | None = None
    """Of an autoencoder: its negative ELBO on the test samples in nats; then `accuracy` is its best classifier's."""
    classifiers: dict[str, float] = field(default_factory=dict)
    """Of an autoencoder: accuracy of a classifier on its latent means, by labels per class."""
    images: tuple[tuple[float, ...], ...] = ()
    """Of an autoencoder: some test images, and as many reconstructions, flat."""


def run_job(experiment: Experiment, title: str, out: Path, progress: Progress) -> Outcome:
    """Return the outcome of an experiment on the host twin."""
    material = teach(load_material(experiment, out, progress), experiment, out, progress)
    lowered = lower_for(material, "host", out / "host")
    schedule = schedule_for(experiment, material, most=None)
    key = _key(experiment, lowered, schedule, material)
    cached = paths.cache() / "results" / f"{material.graph.name}-{key}.json"
    known = _read(cached)
    if known is None:
        known = _train(experiment, lowered, schedule, material, title, out, progress)
        _write(known, cached)
    return known


def _train(
    experiment: Experiment,
    lowered: Lowered,
    schedule: Schedule,
    material: Material,
    title: str,
    out: Path,
    progress: Progress,
) -> Outcome:
    with progress.task(f"building {title}"):
        twin = build_twin([lowered.source], out / "host" / "build")
    form, total = lowered.program.input_format, len(schedule.order)
    few = max(GLANCE, total // (2 * POINTS))
    glance = Samples(material.test.x[:few], material.test.y[:few])
    with HostEngine(twin) as engine, progress.task(f"training {title}", total) as task:
        session = Session(engine)
        watch = Watch(lowered.program, session, lambda: score(material, session, glance, form, lambda _: None))
        points = watch_points(total, schedule.batch)
        results = train(session, material.train, form, schedule, task.advance, dict.fromkeys(points, watch.look))
        with progress.task(f"testing {title}", len(material.test)) as test:
            share = score(material, session, material.test, form, test.advance)
        losses, right = _curves(results, points)
        outcome = Outcome(
            share, tuple(points), losses, right,
            tuple(watch.accuracies), watch.gradient_table(), watch.kept_table(),
        )  # fmt: skip
        if material.labels is None:
            return outcome
        return _autoencoder(outcome, experiment, material, lowered, session, out, progress)


def _autoencoder(
    outcome: Outcome,
    experiment: Experiment,
    material: Material,
    lowered: Lowered,
    session: Session,
    out: Path,
    progress: Progress,
) -> Outcome:
    """Add what an autoencoder has instead of an accuracy: its bound, classifiers on its means, reconstructions."""
    classifiers: dict[int, float] = {}
    if material.labels is not None and experiment.classifier.labels_per_class:
        features = latent_features(experiment, material, material.labels, session, lowered.program.input_format)
        classifiers = classify_features(experiment, material, features, out / "classifier", progress)
    originals = material.test.x[:IMAGES]
    pairs = np.concatenate([originals, reconstruct(session, originals, lowered.program)]).reshape(2 * IMAGES, -1)
    return replace(
        outcome,
        accuracy=max(classifiers.values(), default=0.0),
        bound=outcome.accuracy,
        classifiers={str(count): share for count, share in classifiers.items()},
        images=tuple(tuple(round(float(value), 3) for value in image) for image in pairs),
    )


def watch_points(total: int, batch: int) -> list[int]:
    """Return when to look: evenly spread, one sample before a minibatch ends, so that its gradient is there."""
    whole = total // batch
    numbers = np.unique(np.linspace(1, whole, min(POINTS, whole)).round().astype(int))
    return sorted({max(1, int(number) * batch - 1) for number in numbers})


def _curves(results: Sequence[Results], points: Sequence[int]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    loss = np.concatenate([result.losses for result in results])
    right = np.concatenate([result.predicted == result.labels for result in results])
    parts = [slice(start, end) for start, end in zip((0, *points[:-1]), points, strict=True)]
    return (
        tuple(round(float(loss[part].mean()), 5) for part in parts),
        tuple(round(float(right[part].mean()), 5) for part in parts),
    )


def _key(experiment: Experiment, lowered: Lowered, schedule: Schedule, material: Material) -> str:
    """Return a hash of everything that decides the outcome: tables and runtime, order and data."""
    digest = hashlib.sha256(lowered.source.read_bytes())
    plain = {key: value for key, value in vars(schedule).items() if key != "order"}
    digest.update(repr((FORMAT, POINTS, GLANCE, sorted(plain.items()))).encode())
    arrays = [schedule.order, material.train.x, material.train.y, material.test.x, material.test.y]
    if material.labels is not None:
        digest.update(repr((experiment.classifier, experiment.train.seed)).encode())
        arrays += material.labels
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    for source in sorted((paths.share() / "firmware").rglob("*.[ch]")):
        if source.parent.name in {"ops", "runtime"}:
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _read(path: Path) -> Outcome | None:
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Outcome(
            stored["accuracy"],
            tuple(stored["samples"]),
            tuple(stored["loss"]),
            tuple(stored["train_accuracy"]),
            tuple(stored["test_accuracy"]),
            {layer: tuple(map(tuple, rows)) for layer, rows in stored["gradients"].items()},
            {layer: tuple(shares) for layer, shares in stored["kept"].items()},
            stored["bound"],
            stored["classifiers"],
            tuple(map(tuple, stored["images"])),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there, or damaged: it is made again


def _write(outcome: Outcome, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
    fresh.replace(path)
