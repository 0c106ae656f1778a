# SPDX-License-Identifier: Apache-2.0
"""Variational autoencoders: random numbers, the loss and its derivatives, what an evaluation answers."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kilograd.differentiate import differentiate
from kilograd.errors import KilogradError
from kilograd.graph import evaluate, make_graph
from kilograd.kernels import load_kernels
from kilograd.losses import elbo, loss_of, losses
from kilograd.ops.sample import FIRST_STREAM
from kilograd.quantise import CONFIGURATIONS, LATENT_FORMAT, quantise
from kilograd.state import read_array, read_record
from kilograd.types import Samples
from kilograd.zoo import _layers as layer
from oracle_float import central, parameters, run
from oracle_float import elbo as exact_elbo
from oracle_numbers import dither
from test_gradients import correlation, float_gradients, quantised_gradients
from test_training_step import model
from twins import digits, small_vae, some

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilograd.link.session import Results
    from twins import Twin, Twins

    Array = NDArray[Any]

DRAWS = 40_000
SEED = 5
BATCH = 8
SEEDS = 12


def normals(twins: Twins, count: int, *, seed: int = SEED, stream: int = 1, tick: int = 0) -> Array:
    """Return the first numbers of a stream."""
    function = ctypes.CDLL(str(twins.library)).kg_normal
    function.restype = ctypes.c_float
    words = [ctypes.c_uint32(word) for word in (seed, stream, tick)]
    return np.array([function(*words, ctypes.c_uint32(index)) for index in range(count)])


# --- random numbers --------------------------------------------------------------------------------------------------


def test_normal_numbers_have_the_moments_and_tails_of_the_normal_distribution(twins: Twins) -> None:
    """Mean, variance, skewness and kurtosis within four standard errors; tails as heavy as they must be."""
    x = normals(twins, DRAWS)
    error = 1 / np.sqrt(DRAWS)

    assert abs(x.mean()) < 4 * error
    assert abs(x.var() - 1) < 4 * np.sqrt(2) * error
    assert abs((x**3).mean()) < 4 * np.sqrt(15) * error
    assert abs((x**4).mean() - 3) < 4 * np.sqrt(96) * error
    for bound, share in ((1, 0.3173), (2, 0.0455), (3, 0.0027)):
        assert (np.abs(x) > bound).mean() == pytest.approx(share, abs=4 * np.sqrt(share) * error)
    assert np.abs(x).max() < 5.8


@pytest.mark.parametrize("word", ["seed", "stream", "tick"])
def test_normal_numbers_of_neighbours_have_nothing_in_common(twins: Twins, word: str) -> None:
    """Latent variables, samples and runs get numbers of their own."""
    a = normals(twins, DRAWS // 4)
    b = normals(twins, DRAWS // 4, **{word: {"seed": SEED, "stream": 1, "tick": 0}[word] + 1})
    bound = 4 / np.sqrt(len(a))

    assert abs(correlation(a, b)) < bound
    assert abs(correlation(a[1:], a[:-1])) < bound
    assert abs(correlation(a[1:] ** 2, a[:-1] ** 2)) < bound


# --- what a chip computes --------------------------------------------------------------------------------------------


def eps_of(twins: Twins, heads: Array, *, seed: int, samples: int, node: int) -> Array:
    """Return the numbers that a sample with these heads is drawn with."""
    means = np.split(heads.astype(np.float32), 2)[0]
    tick = 0x811C9DC5
    for bits in means.view(np.uint32).tolist():
        tick = ((tick ^ bits) * 0x01000193) & 0xFFFFFFFF
    tick = (tick + samples) & 0xFFFFFFFF
    return normals(twins, len(means), seed=seed, stream=FIRST_STREAM + node, tick=tick)


def some_images(count: int) -> Samples:
    """Return digits with a little noise: no rectifier sits on its kink."""
    x = some(digits()[0], count).x
    noisy = 0.8 * x + 0.1 + 0.1 * np.random.default_rng(4).random(x.shape, np.float32)
    return Samples(noisy.astype(np.float32), np.zeros(count, np.int64))


def sample_node(twin: Twin) -> int:
    """Return the place of the node that draws."""
    return [node.op for node in twin.quantised.graph.nodes].index("sample")


def evaluated(twin: Twin, samples: Samples, seed: int = SEED) -> Results:
    """Evaluate in the first state."""
    with twin.session() as session:
        session.configure(seed, 0, 1000, 1e-3)
        return session.evaluate(*twin.store(samples))


def test_float32_loss_is_the_negative_elbo(twins: Twins) -> None:
    """Against float64, drawn with the same numbers; the answer holds means and log-variances."""
    twin = twins.get(model("small_vae"), "float32")
    graph, images = twin.quantised.graph, some_images(6)
    found = evaluated(twin, images)

    for x, loss, heads in zip(images.x, found.losses, found.logits, strict=True):
        eps = eps_of(twins, heads, seed=SEED, samples=0, node=sample_node(twin))
        np.testing.assert_allclose(heads, run(graph, x, parameters(graph))["heads"], rtol=1e-4, atol=1e-5)
        assert loss == pytest.approx(exact_elbo(graph, x, eps, parameters(graph)), rel=1e-4)


def test_float32_gradients_are_the_derivatives_of_the_elbo(twins: Twins) -> None:
    """Every weight and bias of every layer, through the drawing and the divergence, by central differences."""
    twin = twins.get(model("small_vae"), "float32")
    graph, image = twin.quantised.graph, some_images(1)
    heads = evaluated(twin, image, seed=0).logits[0]
    eps = eps_of(twins, heads, seed=0, samples=0, node=sample_node(twin))
    for name, members in float_gradients(twin, image).items():
        for member, gradient in enumerate(members):
            chosen = np.random.default_rng(1).permutation(len(gradient))[:12]
            exact = central(graph, lambda values: exact_elbo(graph, image.x[0], eps, values), name, member, chosen)

            np.testing.assert_allclose(gradient[chosen], exact, rtol=5e-3, atol=1e-3, err_msg=f"{name} {member}")


@pytest.mark.parametrize("configuration", ["uint8", "mixed"])
def test_quantised_loss_and_gradients_are_those_of_float(twins: Twins, configuration: str) -> None:
    """
    Eight bits draw other numbers; the mean of many draws is the same loss, and the same gradient of every layer.

    The largest hidden errors saturate: a gradient may become shorter, which recipe best does not see, but not turn.
    """
    images = some_images(40)
    exact, ours = (twins.get(model("small_vae"), form) for form in ("float32", configuration))

    assert evaluated(ours, images).losses.mean() == pytest.approx(evaluated(exact, images).losses.mean(), rel=0.02)
    expected = [float_gradients(exact, images, seed) for seed in range(SEEDS)]
    found = [quantised_gradients(ours, images, seed) for seed in range(SEEDS)]
    for name in exact.trained:
        a, b = (sum(gradients[name][0].astype(np.float64) for gradients in drawn) for drawn in (found, expected))
        assert correlation(a, b) > 0.93, name
        assert 0.7 < a @ b / (b @ b) < 1.1, name


def test_uint8_loss_and_output_error_are_exact(twins: Twins) -> None:
    """The tables of softplus and sigmoid against float64: the loss of logits that were read back."""
    twin = twins.get(model("small_vae"), "uint8")
    images = some_images(4)
    x, labels = twin.store(images)
    form, source = twin.program.output_format, twin.program.input_format
    with twin.session() as session:
        for sample, label in zip(x, labels, strict=True):
            found = session.evaluate(sample[None], label[None])
            stored = np.frombuffer(session.output(sample[None], 64), np.uint8)
            logits = (stored.astype(np.float64) - form.zero) * form.scale
            target = (sample.ravel().astype(np.float64) - source.zero) * source.scale
            mean, log_variance = np.split(found.logits[0].astype(np.float64), 2)
            divergence = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum()

            exact = (np.logaddexp(0, logits) - target * logits).sum() + divergence
            assert found.losses[0] == pytest.approx(exact, abs=2e-3)


OUTPUT_STREAM = 0x30000


@pytest.mark.parametrize("recipe", ["best", "paper"])
def test_output_error_is_sigmoid_less_target(twins: Twins, recipe: str) -> None:
    """The bias gradient of the last layer is their sum: dithered, or rounded to nearest in the published recipe."""
    twin = twins.get(model("small_vae"), "uint8", recipe)
    image = some_images(1)
    x, labels = twin.store(image)
    form, source = twin.program.output_format, twin.program.input_format
    with twin.session() as session:
        session.configure(SEED, 0, 2, 1e-3)
        logits = (np.frombuffer(session.output(x, 64), np.uint8).astype(np.float64) - form.zero) * form.scale
        session.train(x, labels)
        state = session.read_state()
    target = (x.ravel().astype(np.float64) - source.zero) * source.scale
    error = 1 / (1 + np.exp(-logits)) - target
    u = dither(SEED, OUTPUT_STREAM, 0, len(error)) / 2**32
    rounded = np.floor(error * 128 + u) if recipe == "best" else np.floor(error * 127.5 + 0.5)

    assert abs(int(read_array(twin.program, state, "conv3_gb")[0]) - rounded.sum()) <= 1


def test_small_output_errors_arrive_in_full(twins: Twins) -> None:
    """A dark pixel whose logit is far below zero asks for less than half a step, and gets it over some samples."""
    twin = twins.get(model("small_vae"), "uint8")
    count = 400
    x = np.full((count, *twin.quantised.graph.shapes["input"]), twin.program.input_format.zero, np.uint8)
    with twin.session() as session:
        dark = twin.with_parts(session.read_state(), {"conv3_b": np.int32([-(1 << 29)]).tobytes()})
        session.write_state(dark)
        session.configure(SEED, 0, count + 1, 1e-3)
        session.train(x, np.zeros(count, np.int64))
        total = int(read_array(twin.program, session.read_state(), "conv3_gb")[0])
    lowest = -twin.program.output_format.zero * twin.program.output_format.scale

    exact = x[0].size * 128 / (1 + np.exp(-lowest))
    assert exact / x[0].size < 0.5
    assert total / count == pytest.approx(exact, rel=0.05)


def test_largest_hidden_errors_saturate_so_that_small_ones_count(twins: Twins) -> None:
    """The largest error of a minibatch takes up to 254 steps; with classes, up to the 127 that there are."""
    for name, largest in (("small_vae", 254), ("digits_cnn", 127)):
        twin = twins.get(model(name), "uint8")
        with twin.session() as session:
            session.configure(SEED, 0, BATCH, 1e-3)
            session.train(*twin.store(Samples(digits()[0].x[:BATCH], np.zeros(BATCH, np.int64))))
            state = session.read_state()
        scales = [record.name for record in twin.program.records if record.name.endswith("_error_scale")]
        seen = [values for values in (read_record(twin.program, state, scale) for scale in scales) if values["range"]]
        steps = np.array([values["range"] / values["scale"] for values in seen])
        assert len(seen) >= 2
        assert (steps <= largest).all()
        assert (steps > largest / 2).all()


# --- evaluation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_evaluation_is_reproducible_and_independent_of_the_order(twins: Twins, configuration: str) -> None:
    """An image is drawn with numbers of its own, whenever and beside whatever it is evaluated."""
    twin, images = twins.get(model("small_vae"), configuration), some_images(8)
    forth = evaluated(twin, images)
    back = evaluated(twin, Samples(images.x[::-1], images.y))

    np.testing.assert_array_equal(forth.losses, back.losses[::-1])
    assert len(set(forth.losses.tolist())) == len(images)


def test_every_training_step_draws_anew(twins: Twins) -> None:
    """The same image again meets other numbers, and so does another seed."""
    twin = twins.get(model("small_vae"), "float32")
    x, labels = twin.store(some_images(1))
    with twin.session() as session:
        session.configure(SEED, 0, 100, 1e-3)
        first, second = (float(session.train(x, labels).losses[0]) for _ in range(2))
        session.configure(SEED + 1, 0, 100, 1e-3)
        other = float(session.train(x, labels).losses[0])

    assert len({first, second, other}) == 3


def test_training_lowers_the_loss(twins: Twins) -> None:
    """
    A few hundred digits, some epochs: the bound improves, in uint8 even with ranges that nobody has rehearsed.

    Later activations outgrow those ranges, and uint8 loses again what it has won.
    """
    images = Samples(digits()[0].x[:480], np.zeros(480, np.int64))
    gains = {}
    for configuration in ("float32", "uint8"):
        twin = twins.get(model("small_vae"), configuration)
        x, labels = twin.store(images)
        with twin.session() as session:
            before = session.evaluate(x, labels).losses.mean()
            session.configure(1, 0, 24, 3e-3)
            for _ in range(6):
                session.train(x, labels)
            gains[configuration] = before - session.evaluate(x, labels).losses.mean()

    assert gains["float32"] > 4
    assert gains["uint8"] > 0.5 * gains["float32"]


# --- formats and errors ----------------------------------------------------------------------------------------------


def test_latent_variables_and_logits_have_fixed_ranges() -> None:
    """They are known before any training: four standard deviations, and logits that sigmoid tells apart."""
    graph = small_vae()
    found = quantise(graph, "uint8", some_images(20).x, frozenset())

    assert found.formats["latent"] == LATENT_FORMAT
    assert found.formats[graph.output] == elbo.OUTPUT_FORMAT
    assert found.formats["heads"].dtype == "float32"
    assert found.formats["map"] == found.formats["decoder"]
    assert [node.op for node in found.graph.nodes if "quantise" in node.op] == []


def test_float_meaning_draws_around_the_means() -> None:
    """Calibration sees what sampling spreads: z has the moments that its heads ask for."""
    node = layer.sample("latent", "input")
    graph = make_graph("only", (4,), (node,))
    x = np.tile(np.float32([1, -2, 2 * np.log(0.5), 2 * np.log(3)]), (20_000, 1))

    z = evaluate(graph, x)["latent"]

    np.testing.assert_allclose(z.mean(axis=0), [1, -2], atol=0.1)
    np.testing.assert_allclose(z.std(axis=0), [0.5, 3], rtol=0.03)


def test_losses_are_the_files_of_the_folder() -> None:
    """A wrong name lists the right ones."""
    assert losses() == ("cross_entropy", "elbo")
    with pytest.raises(KilogradError) as caught:
        loss_of(make_graph("net", (4,), (layer.flatten("f", "input"),), loss="hinge"))
    assert "cross_entropy, elbo" in caught.value.hint


def lower(nodes: tuple[layer.Node, ...], shape: tuple[int, ...], twins: Twins) -> None:
    """Derive the training program of an autoencoder."""
    graph = make_graph("net", shape, nodes, loss="elbo")
    trained = frozenset({"fc"})
    quantised = quantise(graph, "float32", np.ones((2, *shape), np.float32), trained)
    differentiate(quantised, trained, "best", load_kernels("host", twins.library))


def test_an_autoencoder_must_draw_and_give_its_input_back(twins: Twins) -> None:
    """What is no variational autoencoder gets one clear error."""
    rng = np.random.default_rng(1)
    plain = (layer.linear(rng, "fc", "input", (6, 6)),)
    short = (layer.sample("latent", "input"), layer.linear(rng, "fc", "latent", (3, 5)))

    with pytest.raises(KilogradError, match="draws latent variables 0 times"):
        lower(plain, (6,), twins)
    with pytest.raises(KilogradError, match="makes 5 numbers of 6"):
        lower(short, (6,), twins)


@pytest.mark.parametrize(
    ("node", "shape", "problem"),
    [
        (layer.sample("latent", "input"), (5,), "as many means as log-variances"),
        (layer.sample("latent", "input"), (2, 1, 1), "as many means as log-variances"),
        (layer.reshape("map", "input", (2, 2, 2)), (9,), r"cannot make \(2, 2, 2\) of \(9,\)"),
        (layer.upsample("up", "input", 0), (1, 2, 2), "scale must be 2 integers of at least 1"),
        (layer.upsample("up", "input", 2), (4,), "needs an input of"),
    ],
)
def test_shapes_that_do_not_fit_are_named(node: layer.Node, shape: tuple[int, ...], problem: str) -> None:
    """The message tells the node and what is wrong with it."""
    with pytest.raises(KilogradError, match=problem):
        make_graph("net", shape, (node,))
