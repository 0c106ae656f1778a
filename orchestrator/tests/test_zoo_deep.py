# SPDX-License-Identifier: Apache-2.0
"""The deep built-in models in their true sizes: counted by hand, planned, run and trained on a board."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilograd.graph import evaluate, macs, parameters
from kilograd.lower import Settings, make_program
from kilograd.platforms.board import load_board
from kilograd.types import Samples
from kilograd.zoo import build_model
from workshop import Task, steps, workshop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kilograd.types import Graph, Shape

SAMPLES = 4

Layer = tuple[int, int, int]
"""Inputs of one output, outputs, positions."""


@dataclass(frozen=True)
class Deep:
    """A model, the layers that a board trains, and the board."""

    name: str
    layers: int
    board: str

    def __str__(self) -> str:
        return self.name


DEEP = [
    Deep("mbednet", 5, "nrf52840"),
    Deep("mcunet_5fps", 2, "imxrt1062"),
    Deep("ds_cnn", 2, "rp2040"),
    Deep("resnet8", 3, "imxrt1062"),
]
EVERY = pytest.mark.parametrize("deep", DEEP, ids=str)


# --- sizes -----------------------------------------------------------------------------------------------------------


def inverted_residual(inputs: int, hidden: int, outputs: int, kernel: int, sizes: tuple[int, int]) -> Iterator[Layer]:
    """Yield the layers of a block of MobileNetV2 between maps of two sizes."""
    if hidden != inputs:
        yield inputs, hidden, sizes[0] ** 2
    yield kernel**2, hidden, sizes[1] ** 2
    yield hidden, outputs, sizes[1] ** 2


def mbednet() -> Iterator[Layer]:
    """Yield the layers for 3x32x32."""
    yield 3 * 9, 16, 16**2
    yield from inverted_residual(16, 16, 16, 3, (16, 16))
    yield from inverted_residual(16, 64, 24, 3, (16, 8))
    yield from inverted_residual(24, 72, 24, 3, (8, 8))
    yield from inverted_residual(24, 96, 40, 3, (8, 4))
    yield from inverted_residual(40, 120, 40, 3, (4, 4))
    yield 40, 128, 4**2
    yield 128, 10, 1


def mcunet_5fps() -> Iterator[Layer]:
    """Yield the layers for 3x128x128."""
    yield 3 * 9, 16, 64**2
    yield from inverted_residual(16, 16, 8, 3, (64, 64))
    yield from inverted_residual(8, 32, 16, 5, (64, 32))
    yield from inverted_residual(16, 64, 16, 3, (32, 32))
    yield from inverted_residual(16, 64, 24, 5, (32, 16))
    yield from inverted_residual(24, 120, 24, 3, (16, 16))
    yield from inverted_residual(24, 120, 40, 5, (16, 8))
    yield from inverted_residual(40, 160, 40, 5, (8, 8))
    yield from inverted_residual(40, 160, 48, 3, (8, 8))
    yield from inverted_residual(48, 208, 48, 5, (8, 8))
    yield from inverted_residual(48, 240, 96, 5, (8, 4))
    yield from inverted_residual(96, 432, 96, 3, (4, 4))
    yield from inverted_residual(96, 432, 96, 5, (4, 4))
    yield from inverted_residual(96, 528, 160, 7, (4, 4))
    yield 160, 10, 1


def ds_cnn() -> Iterator[Layer]:
    """Yield the layers for 1x49x10: 25 x 5 positions after the strided convolution."""
    yield 10 * 4, 64, 25 * 5
    for _ in range(4):
        yield 9, 64, 25 * 5
        yield 64, 64, 25 * 5
    yield 64, 10, 1


def resnet8() -> Iterator[Layer]:
    """Yield the layers for 3x32x32."""
    yield 3 * 9, 16, 32**2
    yield from [(16 * 9, 16, 32**2)] * 2
    yield from ((16 * 9, 32, 16**2), (32 * 9, 32, 16**2), (16, 32, 16**2))
    yield from ((32 * 9, 64, 8**2), (64 * 9, 64, 8**2), (32, 64, 8**2))
    yield 64, 10, 1


@pytest.mark.parametrize("count", [mbednet, mcunet_5fps, ds_cnn, resnet8])
def test_parameters_and_multiplications_counted_by_hand(count: Callable[[], Iterator[Layer]]) -> None:
    """A model is chosen by them: they are what its layers, written down once more, add up to."""
    graph, layers = build_model(count.__name__, seed=1), list(count())

    assert parameters(graph) == sum((inputs + 1) * outputs for inputs, outputs, _ in layers)
    assert macs(graph) == sum(inputs * outputs * positions for inputs, outputs, positions in layers)


@pytest.mark.parametrize(
    ("name", "share", "expected"),
    [
        ("mcunet_5fps", 0.02, (480_000, 23_000_000)),
        ("ds_cnn", 0.1, (24_908, 2_700_000)),
        ("resnet8", 0.02, (78_666, 12_500_000)),
    ],
)
def test_sizes_are_close_to_the_published_ones(name: str, share: float, expected: tuple[int, int]) -> None:
    """Those of the literature count BatchNorm's parameters, which are folded here, and twelve words."""
    graph = build_model(name, seed=1)

    assert (parameters(graph), macs(graph)) == pytest.approx(expected, rel=share)


