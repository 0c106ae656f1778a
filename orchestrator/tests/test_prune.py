# SPDX-License-Identifier: Apache-2.0
"""Pruning: how much goes when, what goes first, and that an experiment then has the smaller model everywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilograd.errors import KilogradError
from kilograd.graph import macs, parameters
from kilograd.prune import Pruning, prune, remove, share_after, strength
from kilograd.structures import groups
from kilograd.zoo import build_model

if TYPE_CHECKING:
    from command_line import Cli
    from kilograd.types import Graph

EXPERIMENT = """
name = "small"
[model]
source = "digits_cnn"
[data]
name = "digits_shifted"
samples = 96
test_samples = 150
[pretrain]
data = "digits"
epochs = 8
learning_rate = 3e-3
[prune]
target = 0.5
steps = 3
epochs = 8
[train]
epochs = 1
batch = 16
"""
WEIGHTS = 4 * 9 + 8 * 4 * 9 + 16 * 8 * 16 + 10 * 16
BIASES = 4 + 8 + 16 + 10
TRAINED_BYTES = WEIGHTS + 4 * BIASES + 2 * WEIGHTS + 4 * BIASES
"""Of the pruned model: uint8 weights, int32 biases, gradients of 16 and 32 bits."""
SCALES = 300


def test_the_share_follows_the_cubic_schedule() -> None:
    """Zhu and Gupta, equation 1, with values from a pocket calculator: fast at first, slow at the end."""
    how = Pruning(0.5, 4, "all")

    assert [share_after(step, how) for step in (1, 2, 3, 4)] == pytest.approx([0.2890625, 0.4375, 0.4921875, 0.5])


def test_the_weakest_structures_go() -> None:
    """The L1 norm of the weights ranks them; here it is known which are weak."""
    graph = build_model("digits_cnn", seed=1)
    first = graph.nodes[0]
    assert first.weight is not None
    factors = np.array([1, 0.1, 2, 0.2, 3, 0.3, 4, 0.4], np.float32)
    weight = np.sign(first.weight) * factors[:, None, None, None]
    graph = replace(graph, nodes=(replace(first, weight=weight), *graph.nodes[1:]))

    smaller = remove(graph, graph, ("conv1",), 0.5)

    np.testing.assert_allclose(strength(graph, groups(graph)[0]), factors)
    np.testing.assert_array_equal(smaller.nodes[0].weight, weight[[0, 2, 4, 6]])
    assert [node.weight.shape[0] for node in smaller.nodes if node.weight is not None] == [4, 16, 32, 10]


def test_each_step_goes_on_with_what_training_has_made() -> None:
    """Structures are chosen anew after each training, and the size after each step is that of the schedule."""
    graph, trained = build_model("digits_cnn", seed=1), []

    def retrain(smaller: Graph, step: int) -> Graph:
        trained.append(step)
        nodes = [node if node.weight is None else replace(node, weight=node.weight * step) for node in smaller.nodes]
        return replace(smaller, nodes=tuple(nodes))

    final, seen = prune(graph, Pruning(0.5, 4, "all"), retrain, lambda smaller: parameters(smaller) / 1e6)

    assert trained == [1, 2, 3, 4]
    assert [step.share for step in seen] == pytest.approx([0, 0.2890625, 0.4375, 0.4921875, 0.5])
    kept = [(8, 16, 32), (6, 11, 23), (4, 9, 18), (4, 8, 16), (4, 8, 16)]
    sizes = [c1 * 10 + c2 * (9 * c1 + 1) + f * (16 * c2 + 1) + 10 * (f + 1) for c1, c2, f in kept]
    assert [step.parameters for step in seen] == sizes
    assert [step.accuracy for step in seen] == [size / 1e6 for size in sizes]
    assert (seen[-1].parameters, seen[-1].macs) == (parameters(final), macs(final))
    assert final.nodes[-1].weight is not None
    assert np.abs(final.nodes[-1].weight).max() <= 24 / np.sqrt(32)


def test_something_is_always_left() -> None:
    """A layer without neurons would cut the model in two."""
    graph = build_model("digits_cnn", seed=1)

    smaller = remove(graph, graph, "all", 0.99)

    assert [node.weight.shape[0] for node in smaller.nodes if node.weight is not None] == [1, 1, 1, 10]


def test_an_experiment_goes_on_with_the_pruned_model(cli: Cli) -> None:
    """It is smaller on the board, still knows what it learned, learns, and has the host's bits."""
    experiment = cli.experiment(EXPERIMENT)

    done = cli.run("run", experiment, "--board", "nrf52840")

    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    (board,), steps = result["boards"], result["pruning"]
    assert [step["share"] for step in steps] == pytest.approx([0, 0.5 * 19 / 27, 0.5 * 26 / 27, 0.5])
    assert (steps[0]["parameters"], steps[-1]["parameters"]) == (9802, 40 + 296 + 2064 + 170)
    assert steps[0]["accuracy"] > 0.9
    assert steps[-1]["accuracy"] > steps[0]["accuracy"] - 0.06
    assert board["same_bits"] is True
    assert board["accuracy"]["before_shift"] > 0.85
    assert TRAINED_BYTES <= board["ram"]["trained"] < TRAINED_BYTES + SCALES


