# SPDX-License-Identifier: Apache-2.0
"""Gradients in the twin's state: float32 against finite differences, quantised against float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kilograd.graph import evaluate
from kilograd.state import read_array, split_state
from kilograd.types import Address, Samples
from kilograd.zoo import build_model
from oracle_float import derivatives, logits, parameters
from test_training_step import model
from twins import classifiers, digits, samples_for, some

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from kilograd.types import Graph
    from twins import Twin, Twins

    Array = NDArray[Any]
    Gradients = Mapping[str, tuple[Array, Array]]

WEIGHTS = 24
BIASES = 6
DEEP = 20  # layers of a model
SAMPLES = 40
GRAPHS = [*classifiers(), "branching", "gated"]


def a_sample(graph: Graph) -> Samples:
    """Return one sample without equal or zero pixels: no maximum is shared, no rectifier sits on its kink."""
    rng = np.random.default_rng(9)
    return Samples(rng.uniform(0.1, 1, (1, *graph.shapes[graph.input])).astype(np.float32), np.array([4]))


def float_gradients(twin: Twin, samples: Samples, seed: int = 0) -> Gradients:
    """Return g and gb of every float32 layer after samples, without an update."""
    with twin.session() as session:
        session.configure(seed, 0, len(samples) + 1, 1e-3)
        session.train(*twin.store(samples))
        state = session.read_state()
    return {
        name: (read_array(twin.program, state, f"{name}_g"), read_array(twin.program, state, f"{name}_gb"))
        for name in twin.trained
    }


def correlation(a: Array, b: Array) -> float:
    """Return the correlation of two flat arrays."""
    return float(np.corrcoef(a, b)[0, 1])


def alike(ours: Array, exact: Array) -> bool:
    """Tell whether gradients agree as those of a layer must: in direction and in size."""
    return correlation(ours, exact) > 0.999 and 0.99 < float(ours @ exact) / float(exact @ exact) < 1.01


@pytest.mark.parametrize("name", GRAPHS)
def test_float_model_of_the_tests_is_that_of_the_graph(name: str) -> None:
    """Finite differences are worth what their model is worth: it agrees with the operators' own evaluation."""
    graph = model(name)
    sample = a_sample(graph)

    expected = evaluate(graph, sample.x)[graph.output][0]
    np.testing.assert_allclose(logits(graph, sample.x[0], parameters(graph)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", GRAPHS)
def test_float32_gradients_are_the_derivatives_of_the_loss(twins: Twins, name: str) -> None:
    """Weights and biases of every layer of every model (of deep ones, some), against central differences in float64."""
    graph, rng = model(name), np.random.default_rng(1)
    sample = a_sample(graph)
    found = float_gradients(twins.get(graph, "float32"), sample)
    layers = [node.name for node in graph.nodes if node.weight is not None]
    for layer in layers if len(layers) <= DEEP else {*layers[::6], layers[-1]}:
        members = found[layer]
        for member, (gradient, count) in enumerate(zip(members, (WEIGHTS, BIASES), strict=True)):
            alive = np.flatnonzero(gradient)
            chosen = rng.choice(alive, min(count, len(alive)), replace=False)
            exact = derivatives(graph, sample.x[0], 4, layer, member, chosen)

            assert alike(gradient[chosen].astype(np.float64), exact), (layer, member)


@pytest.mark.parametrize("name", ["digits_cnn", "branching"])
def test_float32_gradients_are_zero_where_the_loss_is_flat(twins: Twins, name: str) -> None:
    """Weights behind a rectifier that is off get nothing."""
    graph = model(name)
    sample = a_sample(graph)
    for layer, (gradient, _) in float_gradients(twins.get(graph, "float32"), sample).items():
        dead = np.flatnonzero(gradient == 0)[:10]

        np.testing.assert_allclose(derivatives(graph, sample.x[0], 4, layer, 0, dead), 0, atol=1e-9)


def test_float32_gradients_add_up_over_a_minibatch(twins: Twins) -> None:
    """The buffer holds the sum over the samples, whose order changes no more than the last bits."""
    twin = twins.get(model("digits_cnn"), "float32")
    samples = some(digits()[0], 4)
    parts = [float_gradients(twin, Samples(samples.x[i : i + 1], samples.y[i : i + 1])) for i in range(4)]
    for layer, (gradient, bias) in float_gradients(twin, samples).items():
        np.testing.assert_allclose(gradient, sum(part[layer][0] for part in parts), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(bias, sum(part[layer][1] for part in parts), rtol=1e-4, atol=1e-6)


# --- quantised -------------------------------------------------------------------------------------------------------


def quantised_gradients(twin: Twin, samples: Samples, seed: int = 0) -> Gradients:
    """Return g and gb in real units after samples, once the error scales have settled at a learning rate of 0."""
    with twin.session() as session:
        session.configure(0, 0, 8, 0.0)
        session.train(*twin.store(Samples(np.tile(samples.x, (2, 1, 1, 1)), np.tile(samples.y, 2))))
        state = session.read_state()
        gradients = [name for name in twin.program.state if name.endswith(("_g", "_gb"))]
        empty = {name: bytes(len(data)) for name, data in split_state(twin.program, state).items() if name in gradients}
        session.write_state(twin.with_parts(state, empty))
        session.configure(seed, 0, len(samples) + 1, 0.0)
        session.train(*twin.store(samples))
        state = session.read_state()
    return {name: in_real_units(twin, state, name) for name in twin.trained}


def in_real_units(twin: Twin, state: bytes, name: str) -> tuple[Array, Array]:
    """Return a layer's gradients; the unit of g is s_e s_x 2^g_shift, that of gb is s_e."""
    g, gb = (read_array(twin.program, state, f"{name}_{member}").astype(np.float64) for member in ("g", "gb"))
    if read_array(twin.program, state, f"{name}_w").dtype == np.float32:
        return g, gb
    parts = split_state(twin.program, state)
    parameter = next(record.values for record in twin.program.records if record.name == f"{name}_parameter")
    error = parameter["error"]
    assert isinstance(error, Address)
    step = float(np.frombuffer(parts[error.name], np.float32)[0]) * float(str(parameter["error_factor"]))
    shift = int(np.frombuffer(parts[f"{name}_state"], np.int32)[1])
    x_scale = float(str(parameter["x_scale"]))
    return g * step * x_scale * 2.0**shift, gb * step


@pytest.mark.parametrize("configuration", ["uint8", "mixed"])
@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("digits_pretrained", 0.98),
        ("mlp_784_64_10", 0.98),
        ("cnn8_16_fc64_fc10", 0.94),  # not trained: small differences of maxima route errors elsewhere
        ("branching", 0.94),
        ("resnet_tiny", 0.94),
    ],
)
def test_quantised_gradients_correlate_with_float(twins: Twins, name: str, least: float, configuration: str) -> None:
    """Eight bits in weights, activations and errors lose little of any layer's gradient."""
    graph = twins.pretrained() if name == "digits_pretrained" else model(name)
    samples = mixed_up(graph)
    exact = float_gradients(twins.get(graph, "float32"), samples)
    ours = quantised_gradients(twins.get(graph, configuration), samples)
    for layer, members in exact.items():
        assert all(gradient.any() for gradient in ours[layer]), layer
        for a, b in zip(ours[layer], members, strict=True):
            assert correlation(a, b) > least, layer
        assert ours[layer][0] @ members[0] / (members[0] @ members[0]) == pytest.approx(1, abs=0.15), layer


def mixed_up(graph: Graph) -> Samples:
    """Return digits with some noise and random labels: every sample has a large error, no maximum is shared."""
    rng = np.random.default_rng(3)
    x = some(samples_for(graph), SAMPLES).x
    noisy = 0.8 * x + 0.2 * rng.random(x.shape, np.float32)
    return Samples(noisy.astype(np.float32), rng.integers(10, size=SAMPLES))


def test_mixed_head_gradient_is_exact_in_its_activations(twins: Twins) -> None:
    """Behind uint8 layers, the float head gets e x^T of the values that it has read, in full precision."""
    twin = twins.get(twins.pretrained(), "mixed")
    x, labels = twin.store(some(digits()[0], 1))
    with twin.session() as session:
        z = session.evaluate(x, labels).logits[0].astype(np.float64)
        session.configure(0, 0, 2, 1e-3)
        session.train(x, labels)
        state = session.read_state()

    g = read_array(twin.program, state, "fc2_g").reshape(10, -1).astype(np.float64)
    gb = read_array(twin.program, state, "fc2_gb").astype(np.float64)
    p = np.exp(z - z.max())
    np.testing.assert_allclose(gb, p / p.sum() - np.eye(10)[labels[0]], rtol=1e-5, atol=1e-7)
    head = next(node for node in twin.quantised.graph.nodes if node.name == "fc2")
    label = int(labels[0])
    read = g[label] / gb[label]
    np.testing.assert_allclose(g, np.outer(gb, read), rtol=1e-5, atol=1e-7)
    assert head.weight is not None
    assert head.bias is not None
    np.testing.assert_allclose(head.weight @ read + head.bias, z, rtol=1e-4, atol=1e-4)


# --- some layers only ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [2, ("conv1", "fc1", "fc2"), ("conv2",)], ids=str)
def test_frozen_layers_leave_the_state_and_change_no_gradient(twins: Twins, layers: int | tuple[str, ...]) -> None:
    """What does not train costs no RAM; errors pass through it as before."""
    graph, samples = model("digits_cnn"), some(digits()[0], 8)
    everything = float_gradients(twins.get(graph, "float32"), samples)
    twin = twins.get(graph, "float32", layers=layers)

    expected = {"fc1", "fc2"} if layers == 2 else set(layers)  # type: ignore[arg-type]
    ours = float_gradients(twin, samples)
    assert set(ours) == expected
    owners = {name.rsplit("_", 1)[0] for name in twin.program.state}
    assert owners == expected
    for layer, (gradient, bias) in ours.items():
        np.testing.assert_array_equal(gradient, everything[layer][0])
        np.testing.assert_array_equal(bias, everything[layer][1])


def test_frozen_weights_of_a_uint8_model_lie_in_flash(twins: Twins) -> None:
    """Only trained weights and what follows them is in the state, and nothing is computed below the first of them."""
    twin = twins.get(build_model("digits_cnn", seed=5), "uint8", layers=2)

    weights = {name for name in twin.program.state if name.endswith(("_w", "_b"))}
    assert weights == {"fc1_w", "fc1_b", "fc2_w", "fc2_b"}
    assert {twin.program.buffers[f"{name}_w"].segment for name in ("conv1", "conv2")} == {"weights"}
    assert {step.layer for step in twin.program.phases["backward"]} == {"loss", "fc2", "fc1"}
