# SPDX-License-Identifier: Apache-2.0
"""Torch modules and .pt2 files mean to kilograd what they mean to torch."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import kilograd
from kilograd.graph import evaluate
from kilograd.load import load_model
from kilograd.types import Samples
from test_gradients import float_gradients
from torch_modules import CLASSES, IMAGE, Excite, Function, Net, flat, functional, nn, seeded, torch

if TYPE_CHECKING:
    from pathlib import Path

    from command_line import Cli
    from kilograd.types import Graph
    from twins import Twins


def check(module: Any, shape: tuple[int, ...] = IMAGE, batch: int = 2) -> Graph:  # noqa: ANN401 - a torch module
    """Load a module, compare its output for a batch with torch's in eval mode, and return the graph."""
    graph = kilograd.load(seeded(module), torch.zeros(batch, *shape))
    x = np.random.default_rng(3).standard_normal((batch, *shape)).astype(np.float32)
    with torch.no_grad():
        expected = module.eval()(torch.from_numpy(x)).numpy()

    actual = evaluate(graph, x.reshape(batch, *graph.shapes[graph.input]))[graph.output]

    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    return graph


MODULES: dict[str, Any] = {
    "convolutions": lambda: flat(
        nn.Conv2d(3, 4, 3, padding="same", bias=False),
        nn.Conv2d(4, 4, (3, 5), stride=(2, 1), padding=(1, 2)),
        nn.Conv2d(4, 8, 3, groups=4),
    ),
    "transposed convolutions": lambda: flat(
        nn.Conv2d(3, 2, 3, stride=2), nn.ConvTranspose2d(2, 4, 3, stride=2, padding=1, output_padding=1, bias=False),
        nn.BatchNorm2d(4), nn.ReLU(),
    ),
    "linear layers": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 8, bias=False), nn.Linear(8, CLASSES)),
    "rectifiers": lambda: flat(
        nn.ReLU(), nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1), Function(lambda x: x.clamp(min=0))
    ),
    "rectifiers with a limit": lambda: flat(
        nn.Conv2d(3, 4, 3), nn.ReLU6(), nn.Conv2d(4, 4, 1), nn.Hardtanh(0, 0.5), nn.Conv2d(4, 4, 1),
        Function(lambda x: x.clamp(0, 0.25)),
    ),
    "functions": lambda: flat(
        nn.Conv2d(3, 4, 3), nn.Hardswish(), nn.Hardsigmoid(), nn.Sigmoid(), nn.SiLU(), Function(torch.exp)
    ),
    "squeeze and excite": lambda: flat(Excite(3)),
    "gate from a linear layer": lambda: Function(
        lambda x: (torch.sigmoid(x.mean((2, 3)) @ torch.ones(3, 3)).view(-1, 3, 1, 1) * x).flatten(1)
    ),
    "batch norms": lambda: flat(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, eps=1e-2), nn.ReLU(), nn.Conv2d(4, 4, 1),
        nn.BatchNorm2d(4, affine=False),
    ),
    "batch norm behind linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 6), nn.BatchNorm1d(6)),
    "max pools": lambda: flat(nn.MaxPool2d(3, stride=1, padding=1), nn.MaxPool2d((2, 4))),
    "average pools": lambda: flat(nn.AvgPool2d(3, stride=1, padding=1), nn.AdaptiveAvgPool2d((4, 2))),
    "global average": lambda: flat(nn.AdaptiveAvgPool2d(1)),
    "mean over the map": lambda: Function(lambda x: x.mean((2, 3))),
    "mean that keeps its dimensions": lambda: Function(lambda x: x.mean((-1, -2), keepdim=True).squeeze(-1).squeeze(2)),
    "views": lambda: Function(lambda x: torch.flatten(x.view(x.shape[0], -1).reshape(-1, 192), 1)),
    "features to a map": lambda: flat(
        nn.Flatten(), nn.Linear(192, 36), nn.Unflatten(1, (4, 3, 3)), nn.Upsample(scale_factor=2), nn.Conv2d(4, 2, 3)
    ),
    "sum": lambda: flat(Function(lambda x: functional.relu(x + functional.max_pool2d(x, 3, 1, 1)))),
    "constant behind a convolution": lambda: flat(nn.Conv2d(3, 4, 3), Function(lambda x: 0.5 + x)),
    "dropout": lambda: flat(nn.Dropout2d(0.5), nn.Identity(), nn.Conv2d(3, 4, 3), nn.Dropout(0.9)),
    "weights that are computed": lambda: flat(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))),
    "product of matrices": lambda: Function(lambda x: x.flatten(1) @ torch.ones(192, CLASSES)),
}  # fmt: skip


@pytest.mark.parametrize("case", MODULES)
def test_the_logits_are_those_of_torch(case: str) -> None:
    """Every operator, in the forms that torch.nn and torch.nn.functional give it."""
    check(MODULES[case]())


