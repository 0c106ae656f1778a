# SPDX-License-Identifier: Apache-2.0
"""The flow of an autoencoder: its bound instead of an accuracy, and a classifier on its latent means."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kilograd.autoencoder import few_labels, latent_means, reconstruct
from kilograd.errors import KilogradError
from kilograd.types import Samples
from oracle_float import parameters, run
from test_training_step import model
from test_vae import SEED, eps_of, sample_node, some_images
from twins import digits, samples_for, some

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from twins import Twins

EXPERIMENT = """
name = "unsupervised"
[model]
source = "vae_upsample"
[data]
name = "./digits.npz"
[train]
configuration = "float32"
epochs = 5
learning_rate = 1e-3
[classifier]
labels_per_class = [12]
neurons = 60
steps = 1200
"""
TRAIN, TEST = 960, 300


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """Return an experiment on digits enlarged to 28x28."""
    everything = some(samples_for(model("vae_upsample")), TRAIN + TEST)
    arrays = {"x_train": everything.x[:TRAIN], "y_train": everything.y[:TRAIN]}
    arrays |= {"x_test": everything.x[TRAIN:], "y_test": everything.y[TRAIN:]}
    np.savez(tmp_path / "digits.npz", **arrays)
    path = tmp_path / "experiment.toml"
    path.write_text(EXPERIMENT, encoding="utf-8")
    return path


def test_report_shows_the_bound_and_the_classifiers(
    run_cli: Callable[..., Any], experiment: Path, tmp_path: Path
) -> None:
    """Training needs no labels and lowers the bound; a few labels make a classifier that beats chance."""
    done = run_cli("run", str(experiment), "--engine", "host", "--json", "--out", str(tmp_path / "out"))

    assert done.returncode == 0, done.stderr
    (board,) = json.loads(done.stdout)["boards"]
    assert board["accuracy"]["trained"] is None
    assert board["elbo"]["before_shift"] is None
    assert board["elbo"]["trained"] < 0.85 * board["elbo"]["after_shift"]
    assert list(board["elbo"]["classifiers"]) == ["12"]
    assert 0.1 < board["elbo"]["classifiers"]["12"] <= 1


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("classifier.labels_per_class=[0]", "classifier.labels_per_class"),
        ("classifier.neurons=1", "classifier.neurons"),
        ("classifier.configuration=mixed", "classifier.configuration"),
    ],
)
def test_wrong_settings_are_named(run_cli: Callable[..., Any], experiment: Path, setting: str, problem: str) -> None:
    """One clear error before anything is trained."""
    done = run_cli("run", str(experiment), "--engine", "host", "--set", setting)

    assert done.returncode == 2
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


def test_data_beyond_probabilities_is_refused(run_cli: Callable[..., Any], experiment: Path) -> None:
    """A Bernoulli decoder cannot give back what lies outside of 0 to 1."""
    with np.load(experiment.parent / "digits.npz") as stored:
        arrays = dict(stored)
    np.savez(experiment.parent / "digits.npz", **(arrays | {"x_train": 3 * arrays["x_train"]}))

    done = run_cli("run", str(experiment), "--engine", "host")

    assert done.returncode == 2
    assert "gives back values from 0 to 1, those of" in done.stderr


def test_labels_are_drawn_for_every_class() -> None:
    """So many of each class, another seed draws others; more than there are is an error that names the class."""
    samples = Samples(np.arange(60, dtype=np.float32)[:, None], np.arange(60) % 3)
    few, other = (few_labels(samples, 4, seed) for seed in (1, 2))

    assert np.bincount(few.y).tolist() == [4, 4, 4]
    np.testing.assert_array_equal(few.y, few.x[:, 0].astype(int) % 3)
    assert not np.array_equal(few.x, other.x)
    with pytest.raises(KilogradError, match="class 0 has 20 training samples, 21 are wanted"):
        few_labels(samples, 21, 1)


def test_means_and_reconstructions_are_those_of_the_model(twins: Twins) -> None:
    """What is read from a firmware, against a float64 model of the net that draws with the same numbers."""
    twin, images = twins.get(model("small_vae"), "float32"), some_images(3)
    graph = twin.quantised.graph
    with twin.session() as session:
        session.configure(SEED, 0, 1000, 1e-3)
        means = latent_means(session, images.x, twin.program.input_format, lambda _: None)
        pictures = reconstruct(session, images.x, twin.program)
        heads = session.evaluate(*twin.store(images)).logits

    for x, mean, picture, head in zip(images.x, means, pictures, heads, strict=True):
        eps = eps_of(twins, head, seed=SEED, samples=0, node=sample_node(twin))
        tensors = run(graph, x, parameters(graph), eps)
        np.testing.assert_allclose(mean, tensors["heads"][:4], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(picture, 1 / (1 + np.exp(-tensors[graph.output])), rtol=1e-3, atol=1e-4)


def test_uint8_reconstructions_are_probabilities(twins: Twins) -> None:
    """Pictures from a quantised firmware, in the shape of the input."""
    twin = twins.get(model("small_vae"), "uint8")
    with twin.session() as session:
        pictures = reconstruct(session, digits()[0].x[:2], twin.program)

    assert pictures.shape == (2, 1, 8, 8)
    assert pictures.min() > 0
    assert pictures.max() < 1
    assert pictures.std() > 0
