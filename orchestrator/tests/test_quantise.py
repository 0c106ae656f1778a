# SPDX-License-Identifier: Apache-2.0
"""Storage formats: what they can hold, what they lose, and what is left of a whole network's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import KilogradError
from kilograd.graph import evaluate
from kilograd.losses import elbo
from kilograd.quantise import CONFIGURATIONS, LATENT_FORMAT, quantise, store_input
from kilograd.types import Format, QuantisedGraph
from kilograd.zoo import models
from oracle_float import logits, parameters
from test_training_step import model
from twins import digits, samples_for

if TYPE_CHECKING:
    from kilograd.types import Graph
    from twins import Twins

GRAPHS = [*models(), "branching", "gated"]
FINITE = st.floats(-1e4, 1e4, width=32)


def quantised(graph: Graph, configuration: str = "uint8", trained: frozenset[str] = frozenset()) -> QuantisedGraph:
    """Return a graph in its storage formats."""
    return quantise(graph, configuration, samples_for(graph).x[:60], trained)


def real(q: np.ndarray, form: Format) -> np.ndarray:
    """Return what stored numbers stand for."""
    return form.scale * (q.astype(np.float64) - form.zero)


@pytest.mark.parametrize("name", GRAPHS)
def test_formats_hold_zero_and_the_range_of_the_calibration(name: str) -> None:
    """Padding and rectifiers are exact, and no value of the calibration is clamped by more than half a step."""
    graph = model(name)
    found = quantised(graph)
    tensors = evaluate(graph, samples_for(graph).x[:60])
    for tensor, form in found.formats.items():
        if form.dtype == "float32":
            continue
        low, high = real(np.array([0, 255]), form)

        assert 0 <= form.zero <= 255
        assert real(np.array(form.zero), form) == 0
        assert form.scale == np.float32(form.scale)
        if tensor in tensors and form not in (LATENT_FORMAT, elbo.OUTPUT_FORMAT):
            assert low - form.scale / 2 <= tensors[tensor].min() * (1 + 1e-6)
            assert high + form.scale / 2 >= tensors[tensor].max() * (1 - 1e-6)


@pytest.mark.parametrize("name", GRAPHS)
def test_rectified_tensors_spend_no_code_on_negative_numbers(name: str) -> None:
    """Behind a rectifier the zero point is 0: the clamp is the rectifier, and the mask of its error."""
    found = quantised(model(name))
    for node in found.graph.nodes:
        if node.attributes.get("relu") and found.formats[node.output].dtype == "uint8":
            assert found.formats[node.output].zero == 0


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("train", [False, True])
def test_weights_and_biases_lose_half_a_step_at_most(name: str, *, train: bool) -> None:
    """Stored weights stand for the float ones; those that train leave room at both ends of their range."""
    graph = model(name)
    trained = frozenset(node.name for node in graph.nodes if node.weight is not None) if train else frozenset[str]()
    found = quantised(graph, trained=trained)
    for node in graph.nodes:
        if node.weight is None or node.bias is None:
            continue
        stored, source = found.weights[node.name], found.formats[node.inputs[0]]
        step = stored.format.scale

        assert np.abs(real(stored.weight, stored.format) - node.weight).max() <= step * 0.5001
        unit = step * source.scale
        assert np.abs(stored.bias * unit - node.bias).max() <= unit * 0.51 + 1e-6 * np.abs(node.bias).max()
        room = int(stored.weight.min()), 255 - int(stored.weight.max())
        assert min(room) >= 8 if train else max(room) <= 1


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("name", GRAPHS)
def test_configuration_decides_which_layers_are_integers(name: str, configuration: str) -> None:
    """uint8: all; mixed: all but the last with weights; float32: none. Every border is a node of its own."""
    found = quantised(model(name), configuration)
    weighted = [node.name for node in found.graph.nodes if node.weight is not None]
    integer = [name for name in weighted if found.weights[name].weight.dtype == np.uint8]

    expected = {"uint8": weighted, "mixed": weighted[:-1], "float32": []}[configuration]
    assert integer == expected
    if found.graph.loss == "cross_entropy":
        assert found.formats[found.graph.output].dtype == "float32"
    else:
        assert found.formats[found.graph.output].dtype == ("uint8" if configuration == "uint8" else "float32")
    borders = [node.op for node in found.graph.nodes if node.op in {"quantise", "dequantise"}]
    assert borders == (["dequantise"] if configuration == "mixed" and len(weighted) > 1 else [])


def test_unknown_configuration_lists_the_right_ones() -> None:
    """A typing error is repaired from the message."""
    with pytest.raises(KilogradError) as caught:
        quantised(model("digits_cnn"), "int8")

    assert all(name in caught.value.hint for name in CONFIGURATIONS)


def test_calibration_that_is_not_finite_is_refused() -> None:
    """A broken sample must not become a scale that is not a number."""
    graph = model("digits_cnn")
    x = samples_for(graph).x[:3].copy()
    x[1, 0, 2, 2] = np.nan

    with pytest.raises(KilogradError):
        quantise(graph, "uint8", x, frozenset())


@given(st.lists(FINITE, min_size=1, max_size=20), st.floats(2**-10, 2**10, width=32), st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_input_is_stored_to_the_nearest_step(values: list[float], scale: float, zero: int) -> None:
    """Inside the range half a step is lost at most; outside, the ends of the range stand for all."""
    x, form = np.float32(values), Format("uint8", scale, zero)
    stored = store_input(x, form)

    low, high = real(np.array([0, 255]), form)
    assert stored.dtype == np.uint8
    assert np.abs(real(stored, form) - np.clip(x.astype(np.float64), low, high)).max() <= scale * 0.5001


def test_float_input_is_stored_as_it_is() -> None:
    """A float32 model sees every bit of its samples."""
    x = np.random.default_rng(0).standard_normal((3, 1, 8, 8))

    stored = store_input(x.astype(np.float32), Format("float32"))
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, x.astype(np.float32))


# --- whole networks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("configuration", "least"), [("float32", 1.0), ("mixed", 0.97), ("uint8", 0.97)])
def test_twin_answers_as_the_float_model_on_real_digits(twins: Twins, configuration: str, least: float) -> None:
    """Logits of the twin against a float64 forward pass: correlation, and the share of equal classes."""
    graph = twins.pretrained()
    twin, (_, test) = twins.get(graph, configuration), digits()
    values = parameters(graph)
    exact = np.stack([logits(graph, x, values) for x in test.x])
    with twin.session() as session:
        ours = session.evaluate(*twin.store(test)).logits.astype(np.float64)

    assert np.corrcoef(ours.ravel(), exact.ravel())[0, 1] > 0.99
    assert (ours.argmax(axis=1) == exact.argmax(axis=1)).mean() >= least
    if configuration == "float32":
        np.testing.assert_allclose(ours, exact, rtol=1e-4, atol=1e-4)


def test_loss_and_class_come_from_the_logits(twins: Twins) -> None:
    """What the firmware reports of a sample agrees with its own logits in float64."""
    twin, (_, test) = twins.get(twins.pretrained(), "uint8"), digits()
    with twin.session() as session:
        results = session.evaluate(*twin.store(test))

    z = results.logits.astype(np.float64)
    top = z.max(axis=1)
    losses = np.log(np.exp(z - top[:, None]).sum(axis=1)) + top - z[np.arange(len(z)), test.y]
    np.testing.assert_array_equal(results.predicted, z.argmax(axis=1))
    np.testing.assert_allclose(results.losses, losses, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["resnet_tiny", "mnist_cnn"])
def test_untrained_models_keep_their_answers_in_uint8(twins: Twins, name: str) -> None:
    """Pools, residual sums and depthwise layers too: logits correlate with the float model's."""
    graph = model(name)
    twin, samples = twins.get(graph, "uint8"), samples_for(graph)
    with twin.session() as session:
        ours = session.evaluate(*twin.store(samples)).logits[:100]

    assert np.corrcoef(ours.ravel(), evaluate(graph, samples.x[:100])[graph.output].ravel())[0, 1] > 0.99
