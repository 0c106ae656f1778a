# SPDX-License-Identifier: Apache-2.0
"""Gradient buffers of 8 and 32 bits: the oracle's bits, the memory that they take, and that they learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilograd.data import load_dataset
from kilograd.errors import KilogradError
from kilograd.schedule import make_schedule, train
from kilograd.state import read_array, split_state
from oracle import Oracle
from oracle_numbers import GRADIENT_LIMITS
from test_training_step import BATCH, SEED, differing, model, randomise
from twins import digits, samples_for, some

if TYPE_CHECKING:
    from twins import Twins

OTHERS = pytest.mark.parametrize("bits", [8, 32])


@OTHERS
@pytest.mark.parametrize("name", ["digits_cnn", "branching"])
def test_state_equals_the_oracle_after_every_minibatch(twins: Twins, name: str, bits: int) -> None:
    """The same bits in every object of the state; sums of 32 bits are exact, and their unit never moves."""
    twin, minibatches = twins.get(model(name), "uint8", bits=bits), 4
    oracle = Oracle(twin.quantised, twin.trained, bits=bits)
    oracle.seed = SEED
    x, labels = twin.store(some(samples_for(twin.quantised.graph), BATCH * minibatches))
    with twin.session() as session:
        session.configure(SEED, 0, BATCH, 2e-3)
        for start in range(0, len(labels), BATCH):
            part = slice(start, start + BATCH)
            session.train(x[part], labels[part])
            oracle.train(x[part], labels[part], 2e-3)

            assert differing(twin, session, oracle) == []

    shifts = {layer.g_shift for layer in oracle.layers.values()}
    assert (shifts == {0}) == (bits == 32)


@OTHERS
@pytest.mark.parametrize("start", range(4))
def test_state_equals_the_oracle_from_any_state(twins: Twins, bits: int, start: int) -> None:
    """Full buffers and moving scales are too rare to be met by training alone."""
    twin, rng = twins.get(model("digits_cnn"), "uint8", bits=bits), np.random.default_rng(start)
    oracle = Oracle(twin.quantised, twin.trained, bits=bits)
    oracle.seed = SEED
    randomise(oracle, rng)
    x, labels = twin.store(some(digits()[0], 2 * BATCH, start))
    with twin.session() as session:
        session.write_state(twin.with_parts(session.read_state(), oracle.dump()))
        session.configure(SEED, 0, BATCH, 0.1)
        for part in (slice(0, BATCH), slice(BATCH, None)):
            session.train(x[part], labels[part])
            oracle.train(x[part], labels[part], 0.1)

            assert differing(twin, session, oracle) == []


def test_memory_of_the_plan_is_that_of_the_width(twins: Twins) -> None:
    """Each weight costs a byte, and as many more as its gradient has."""
    graph = model("digits_cnn")
    weights = sum(node.weight.size for node in graph.nodes if node.weight is not None)
    sizes = {bits: twins.get(graph, "uint8", bits=bits).plan.trained for bits in (8, 16, 32)}

    assert (sizes[16] - sizes[8], sizes[32] - sizes[16]) == (weights, 2 * weights)


@OTHERS
def test_training_adapts_to_a_changed_sensor(twins: Twins, bits: int) -> None:
    """Eight bits are enough to learn from, and hardly a gradient sits at its limit."""
    twin = twins.get(twins.pretrained(), "uint8", bits=bits)
    shifted = load_dataset("digits_shifted")
    test = twin.store(shifted.test)
    with twin.session() as session:
        schedule = make_schedule(len(shifted.train), 5, 48, 1e-3, 1)
        train(session, shifted.train, twin.program.input_format, schedule, lambda _: None)
        accuracy, state = session.evaluate(*test).accuracy, session.read_state()

    gradients = np.concatenate([read_array(twin.program, state, f"{name}_g") for name in twin.trained])
    assert accuracy > 0.85
    assert (np.abs(gradients.astype(np.int64)) == GRADIENT_LIMITS[bits]).mean() < 1e-3
    assert len(split_state(twin.program, state)["fc1_g"]) == bits // 8 * 256 * 32


def test_float_gradients_have_no_width_to_choose(twins: Twins) -> None:
    """The error names the recipe that has."""
    with pytest.raises(KilogradError, match="recipe paper has no gradients of 8 bits") as caught:
        twins.get(model("digits_cnn"), "uint8", "paper", bits=8)

    assert caught.value.hint == "train.gradient_bits is a choice of train.recipe: best"