def test_a_plan_knows_the_pruned_size_without_training(cli: Cli) -> None:
    """Which channels go changes no size, so nothing needs to be trained to plan."""
    experiment = cli.experiment(EXPERIMENT)

    plans = [
        json.loads(cli.run("plan", experiment, "--set", f"prune.target={target}").stdout)["boards"][0]
        for target in ("0.5", "0.01")
    ]

    smaller, whole = (plan["ram"]["trained"] for plan in plans)
    assert TRAINED_BYTES <= smaller < TRAINED_BYTES + SCALES
    assert smaller < 0.4 * whole


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("prune.target=1.5", ["prune.target = 1.5", "less than 1"]),
        ("prune.target=0", ["prune.target = 0", "greater than 0"]),
        ('prune.target="half"', ["prune.target must be a number"]),
        ("prune.steps=0", ["prune.steps = 0"]),
        ("prune.layers=2", ['prune.layers must be "all" or a list of layer names']),
        ("prune.share=0.5", ["unknown key prune.share", "target, steps, epochs, layers"]),
        ('prune.layers=["conv3"]', ["no such layers to prune: conv3", "conv1, conv2, fc1"]),
        ('prune.layers=["fc2"]', ["no such layers to prune: fc2", "conv1, conv2, fc1"]),
    ],
)
def test_a_wrong_setting_is_named(cli: Cli, setting: str, expected: list[str]) -> None:
    """Before anything is trained; the last layer, which gives the scores, is never among the layers to prune."""
    told = cli.fails("plan", cli.experiment(EXPERIMENT), "--set", setting)

    for text in expected:
        assert text in told


def test_half_of_a_sum_is_refused() -> None:
    """Channels that are added go only together, so both layers must be named."""
    graph = build_model("resnet_tiny", seed=1)

    with pytest.raises(KilogradError, match="block_conv2: a sum ties the channels to those of stem") as caught:
        remove(graph, graph, ("block_conv2", "pointwise"), 0.5)

    assert "block_conv2 + stem" in caught.value.hint or "stem + block_conv2" in caught.value.hint
    both = remove(graph, graph, ("block_conv2", "stem"), 0.5)
    assert [both.shapes[name][0] for name in ("stem", "block_conv1", "block_sum", "depthwise")] == [4, 8, 4, 4]


def test_an_untrained_model_is_refused(cli: Cli) -> None:
    """Fresh weights tell nothing about what matters."""
    experiment = cli.experiment(EXPERIMENT.replace('data = "digits"\n', ""))

    told = cli.fails("plan", experiment)

    assert "digits_cnn starts untrained" in told
    assert "pretrain.data" in told
