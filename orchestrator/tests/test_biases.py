# SPDX-License-Identifier: Apache-2.0
"""Steps of biases: alone, where no weight gradient exists, equal to the oracle's; beside weights, never thrown off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilograd.data import load_dataset
from kilograd.errors import KilogradError
from kilograd.graph import make_graph
from kilograd.schedule import make_schedule, train
from kilograd.state import read_array, split_state
from kilograd.zoo import _layers, build_model
from oracle import Oracle
from oracle_numbers import F
from test_training_step import BATCH, SEED, differing, model
from twins import digits, samples_for, some

if TYPE_CHECKING:
    from kilograd.types import Graph
    from twins import Twins

RATES = {"best": 0.01, "sgd_m": 1e8, "sgd_m_qas": 0.1}


@pytest.mark.parametrize("name", ["digits_cnn", "branching"])
@pytest.mark.parametrize("recipe", RATES)
def test_state_equals_the_oracle_after_every_minibatch(twins: Twins, name: str, recipe: str) -> None:
    """The same bits in every object of the state, in which there are no weights and no gradients of weights."""
    twin, minibatches = twins.get(model(name), "uint8", recipe, parameters="biases"), 4
    oracle = Oracle(twin.quantised, twin.trained, recipe, "biases")
    oracle.seed = SEED
    x, labels = twin.store(some(samples_for(twin.quantised.graph), BATCH * minibatches))
    with twin.session() as session:
        first = split_state(twin.program, session.read_state())
        session.configure(SEED, 0, BATCH, RATES[recipe])
        for start in range(0, len(labels), BATCH):
            part = slice(start, start + BATCH)
            session.train(x[part], labels[part])
            oracle.train(x[part], labels[part], RATES[recipe])

            assert differing(twin, session, oracle) == []
        last = split_state(twin.program, session.read_state())

    assert not [part for part in first if part.endswith(("_w", "_g"))]
    assert all(first[f"{layer}_b"] != last[f"{layer}_b"] for layer in twin.trained)


def test_float32_steps_are_relative_to_the_layers_root_mean_square(twins: Twins) -> None:
    """From gradients that the twin has summed itself: b -= rate gb / rms, and gb keeps 7/8, bit for bit."""
    twin = twins.get(model("digits_cnn"), "float32", parameters="biases")
    x, labels = twin.store(some(digits()[0], BATCH))

    def after(batch: int) -> dict[str, bytes]:
        with twin.session() as session:
            session.configure(SEED, 0, batch, 0.01)
            session.train(x, labels)
            return split_state(twin.program, session.read_state())

    summed, stepped = after(BATCH + 1), after(BATCH)
    for layer in twin.trained:
        b, gb = (np.frombuffer(summed[f"{layer}_{part}"], F) for part in ("b", "gb"))
        squares = F(0)
        for gradient in gb:
            squares += gradient * gradient
        per_unit = F(0.01) / np.sqrt(squares / F(len(gb)))
        assert (b - gb * per_unit).tobytes() == stepped[f"{layer}_b"]
        assert (gb * F(0.875)).tobytes() == stepped[f"{layer}_gb"]


def test_gradients_of_biases_are_those_of_whole_training(twins: Twins) -> None:
    """Leaving the weights alone changes nothing in what the biases are told."""
    samples = some(digits()[0], BATCH)
    states = []
    for parameters in ("all", "biases"):
        twin = twins.get(model("digits_cnn"), "float32", parameters=parameters)
        with twin.session() as session:
            session.configure(SEED, 0, BATCH + 1, 0.01)
            session.train(*twin.store(samples))
            states.append(split_state(twin.program, session.read_state()))

    everything, biases = states
    assert all(biases[part] == everything[part] for part in biases)
    assert {part.rpartition("_")[2] for part in biases} == {"b", "gb"}


@pytest.mark.parametrize("configuration", ["uint8", "mixed", "float32"])
def test_memory_is_that_of_the_biases(twins: Twins, configuration: str) -> None:
    """Weights count as flash; RAM holds 8 bytes for each output channel, and the scales."""
    graph = model("digits_cnn")
    plan = twins.get(graph, configuration, parameters="biases").plan
    whole = twins.get(graph, configuration).plan
    rows = sum(len(node.bias) for node in graph.nodes if node.bias is not None)

    assert 8 * rows <= plan.trained < 8 * rows + 600
    assert plan.weights > 9_000
    assert (whole.weights, whole.trained > 20 * plan.trained) == (0, True)
    assert plan.features <= whole.features


def test_biases_alone_adapt_to_a_changed_sensor(twins: Twins) -> None:
    """A hundred numbers cannot learn what ten thousand can, but they learn."""
    twin = twins.get(twins.pretrained(), "uint8", parameters="biases")
    shifted = load_dataset("digits_shifted")
    test = twin.store(shifted.test)
    with twin.session() as session:
        before = session.evaluate(*test)
        schedule = make_schedule(len(shifted.train), 5, 48, 0.02, 1)
        train(session, shifted.train, twin.program.input_format, schedule, lambda _: None)
        after = session.evaluate(*test)

    assert after.losses.mean() < before.losses.mean() / 1.5
    assert after.accuracy > before.accuracy + 0.1


def test_recipe_paper_cannot_train_biases_alone(twins: Twins) -> None:
    """Its step divides by the deviation of the gradients of the weights, which are not there."""
    with pytest.raises(KilogradError, match="recipe paper cannot train biases alone") as caught:
        twins.get(model("digits_cnn"), "uint8", "paper", parameters="biases")

    assert caught.value.hint.endswith("train.recipe: best, sgd_m, sgd_m_qas")


@pytest.mark.parametrize("configuration", ["uint8", "float32"])
def test_inputs_that_hardly_differ_cannot_throw_a_bias_off(twins: Twins, configuration: str) -> None:
    """Deviations of its gradients say nothing: a bias moves by 16 learning rates at most, not by thousands."""
    twin, rate = twins.get(digits_with_equal_features(), configuration), 1e-3

    def biases(state: bytes) -> np.ndarray:
        b = read_array(twin.program, state, "fc2_b").astype(float)
        if configuration == "float32":
            return b
        (node,) = (node for node in twin.quantised.graph.nodes if node.name == "fc2")
        scale = float(np.frombuffer(split_state(twin.program, state)["fc2_state"], np.float32, 1)[0])
        return b * scale * twin.quantised.formats[node.inputs[0]].scale

    with twin.session() as session:
        before = session.read_state()
        session.configure(SEED, 0, BATCH, rate)
        session.train(*twin.store(some(digits()[0], BATCH)))
        after = session.read_state()

    moved = np.abs(biases(after) - biases(before))
    assert moved.max() <= 16.01 * rate
    assert moved.max() > 15.5 * rate


def digits_with_equal_features() -> Graph:
    """Return a model whose last layer sees the same features for every sample, all equal but one, which is close."""
    graph = build_model("digits_cnn", seed=5)
    nodes = []
    for node in graph.nodes:
        if node.name == "fc1" and node.weight is not None and node.bias is not None:
            weight, bias = np.zeros_like(node.weight), np.ones_like(node.bias)
            bias[0] = 0.995
            nodes.append(_layers.Node(node.name, node.op, node.inputs, node.output, node.attributes, weight, bias))
        else:
            nodes.append(node)
    return make_graph("digits_equal", graph.shapes[graph.input], nodes)