def test_one_dimensional_modules_get_height_one() -> None:
    """A time series is a map of height 1."""
    layers = (
        nn.Conv1d(3, 4, 5, stride=2, padding=1),
        nn.BatchNorm1d(4),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.AvgPool1d(2),
        nn.Upsample(scale_factor=3),
    )

    graph = check(nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, CLASSES)), (3, 40))

    assert graph.shapes[graph.input] == (3, 1, 40)
    ops = " ".join(node.op for node in graph.nodes)
    assert ops == "conv2d max_pool average_pool upsample average_pool flatten linear"


def test_a_module_keeps_its_names_and_loses_what_only_torch_needs() -> None:
    """Layers are selected by name; BatchNorm, ReLU and Dropout cost no step on the chip."""
    graph = check(Net(norm=True), (1, 8, 8))

    assert [(node.name, node.op, node.attributes.get("relu")) for node in graph.nodes] == [
        ("stem", "conv2d", True),
        ("block_0", "conv2d", True),
        ("block_2", "conv2d", False),
        ("add", "add", True),
        ("pool", "max_pool", None),
        ("view", "flatten", None),
        ("fc1", "linear", True),
        ("fc2", "linear", False),
    ]


def test_a_final_softmax_is_left_out() -> None:
    """The loss brings it."""
    layers = (nn.Flatten(), nn.Linear(192, CLASSES))

    plain, soft = (
        check(nn.Sequential(*layers)),
        kilograd.load(nn.Sequential(*layers, nn.Softmax(1)), torch.zeros(1, *IMAGE)),
    )

    assert [node.op for node in plain.nodes] == [node.op for node in soft.nodes]


def test_a_module_in_train_mode_is_read_in_eval_mode_and_stays_as_it_is() -> None:
    """Loading must neither train nor change what the user goes on with."""
    module = seeded(Net(norm=True)).train()
    module.bn.eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}

    kilograd.load(module, torch.ones(4, 1, 8, 8))

    assert (module.training, module.drop.training, module.bn.training) == (True, True, False)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


@pytest.fixture(scope="module")
def net() -> Graph:
    """Return the residual net."""
    return kilograd.load(seeded(Net(norm=True)), torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize("batch", ["fixed", "dynamic", "core operators"])
def test_a_program_file_is_the_module(batch: str, net: Graph, tmp_path: Path) -> None:
    """A .pt2 file gives the same graph, whatever its batch, and also when torch has taken its operators apart."""
    module = seeded(Net(norm=True)).eval()
    shapes = {"x": {0: torch.export.Dim("n")}} if batch == "dynamic" else None
    program = torch.export.export(module, (torch.zeros(3, 1, 8, 8),), dynamic_shapes=shapes)
    program = program.run_decompositions() if batch == "core operators" else program
    torch.export.save(program, tmp_path / "net.pt2")

    read = load_model("net.pt2", base=tmp_path, seed=1, classes=10)

    assert (net.name, read.name) == ("Net", "net")
    for expected, actual in zip(net.nodes, read.nodes, strict=True):
        assert replace(expected, weight=None, bias=None) == replace(actual, weight=None, bias=None)
        np.testing.assert_array_equal(expected.weight, actual.weight)


def test_gradients_of_the_runtime_are_those_of_autograd(twins: Twins) -> None:
    """The oracle that knows nothing of kilograd: every weight and bias, for the sum of the losses of a minibatch."""
    module = seeded(Net(norm=False)).eval()
    graph = kilograd.load(module, torch.zeros(1, 1, 8, 8))
    rng = np.random.default_rng(1)
    samples = Samples(rng.uniform(0.1, 1, (6, 1, 8, 8)).astype(np.float32), rng.integers(10, size=6))

    ours = float_gradients(twins.get(graph, "float32"), samples)

    scores = module(torch.from_numpy(samples.x))
    functional.cross_entropy(scores, torch.from_numpy(samples.y), reduction="sum").backward()
    exact = {name: parameter.grad.numpy().ravel() for name, parameter in module.named_parameters()}
    assert {"stem", "block_0", "block_2", "fc1", "fc2"} == set(ours)
    for layer, (weight, bias) in ours.items():
        name = layer.replace("_", ".")
        np.testing.assert_allclose(weight, exact[f"{name}.weight"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(bias, exact[f"{name}.bias"], rtol=1e-4, atol=1e-5)


def test_a_program_file_trains_on_a_board_as_a_built_in_model_does(cli: Cli) -> None:
    """From a file beside the experiment to a board that has the host's bits after a minibatch."""
    program = torch.export.export(seeded(Net(norm=True)).eval(), (torch.zeros(1, 1, 8, 8),))
    torch.export.save(program, cli.place.here / "net.pt2")
    experiment = cli.experiment('name = "x"\n[model]\nsource = "net.pt2"\n[data]\nname = "digits"\n')

    done = cli.run("run", experiment, "--set", "train.steps=48", "--set", "data.test_samples=50")

    assert (done.returncode, done.stderr) == (0, "")
    (board,) = json.loads(done.stdout)["boards"]
    assert (board["steps"], board["same_bits"]) == (48, True)


def test_kilograd_is_imported_without_torch() -> None:
    """It takes seconds and is not everywhere; the command line must start at once."""
    code = "import sys, kilograd, kilograd.load, kilograd.experiment; print({'torch', 'onnx'} & set(sys.modules))"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
