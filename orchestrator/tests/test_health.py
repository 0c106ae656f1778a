# SPDX-License-Identifier: Apache-2.0
"""Quantisation health: nets that are sick on purpose are named with the right illness; healthy ones are left alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kilograd.data import load_dataset
from kilograd.health.advice import advice
from kilograd.health.measures import LayerHealth

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from command_line import Cli

EXPERIMENT = """
name = "health"
[model]
source = "{model}"
[data]
name = "./own.npz"
[train]
epochs = 2
"""
HEALTHY = LayerHealth(
    layer="conv", format="uint8", activation_saturation=0.001, activation_range=0.9, range_drift=1.1,
    weight_saturation=0.001, weight_levels=30.0, dead_gradients=0.5, lost_gradient=0.05, gradient_saturation=0.0,
    update_quanta=0.05, update_ratio=0.002, weights_moved=0.05, error_exponent=-9,
)  # fmt: skip


def images() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return digits as images of 28x28."""
    samples = load_dataset("digits").train
    x = np.kron(samples.x, np.ones((1, 1, 3, 3), np.float32))
    return np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)))[:800], samples.y[:800]


def write_data(folder: Path, x: NDArray[np.float32], y: NDArray[np.int64]) -> None:
    """Write data of the user's own."""
    np.savez(folder / "own.npz", x_train=x, y_train=y, x_test=x[:50], y_test=y[:50])


def judge(cli: Cli, model: str, *options: str) -> tuple[int, dict[str, Any], str]:
    """Run `health` and return exit code, verdict, and what it says."""
    source = cli.experiment(EXPERIMENT.format(model=model))
    done = cli.run("health", source, "--samples", "960", *options)
    return done.returncode, json.loads(done.stdout), done.stderr


def layers(verdict: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the layers by name."""
    return {layer["layer"]: layer for layer in verdict["layers"]}


def test_a_healthy_training_passes_and_every_layer_is_told(cli: Cli) -> None:
    """A check that cries wolf is switched off."""
    done = cli.run("health", "digits", "--samples", "960")

    verdict = json.loads(done.stdout)
    assert (done.returncode, verdict["healthy"], verdict["samples"]) == (0, True, 960)
    assert ["conv1", "conv2", "fc1", "fc2"] == list(layers(verdict))
    for layer in verdict["layers"]:
        assert layer["advice"] == []
        assert 0 < layer["weights_moved"] < 0.5
        assert 0 < layer["lost_gradient"] < 0.5
        assert -14 <= layer["error_exponent"] <= -3
    assert layers(verdict)["fc2"]["activation_range"] is None  # logits are not quantised
    assert 0.3 < layers(verdict)["conv1"]["activation_range"] < 2


def test_an_outlier_that_blows_up_the_ranges_is_named(cli: Cli) -> None:
    """One sample a hundred times too large leaves one level in a hundred for all others."""
    x, y = images()
    x[0] *= 100
    write_data(cli.place.here, x, y)
    code, verdict, said = judge(cli, "cnn8_16_fc64_fc10")

    assert (code, verdict["healthy"]) == (1, False)
    assert layers(verdict)["conv1"]["activation_range"] < 0.05
    assert "the range of conv1's activations is" in said
    assert "outliers" in layers(verdict)["conv1"]["advice"][0]


def test_errors_that_underflow_behind_a_global_pool_are_named(cli: Cli) -> None:
    """Recipe paper has one range for all errors: a 49th of an error is less than its step; recipe best follows."""
    write_data(cli.place.here, *images())
    code, verdict, said = judge(cli, "resnet_tiny", "--set", "train.recipe=paper")
    _, healed, _ = judge(cli, "resnet_tiny")

    sick, well = layers(verdict)["depthwise"], layers(healed)["depthwise"]
    assert code == 1
    assert sick["dead_gradients"] > 0.95
    assert "errors of depthwise underflow" in said
    assert "use recipe best" in said
    assert layers(verdict)["fc"]["advice"] == []
    assert well["lost_gradient"] < 0.3
    assert well["error_exponent"] < sick["error_exponent"]


def test_float32_layers_have_no_quantisation_to_be_ill_of(cli: Cli) -> None:
    """What a format does not have is null."""
    done = cli.run("health", "digits", "--samples", "480", "--set", "train.configuration=mixed")

    last = layers(json.loads(done.stdout))["fc2"]
    assert last["format"] == "float32"
    assert [None] * 4 == [
        last[key] for key in ("weight_saturation", "dead_gradients", "update_quanta", "error_exponent")
    ]
    assert last["update_ratio"] > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"activation_saturation": 0.2, "activation_range": 3.0}, "activations of conv saturate: 20.0 %"),
        ({"activation_range": 0.01}, "the range of conv's activations is 100 times too large"),
        ({"weight_saturation": 0.2}, "weights of conv saturate: 20.0 %"),
        ({"weight_levels": 0.7}, "the range of conv's weights is too large"),
        ({"lost_gradient": 0.9, "dead_gradients": 0.97}, "errors of conv underflow: 97 % become zero"),
        ({"gradient_saturation": 0.01}, "the gradient buffer of conv overflows"),
        ({"weights_moved": 0.0}, "weights of conv do not move"),
        ({"update_ratio": 0.5}, "updates of conv are too large"),
    ],
)
def test_each_illness_has_its_sentence(change: dict[str, float], said: str | None) -> None:
    """The layer is named, and so is a way out."""
    found = advice(LayerHealth(**{**vars(HEALTHY), **change}), "paper")

    assert len(found) == (said is not None)
    assert said is None or (said in found[0] and ";" in found[0].replace(": ", ";"))
