# SPDX-License-Identifier: Apache-2.0
"""The promise that everything rests on: training gives the same bits on the host and on every board."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from builds import CHIPS
from kilograd.graph import make_graph
from kilograd.lower import Settings
from kilograd.platforms.board import load_board
from kilograd.types import DENSE, Sparsity
from kilograd.zoo import build_model
from kilograd.zoo._layers import add, average_pool, conv2d, flatten, linear, max_pool, relu
from twins import gated_net, small_vae
from workshop import Task, Workshop, digits, steps, unlabelled, workshop

if TYPE_CHECKING:
    from kilograd.types import Graph
    from workshop import Trained

SAMPLES, BATCH = 112, 16


@dataclass(frozen=True)
class Case:
    """One training program; the host runs it with its own fast kernels, boards with theirs."""

    model: str
    configuration: str
    recipe: str
    layers: str | int = "all"
    parameters: str = "all"
    formats: tuple[tuple[str, str], ...] = ()
    bits: int = 16
    sparsity: Sparsity = DENSE
    classes: int = 10
    kernels: str = "fast"

    def __str__(self) -> str:
        trained = "" if self.layers == "all" else f"-last{self.layers}"
        some = "-biases" if self.parameters == "biases" else ""
        more = f"{some}{'-formats' if self.formats else ''}{'' if self.bits == 16 else f'-{self.bits}bits'}"
        more += "" if self.classes == 10 else f"-{self.classes}classes"
        sparse = "" if self.sparsity.dense else f"-{self.sparsity.selection}"
        small = "" if self.kernels == "fast" else "-small"
        return f"{self.model}-{self.configuration}-{self.recipe}{trained}{more}{sparse}{small}"


CASES = [
    *(Case("digits_cnn", form, recipe) for form in ("uint8", "mixed", "float32") for recipe in ("best", "paper")),
    Case("digits_cnn", "uint8", "best", layers=2),
    Case("digits_cnn", "uint8", "best", parameters="biases"),
    Case("small_resnet", "uint8", "best", formats=(("block_conv", "float32"), ("fc", "float32"))),
    *(Case("digits_cnn", "uint8", "best", bits=bits) for bits in (8, 32)),
    Case("digits_cnn", "uint8", "best", classes=24),
    Case("digits_cnn", "uint8", "sgd_m"),
    Case("digits_cnn", "mixed", "sgd_m_qas"),
    Case("small_resnet", "float32", "sgd_m"),
    Case("small_resnet", "uint8", "best", kernels="small"),
    # Sparse updates.
    Case("digits_cnn", "uint8", "best", sparsity=Sparsity(0.1, 0.5)),
    Case("digits_cnn", "mixed", "paper", sparsity=Sparsity(0.1, 0.5, "top_k")),
    Case("small_resnet", "uint8", "sgd_m", sparsity=Sparsity(0.2, 0.6)),
    *(Case("small_resnet", "float32", "best", sparsity=Sparsity(0.2, 0.6, how)) for how in ("proportional", "top_k")),
    # Every operator; in float32 on a smaller net, as the RP2040 computes floats in software.
    *(Case("resnet_tiny", form, "best") for form in ("uint8", "mixed")),
    *(Case("small_resnet", "float32", recipe) for recipe in ("best", "paper")),
    Case("small_vae", "uint8", "best"),
    Case("small_vae", "mixed", "paper"),
    Case("small_vae", "float32", "best"),
    *(Case("gated", form, "best") for form in ("uint8", "float32")),
]
RATES = {("uint8", "sgd_m"): 2e4, ("mixed", "sgd_m_qas"): 0.1, ("float32", "sgd_m"): 0.05}
ALL_CASES = pytest.mark.parametrize("case", CASES, ids=str)


def small_resnet() -> Graph:
    """Return a net of all operators for images of 8x8, with overlapping, padded and strided windows."""
    rng = np.random.default_rng(1)
    nodes = (
        conv2d(rng, "stem", "input", (1, 4), 3, stride=2, pad=1),
        relu("block_relu", "stem"),
        conv2d(rng, "block_conv", "block_relu", (4, 4), 3, pad=1),
        add("block_sum", ("block_conv", "stem"), relu=True),
        conv2d(rng, "depthwise", "block_sum", (4, 4), 3, pad=1, groups=4, relu=True),
        max_pool("pool", "depthwise", 2),
        conv2d(rng, "pointwise", "pool", (4, 8), 1, relu=True),
        average_pool("global_pool", "pointwise", 2),
        flatten("features", "global_pool"),
        linear(rng, "fc", "features", (8, 10)),
    )
    return make_graph("small_resnet", (1, 8, 8), nodes)


def task(case: Case, *, seed: int = 1) -> Task:
    """Return the work of a case: real digits, each trained once."""
    made = {"small_resnet": small_resnet, "gated": gated_net, "small_vae": small_vae}
    graph = made[case.model]() if case.model in made else build_model(case.model, seed=1, classes=case.classes)
    train, test = digits(SAMPLES, size=graph.shapes[graph.input][1])
    if graph.loss == "elbo":
        train, test = unlabelled(train), unlabelled(test)
    settings = Settings(
        case.configuration,
        case.recipe,
        case.layers,
        dict(case.formats),
        case.parameters,
        case.bits,
        case.sparsity,
        case.kernels,
    )
    rate = RATES.get((case.configuration, case.recipe), 1e-3)
    return Task(graph, settings, train, test, steps(SAMPLES, BATCH, rate=rate, seed=seed))


@cache
def on_host(shop: Workshop, case: Case) -> tuple[Trained, Trained]:
    """Return what the host twin has before and after training."""
    return shop.on_host(task(case))


@ALL_CASES
@pytest.mark.parametrize("name", CHIPS)
def test_training_gives_the_same_bits_on_the_host_and_on_a_board(
    case: Case, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """112 steps and 7 updates: all state, and the logits of samples not trained on, to the last bit."""
    shop = workshop(tmp_path_factory)
    _, expected = on_host(shop, case)

    on_board = shop.on_board(task(case), load_board(name))

    assert expected.logits == on_board.logits
    assert expected.state == on_board.state


@ALL_CASES
def test_what_is_compared_has_been_trained(case: Case, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Equal bits that never changed would prove nothing."""
    before, after = on_host(workshop(tmp_path_factory), case)

    changed = np.frombuffer(before.state, np.uint8) != np.frombuffer(after.state, np.uint8)
    assert changed.mean() > 0.05
    assert before.logits != after.logits


def test_another_seed_gives_other_bits(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The comparison sees what a single changed setting does: order of the samples and stochastic rounding."""
    shop = workshop(tmp_path_factory)
    case = CASES[0]

    _, other = shop.on_host(task(case, seed=2))

    assert on_host(shop, case)[1].state != other.state
