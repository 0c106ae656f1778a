# SPDX-License-Identifier: Apache-2.0
"""Pretraining: it learns, gives the same weights whenever it is asked the same, and is done once."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kilograd import graph as graphs
from kilograd.console import SilentProgress
from kilograd.data import load_dataset
from kilograd.pretrain import Pretraining, pretrain
from kilograd.types import Samples
from kilograd.zoo import build_model
from workshop import workshop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kilograd.types import Graph

QUICK = Pretraining("digits", epochs=1, rate=2e-3, seed=1)


class Notes(SilentProgress):
    """Writes down which tasks have begun."""

    def __init__(self) -> None:
        self.tasks: list[str] = []

    @contextmanager
    def task(self, description: str, total: int | None = None) -> Iterator[Any]:
        """Begin a piece of work."""
        self.tasks.append(description)
        with super().task(description, total) as task:
            yield task


class Machine:
    """A machine with an empty cache, and the number of trainings that have happened there."""

    def __init__(self, folder: Path, kernels: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache = folder
        self.notes = Notes()
        self._kernels, self._out = kernels, out
        self._monkeypatch = monkeypatch

    def pretrain(self, how: Pretraining, graph: Graph | None = None, samples: Samples | None = None) -> Graph:
        """Pretrain digits_cnn on digits, or what is given."""
        self._monkeypatch.setenv("KILOGRAD_CACHE", str(self.cache))
        graph = graph or build_model("digits_cnn", seed=1, classes=10)
        samples = samples or load_dataset("digits").train
        return pretrain(graph, samples, how, self._out, self._kernels, self.notes)

    @property
    def trainings(self) -> int:
        """Return how often a model was trained, and not read."""
        return len(self.notes.tasks)

    @property
    def files(self) -> list[Path]:
        """Return what lies of pretraining in the cache."""
        return sorted(path for path in (self.cache / "pretrained").rglob("*") if path.is_file())


@pytest.fixture
def machines(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Machine]:
    """Return a maker of machines with empty caches; all of them share one build folder."""
    shop = workshop(tmp_path_factory)
    count = iter(range(100))

    def make() -> Machine:
        return Machine(tmp_path / f"cache{next(count)}", shop.kernels, shop.root / "pretrain", monkeypatch)

    return make


@pytest.fixture
def machine(machines: Callable[[], Machine]) -> Machine:
    """Return a machine with an empty cache."""
    return machines()


def weights(graph: Graph) -> list[bytes]:
    """Return all weights and biases."""
    return [array.tobytes() for node in graph.nodes for array in (node.weight, node.bias) if array is not None]


def accuracy(graph: Graph, samples: Samples) -> float:
    """Return the share of right answers in numpy, which has not trained the model."""
    logits = graphs.evaluate(graph, samples.x)[graph.output]
    return float(np.mean(logits.argmax(axis=1) == samples.y))


def test_pretraining_learns_the_digits(machine: Machine) -> None:
    """From guessing to what the quickstart begins with, on images that were not trained on."""
    test = load_dataset("digits").test
    fresh = build_model("digits_cnn", seed=1, classes=10)

    trained = machine.pretrain(replace(QUICK, epochs=30))

    assert accuracy(fresh, test) < 0.3
    assert accuracy(trained, test) >= 0.97


def test_two_machines_get_the_same_weights(machines: Callable[[], Machine]) -> None:
    """A result can be repeated by somebody else, to the last bit."""
    one, other = machines(), machines()

    assert weights(one.pretrain(QUICK)) == weights(other.pretrain(QUICK))
    assert one.trainings == other.trainings == 1
    assert one.files[0].name == other.files[0].name


def test_the_second_time_weights_are_read_and_not_trained(machine: Machine) -> None:
    """A minute of pretraining is spent once."""
    first = machine.pretrain(QUICK)
    (file,) = machine.files
    written = file.stat().st_mtime_ns

    second = machine.pretrain(QUICK)

    assert weights(first) == weights(second)
    assert machine.trainings == 1
    assert file.stat().st_mtime_ns == written


def other_data() -> Samples:
    """Return the digits with one pixel of one image changed."""
    samples = load_dataset("digits").train
    x = samples.x.copy()
    x[5, 0, 3, 3] += 0.5
    return Samples(x, samples.y)


def other_graph() -> Graph:
    """Return digits_cnn without the rectifier behind its first layer: the same weights to start with."""
    graph = build_model("digits_cnn", seed=1, classes=10)
    first, *others = graph.nodes
    return replace(graph, nodes=(replace(first, attributes={**first.attributes, "relu": False}), *others))


@pytest.mark.parametrize(
    ("how", "graph", "samples"),
    [
        (replace(QUICK, seed=2), None, None),
        (replace(QUICK, epochs=2), None, None),
        (replace(QUICK, rate=1e-3), None, None),
        (QUICK, build_model("digits_cnn", seed=2, classes=10), None),
        (QUICK, other_graph(), None),
        (QUICK, None, other_data()),
    ],
    ids=["seed", "epochs", "rate", "first weights", "graph", "data"],
)
def test_whatever_decides_the_weights_is_part_of_the_key(
    machine: Machine, how: Pretraining, graph: Graph | None, samples: Samples | None
) -> None:
    """A cache that gives the weights of another question is worse than none."""
    known = machine.pretrain(QUICK)

    other = machine.pretrain(how, graph, samples)

    assert machine.trainings == 2
    assert len(machine.files) == 2
    assert weights(known) != weights(other)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda data: data[: len(data) // 2], id="cut off"),
        pytest.param(lambda data: data[:-4], id="without its end"),
        pytest.param(lambda data: data[:9000] + b"\xff" + data[9001:], id="one byte changed"),
        pytest.param(lambda _: b"<html>disk full</html>", id="something else"),
        pytest.param(lambda data: data.replace(b"conv1.weight", b"conv1.height"), id="another name"),
    ],
)
def test_a_damaged_file_is_made_again(machine: Machine, damage: Callable[[bytes], bytes]) -> None:
    """A full disk or a killed process must neither stop the next run nor change its result."""
    good = machine.pretrain(QUICK)
    (file,) = machine.files
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert file.read_bytes() != whole

    again = machine.pretrain(QUICK)

    assert weights(good) == weights(again)
    assert machine.trainings == 2
    assert machine.files == [file]
    assert file.read_bytes() == whole
