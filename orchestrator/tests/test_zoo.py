# SPDX-License-Identifier: Apache-2.0
"""The built-in models: what they are made of, and how their weights start."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from kilograd.errors import KilogradError
from kilograd.graph import evaluate, macs, parameters
from kilograd.ops import operators
from kilograd.zoo import build_model, models, models_for
from twins import classifiers, gated_net

ANY_MAP = {"ds_cnn", "mbednet", "mcunet_5fps", "resnet8"}
"""Models that take maps of any size."""


def test_models_are_the_files_of_the_folder() -> None:
    """A new model is one new file."""
    expected = ("cnn4_8_fc10", "cnn8_16_fc64_fc10", "digits_cnn", "ds_cnn", "mbednet", "mcunet_5fps", "mlp_784_64_10")
    expected += ("mnist_cnn", "resnet8", "resnet_tiny", "vae_baseline", "vae_filters", "vae_latent", "vae_upsample")

    assert models() == expected


@pytest.mark.parametrize("name", classifiers())
def test_model_gives_one_score_per_class(name: str) -> None:
    """Every model takes its images and the number of classes of the data."""
    graph = build_model(name, seed=1, classes=7)
    x = np.zeros((2, *graph.shapes[graph.input]), np.float32)

    scores = evaluate(graph, x)[graph.output]

    assert scores.shape == (2, 7)
    assert graph.name == name


@pytest.mark.parametrize("name", models())
def test_docstring_tells_the_true_size(name: str) -> None:
    """A reader chooses a model by it."""
    size = f"{parameters(build_model(name, seed=1)):,}".replace(",", " ")

    assert f" {size} parameters" in (importlib.import_module(f"kilograd.zoo.{name}").__doc__ or "")


def test_reference_model_has_the_published_weights() -> None:
    """52 040 weights are what results elsewhere are told for."""
    nodes = build_model("cnn8_16_fc64_fc10", seed=1).nodes

    assert sum(node.weight.size for node in nodes if node.weight is not None) == 52_040


def test_multiplications_of_the_mnist_model() -> None:
    """28 x 28 positions of 16 x (1 + 16) filters of 3 x 3, and the two linear layers."""
    assert macs(build_model("mnist_cnn", seed=1)) == 28 * 28 * 16 * 17 * 9 + 3136 * 64 + 64 * 10


def test_models_of_the_tests_use_every_operator() -> None:
    """Tests of whole flows run on them; changes of the number format are not the model's."""
    used = {node.op for graph in (build_model("resnet_tiny", seed=1), gated_net()) for node in graph.nodes}

    assert used == set(operators()) - {"quantise", "dequantise", "reshape", "sample", "upsample", "conv_transpose2d"}


@pytest.mark.parametrize("name", models())
def test_seed_decides_the_weights(name: str) -> None:
    """The same seed gives the same bits, another seed other weights; biases start at zero."""
    one, same, other = (build_model(name, seed=seed) for seed in (1, 1, 2))

    for a, b, c in zip(one.nodes, same.nodes, other.nodes, strict=True):
        if a.weight is not None:
            assert b.weight is not None
            assert a.weight.dtype == np.float32
            assert a.weight.tobytes() == b.weight.tobytes()
            assert not np.array_equal(a.weight, c.weight)  # type: ignore[arg-type]
            assert not np.any(a.bias)


def test_weights_have_nothing_to_do_with_other_numbers_of_the_seed() -> None:
    """Data drawn with the same seed must not look like the first layer's weights."""
    weight = build_model("mlp_784_64_10", seed=1).nodes[1].weight
    data = np.random.default_rng(1).standard_normal((64, 784))

    assert weight is not None
    assert abs(np.corrcoef(weight.ravel(), data.ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("name", models())
def test_weights_start_small_and_even(name: str) -> None:
    """
    Standardised steps have an absolute size: weights must start inside 1 / sqrt(fan-in), biases at 0.

    Over the many layers of a deep model a signal would fade: there, weights keep its variance.
    """
    for node in build_model(name, seed=1).nodes:
        if node.weight is not None and node.bias is not None:
            gain = 1 if name not in ANY_MAP or node.op == "linear" else 6 if node.attributes["relu"] else 3
            bound = (gain / node.weight[0].size) ** 0.5

            assert np.abs(node.weight).max() <= bound
            assert node.weight.std() == pytest.approx(bound / 3**0.5, rel=0.25)
            assert not node.bias.any()


def test_model_for_other_samples_is_refused() -> None:
    """Most models are made for one shape of samples; a message says which."""
    with pytest.raises(KilogradError) as caught:
        build_model("mnist_cnn", seed=1, input_shape=(3, 32, 32))

    assert caught.value.message == "mnist_cnn takes samples of shape (1, 28, 28), not (3, 32, 32)"


@pytest.mark.parametrize("name", sorted(ANY_MAP))
def test_mobile_model_refuses_what_is_no_map(name: str) -> None:
    """Rows of features have no neighbours to convolve."""
    with pytest.raises(KilogradError, match=r"\(channels, height, width\) are needed, not \(64,\)"):
        build_model(name, seed=1, input_shape=(64,))


def test_models_for_a_shape() -> None:
    """A message can tell what would work."""
    assert models_for((1, 8, 8)) == tuple(sorted({"digits_cnn", *ANY_MAP}))
    assert models_for((1, 28, 28)) == tuple(sorted(set(models()) - {"digits_cnn"}))


def test_unknown_model_lists_the_known_ones() -> None:
    """A wrong name shows the right ones."""
    with pytest.raises(KilogradError) as caught:
        build_model("lenet", seed=1)

    assert caught.value.message == "unknown model: lenet"
    assert "digits_cnn, ds_cnn, mbednet" in caught.value.hint