@pytest.mark.parametrize(
    ("shape", "last", "weights"),
    [((3, 128, 128), (128, 16, 16), 432), ((9, 1, 128), (128, 1, 2), 1296), ((1, 1, 512), (128, 1, 8), 144)],
    ids=str,
)
def test_mbednet_takes_images_and_series(shape: Shape, last: Shape, weights: int) -> None:
    """A series has windows of 1x9 and strides of 4 instead of 3x3 and 2: the layers keep their weights."""
    graph = build_model("mbednet", seed=1, input_shape=shape)

    assert graph.shapes["head"] == last
    sizes = {node.name: node.weight.size for node in graph.nodes if node.weight is not None}
    images = {node.name: node.weight.size for node in build_model("mbednet", seed=1).nodes if node.weight is not None}
    assert sizes == images | {"stem": weights}


# --- in training -----------------------------------------------------------------------------------------------------


def task(deep: Deep, configuration: str = "uint8") -> Task:
    """Return a few steps of a model's last layers, on noise."""
    graph, rng = build_model(deep.name, seed=1), np.random.default_rng(2)
    parts = [
        Samples(rng.random((SAMPLES, *graph.shapes[graph.input]), np.float32), rng.integers(10, size=SAMPLES))
        for _ in range(2)
    ]
    settings = Settings(configuration, "best", deep.layers)
    return Task(graph, settings, *parts, steps(SAMPLES, 2))


@EVERY
def test_plan_wastes_nothing(deep: Deep, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The arena is as small as the largest live set, whether the last layers train or all."""
    work = task(deep)
    kernels = workshop(tmp_path_factory).kernels
    for layers in (deep.layers, "all"):
        settings = Settings("uint8", "best", layers)
        _, plan = make_program(work.graph, settings, work.train.x[:1], load_board(deep.board).core, kernels)

        assert plan.features == plan.features_bound


@EVERY
def test_twin_gives_the_logits_of_the_graph(deep: Deep, tmp_path_factory: pytest.TempPathFactory) -> None:
    """In float32 the C kernels and numpy agree on what the model means."""
    work = task(deep, "float32")
    before, _ = workshop(tmp_path_factory).on_host(work)

    expected = logits(work.graph, work.test)
    actual = np.frombuffer(before.logits, np.float32).reshape(expected.shape)
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def logits(graph: Graph, samples: Samples) -> np.ndarray:
    """Return what numpy gives."""
    return evaluate(graph, samples.x)[graph.output]


@EVERY
def test_last_layers_train_to_the_same_bits_on_a_board(deep: Deep, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every model on a board that it fits."""
    shop, work = workshop(tmp_path_factory), task(deep)
    before, expected = shop.on_host(work)

    on_board = shop.on_board(work, load_board(deep.board))

    assert before.state != expected.state
    assert expected.state == on_board.state
    assert expected.logits == on_board.logits
