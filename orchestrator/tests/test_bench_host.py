# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the host twin: it trains what it says it trains, and torch trains the same model."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from kilograd import bench_host, bench_torch, torch_graph
from kilograd.errors import KilogradError
from kilograd.graph import evaluate
from kilograd.zoo import build_model
from twins import branching_net, classifiers, gated_net, samples_for

HAS_TORCH = importlib.util.find_spec("torch") is not None


def test_the_benchmark_reports_the_speed_of_the_twin_and_of_torch() -> None:
    """Without torch there is still a speed to report."""
    result = bench_host.bench("digits_cnn", "uint8", seconds=0.001)

    assert (result["schema"], result["model"], result["configuration"]) == (1, "digits_cnn", "uint8")
    assert result["samples_per_second"] > 0
    assert (result["torch_samples_per_second"] is not None) == HAS_TORCH


def test_without_torch_there_is_no_step_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch is a gigabyte that nobody needs for training on a board."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    graph = build_model("digits_cnn", seed=1)

    assert bench_torch.trainer(graph, samples_for(graph), batch=48, rate=1e-3) is None


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
@pytest.mark.parametrize("model", [*classifiers(), "branching", "gated"])
def test_torch_runs_the_same_network(model: str) -> None:
    """A comparison with another network would say nothing."""
    own = {"branching": branching_net, "gated": gated_net}
    graph = own[model]() if model in own else build_model(model, seed=1)
    x = np.random.default_rng(1).random((3, *graph.shapes[graph.input]), np.float32)

    np.testing.assert_allclose(torch_graph.logits(graph, x), evaluate(graph, x)[graph.output], rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
def test_a_network_that_torch_does_not_run_here_is_refused() -> None:
    """Rather than compared with something else."""
    graph = build_model("vae_upsample", seed=1)

    with pytest.raises(KilogradError, match="torch is not used for it here"):
        torch_graph.logits(graph, np.zeros((1, *graph.shapes[graph.input]), np.float32))


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_measurement_takes_time(seconds: float) -> None:
    """Nobody waits for ever, and nothing is measured in no time."""
    with pytest.raises(KilogradError, match="nothing can be measured"):
        bench_host.bench("digits_cnn", seconds=seconds)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (2, 5, 60), (9,)])
def test_digits_are_brought_to_any_shape(shape: tuple[int, ...]) -> None:
    """Zeros are as frequent as in real images: the kernels leave them out."""
    samples = bench_host.digits(shape)

    assert samples.x.shape == (len(samples), *shape)
    assert 0.2 < (samples.x == 0).mean() < 0.8
