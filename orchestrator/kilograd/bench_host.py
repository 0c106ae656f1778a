# SPDX-License-Identifier: Apache-2.0
"""
Measures how many samples a second the host twin trains, beside torch where it is installed.

Seconds are processor time, of this process and the twin together: that is one core for both sides. They take turns, and
the best turn of each counts, so that other programs on the machine change little.
"""

from __future__ import annotations

import math
import resource
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd import bench_torch
from kilograd.build import build_kernels, build_twin
from kilograd.data import load_dataset
from kilograd.engines.host import HostEngine
from kilograd.errors import KilogradError
from kilograd.link.session import Session
from kilograd.load import load_model
from kilograd.lower import Settings, lower
from kilograd.quantise import store_input
from kilograd.schedule import CHUNK
from kilograd.types import Samples

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from kilograd.lower import Lowered
    from kilograd.types import Format, Graph, Shape

MODEL = "mnist_cnn"
CONFIGURATION = "uint8"
SECONDS = 2.0
TURNS = 5
BATCH = 48
RATE = 1e-5
"""So small that the model stays as it starts, and so does its speed."""
CALIBRATION_SAMPLES = 200
CLASSES = 10


def bench(model: str = MODEL, configuration: str = CONFIGURATION, seconds: float = SECONDS) -> dict[str, Any]:
    """Train a model on enlarged digits for so many seconds, on the twin and with torch; return both speeds."""
    if not 0 < seconds < math.inf:
        message = f"nothing can be measured in {seconds} seconds"
        raise KilogradError(message, "give a number above 0, such as 5")
    graph = load_model(model, base=Path(), seed=1, classes=CLASSES)
    samples = digits(graph.shapes[graph.input])
    with tempfile.TemporaryDirectory() as folder:
        lowered, twin = _build(graph, configuration, samples.x[:CALIBRATION_SAMPLES], Path(folder))
        torch = bench_torch.trainer(graph, samples, BATCH, RATE)
        turns = [
            (_train_twin(twin, samples, lowered.program.input_format, seconds), _train_torch(torch, seconds))
            for _ in range(TURNS)
        ]
    return {
        "schema": 1,
        "model": graph.name,
        "configuration": configuration,
        "batch": BATCH,
        "samples_per_second": round(max(own for own, _ in turns), 1),
        "torch_samples_per_second": None if torch is None else round(max(other for _, other in turns), 1),
    }


def digits(shape: Shape) -> Samples:
    """Return scikit-learn's digits in another shape: their pixels enlarged, the same in every channel."""
    digits = load_dataset("digits").train
    channels, height, width = shape if len(shape) == 3 else (1, 1, math.prod(shape))  # noqa: PLR2004 - (C, H, W)
    small = digits.x[:, 0] if height > 1 else digits.x.reshape(len(digits), 1, -1)
    rows = np.arange(height) * small.shape[1] // height
    columns = np.arange(width) * small.shape[2] // width
    large = np.repeat(small[:, None, rows][..., columns], channels, axis=1)
    return Samples(large.reshape(len(digits), *shape), digits.y)


def _build(graph: Graph, configuration: str, calibration: NDArray[np.float32], folder: Path) -> tuple[Lowered, Path]:
    settings = Settings(configuration=configuration, recipe="best", layers="all")
    lowered = lower(graph, settings, calibration, "host", build_kernels(folder / "kernels"), folder)
    return lowered, build_twin([lowered.source], folder / "build")


def _train_twin(twin: Path, samples: Samples, form: Format, seconds: float) -> float:
    """Train for so many seconds, and return the samples per second of processor time."""
    trained, before, end = 0, _processor_seconds(), time.perf_counter() + seconds
    with HostEngine(twin) as engine:
        session = Session(engine)
        session.configure(1, 0, BATCH, RATE)
        while trained == 0 or time.perf_counter() < end:
            chosen = np.arange(trained, trained + CHUNK) % len(samples)
            session.train(store_input(samples.x[chosen], form), samples.y[chosen])
            trained += CHUNK
    return trained / (_processor_seconds() - before)


def _train_torch(step: Callable[[], None] | None, seconds: float) -> float:
    """Do the same with torch, where it is there."""
    trained, before, end = 0, _processor_seconds(), time.perf_counter() + seconds
    while step is not None and (trained == 0 or time.perf_counter() < end):
        step()
        trained += BATCH
    return trained / (_processor_seconds() - before)


def _processor_seconds() -> float:
    """Return what this process and its ended children have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
