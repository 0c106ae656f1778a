# SPDX-License-Identifier: Apache-2.0
"""A model that starts untrained: its ranges are rehearsed, and it learns in uint8."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from kilograd import zoo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

EXPERIMENT = """
name = "scratch"
[model]
source = "digits_cnn"
[data]
name = "digits"
[train]
epochs = 20
learning_rate = 1e-3
"""


def test_a_model_without_pretraining_learns_in_uint8(run_cli: Callable[..., Any], tmp_path: Path) -> None:
    """A user's first experiment must not fail because ranges were calibrated on weights that mean nothing yet."""
    experiment = tmp_path / "scratch.toml"
    experiment.write_text(EXPERIMENT, encoding="utf-8")

    done = run_cli("run", str(experiment), "--engine", "host", "--json", "--out", str(tmp_path / "out"))

    accuracy = json.loads(done.stdout)["boards"][0]["accuracy"]
    assert accuracy["before_shift"] is None
    assert accuracy["after_shift"] < 0.3  # the rehearsal's weights are thrown away
    assert accuracy["trained"] > 0.95


def test_layers_that_are_reset_begin_anew_and_learn_again(run_cli: Callable[..., Any], tmp_path: Path) -> None:
    """Transfer learning as in the literature: the pretrained accuracy is told, what was reset is learned again."""
    experiment = tmp_path / "transfer.toml"
    pretrain = '[pretrain]\ndata = "digits"\nepochs = 15\nlearning_rate = 2e-3\n'
    text = EXPERIMENT.replace('"digits_cnn"', '"digits_cnn"\nreset = 2') + "layers = 2\n" + pretrain
    experiment.write_text(text, encoding="utf-8")

    done = run_cli("run", str(experiment), "--engine", "host", "--json", "--out", str(tmp_path / "out"))

    accuracy = json.loads(done.stdout)["boards"][0]["accuracy"]
    assert accuracy["before_shift"] > 0.95
    assert accuracy["after_shift"] < 0.3
    assert accuracy["trained"] > 0.95


def test_reset_replaces_the_last_layers_only_and_depends_on_the_seed() -> None:
    """What comes before must stay what was learned; a second seed is a second experiment."""
    graph = zoo.build_model("digits_cnn", seed=1)
    fresh = zoo.with_fresh_weights(graph, 2, seed=1)
    weighted = [node.name for node in graph.nodes if node.weight is not None]
    same = {
        old.name: bool(np.array_equal(old.weight, new.weight))
        for old, new in zip(graph.nodes, fresh.nodes, strict=True)
        if old.weight is not None
    }
    other = zoo.with_fresh_weights(graph, 2, seed=2)

    assert {name: name not in weighted[-2:] for name in weighted} == same
    assert not np.array_equal(fresh.nodes[-1].weight, other.nodes[-1].weight)
    assert np.array_equal(fresh.nodes[-1].weight, zoo.with_fresh_weights(graph, 2, seed=1).nodes[-1].weight)


def test_more_layers_than_there_are_cannot_be_reset(run_cli: Callable[..., Any], tmp_path: Path) -> None:
    """The error must come before minutes of pretraining."""
    experiment = tmp_path / "transfer.toml"
    experiment.write_text(EXPERIMENT.replace('"digits_cnn"', '"digits_cnn"\nreset = 9'), encoding="utf-8")

    done = run_cli("run", str(experiment), "--engine", "host", "--out", str(tmp_path / "out"))

    assert done.returncode == 2
    assert "9 cannot be reset" in done.stderr
    assert "model.reset: a number from 0 to 4" in done.stderr
