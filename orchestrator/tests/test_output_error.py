# SPDX-License-Identifier: Apache-2.0
"""Output errors of many classes: stochastic rounding that is exact in the mean, and the old bits for few classes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilograd.graph import make_graph
from kilograd.losses.cross_entropy import MANY_CLASSES
from kilograd.state import read_array, split_state
from kilograd.zoo import _layers as layer
from oracle_numbers import F, dither, nearest

if TYPE_CHECKING:
    from kilograd.types import Graph
    from twins import Twin, Twins

CLASSES = 60
OUTPUT_STREAM = 0x30000
SEED = 7


def head(classes: int) -> Graph:
    """Return a net of one layer: the gradients of its biases are the output errors themselves."""
    rng = np.random.default_rng(4)
    fc = layer.linear(rng, "fc", "features", (64, classes))
    assert fc.weight is not None
    sure = replace(fc, weight=fc.weight * np.float32(4))  # some classes are far less likely than others
    return make_graph("head", (1, 8, 8), (layer.flatten("features", "input"), sure))


def errors_of(twin: Twin, x: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of the rounded output errors over samples, in steps, and the exact errors of each sample."""
    with twin.session() as session:
        z = session.evaluate(x, labels).logits.astype(np.float64)
        session.configure(SEED, 0, len(labels) + 1, 1e-3)
        session.train(x, labels)
        summed = read_array(twin.program, session.read_state(), "fc_gb").astype(np.int64)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return summed, (p - np.eye(p.shape[1])[labels]) * 128


def samples(twin: Twin, count: int) -> np.ndarray:
    """Return random images as the twin takes them."""
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (count, *twin.quantised.graph.shapes["input"])).astype(np.uint8)


def test_errors_of_many_classes_are_dithered(twins: Twins) -> None:
    """For each of some samples: floor(error + u) with the numbers of the counter, bit for bit."""
    twin = twins.get(head(CLASSES), "uint8")
    x, label = samples(twin, 6), np.array([3])
    for number in range(len(x)):
        summed, exact = errors_of(twin, x[number : number + 1], label)
        u = dither(SEED, OUTPUT_STREAM, 0, CLASSES) >> 16
        fine = nearest(exact[0] * 65536)
        expected = np.clip((fine + u) >> 16, -128, 127)
        near = np.abs((fine + u) & 0xFFFF).astype(np.int64)  # where float32 and float64 may fall apart
        sure = (near > 8) & (near < 0x10000 - 8)

        assert sure.mean() > 0.9
        np.testing.assert_array_equal(summed[sure], expected[sure])


def test_dithered_errors_are_exact_in_the_mean(twins: Twins) -> None:
    """Errors below half a step, which rounding to nearest would lose, arrive in full over some samples."""
    twin = twins.get(head(CLASSES), "uint8")
    count = 2000
    x = np.repeat(samples(twin, 1), count, axis=0)
    summed, exact = errors_of(twin, x, np.full(count, 3))

    small = np.abs(exact[0]) < 0.5
    assert small.sum() > 5
    np.testing.assert_allclose(summed / count, exact[0], atol=0.03)
    assert (nearest(exact[0][small]) == 0).all()


@pytest.mark.parametrize(("classes", "dithered"), [(10, False), (MANY_CLASSES - 1, False), (MANY_CLASSES, True)])
def test_few_classes_are_rounded_to_nearest(twins: Twins, classes: int, dithered: bool) -> None:
    """The step list of the usual nets stays what it was."""
    program = twins.get(head(classes), "uint8").program
    functions = [step.function for step in program.phases["backward"] if step.role == "output error"]

    assert functions == [f"kg_step_output_error{'_dithered' if dithered else ''}_u8"]


def test_float32_heads_need_no_rounding(twins: Twins) -> None:
    """Their errors are not quantised, however many classes there are."""
    twin = twins.get(head(CLASSES), "float32")
    x = samples(twin, 1).astype(F) / F(255)
    with twin.session() as session:
        session.configure(SEED, 0, 2, 1e-3)
        session.train(x, np.array([3]))
        parts = split_state(twin.program, session.read_state())

    assert np.frombuffer(parts["fc_gb"], F).sum() == pytest.approx(0, abs=1e-5)
