# SPDX-License-Identifier: Apache-2.0
"""Pretraining with BatchNorm: folded exactly, repeatable, and refused where torch is missing."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from kilograd import graph as graphs
from kilograd import pretrain_torch, torch_graph
from kilograd.augment import augmenter
from kilograd.bench_host import digits
from kilograd.errors import KilogradError
from kilograd.schedule import make_schedule
from kilograd.zoo import build_model
from test_pretrain import accuracy, weights

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
SHAPE = (3, 8, 8)


@needs_torch
def test_batch_norm_is_part_of_the_weights_afterwards() -> None:
    """The graph with folded weights gives the scores that torch gives with BatchNorm in its inference mode."""
    torch = torch_graph.load()
    graph = build_model("mbednet", seed=1, input_shape=SHAPE)
    x = np.random.default_rng(1).random((40, *SHAPE)).astype(np.float32)
    values = torch_graph.parameters(graph)
    norms = pretrain_torch.norms_of(graph)
    behind = pretrain_torch.behind(norms)
    for norm in norms.values():
        torch.nn.init.uniform_(norm.weight, 0.5, 2)
        torch.nn.init.uniform_(norm.bias, -1, 1)
    torch_graph.run(graph, values, torch.from_numpy(x), behind)  # statistics
    for norm in norms.values():
        norm.eval()
    expected = torch_graph.run(graph, values, torch.from_numpy(x), behind).detach().numpy()

    folded = pretrain_torch.folded(graph, values, norms)

    np.testing.assert_allclose(graphs.evaluate(folded, x)[folded.output], expected, rtol=1e-3, atol=1e-3)
    assert not np.allclose(graphs.evaluate(graph, x)[graph.output], expected, atol=0.1)


@needs_torch
def test_it_learns_and_can_be_repeated() -> None:
    """From guessing to most digits within three epochs, twice with the same weights; another seed gives others."""
    graph = build_model("digits_cnn", seed=1)
    samples = digits(graph.shapes[graph.input])

    def train(seed: int) -> list[bytes]:
        schedule = make_schedule(len(samples), 3, 48, 4e-3, seed)
        vary = augmenter(("shift",), graph.shapes[graph.input], seed)
        trained = pretrain_torch.train(graph, samples, schedule, vary, lambda _: None)
        assert accuracy(trained, samples) > 0.85
        return weights(trained)

    assert accuracy(graph, samples) < 0.3
    assert train(1) == train(1)
    assert train(1) != train(2)


def test_without_torch_there_is_no_batch_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says how to get it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(KilogradError, match=r"pretrain.batch_norm trains with torch, which is not installed") as caught:
        pretrain_torch.check(build_model("digits_cnn", seed=1))
    assert "KILOGRAD_PACKAGES=torch" in str(caught.value.hint)


@needs_torch
def test_what_torch_does_not_run_here_is_refused_before_training() -> None:
    """An autoencoder draws numbers, and has no classes."""
    graph = build_model("vae_upsample", seed=1)

    with pytest.raises(KilogradError, match="torch is not used for it here"):
        pretrain_torch.check(replace(graph, name="vae"))
