# SPDX-License-Identifier: Apache-2.0
"""Runs a graph with torch, in float32 on one core, with gradients. Torch is optional."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from kilograd.types import Graph, Node

    Tensor = Any  # torch is no dependency
    Parameters = Mapping[str, tuple[Tensor, ...]]


def installed() -> bool:
    """Tell whether there is a torch."""
    return importlib.util.find_spec("torch") is not None


def load() -> Any:  # noqa: ANN401 - a module that need not be there
    """Import torch, which takes long, for one core."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    return torch


def logits(graph: Graph, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what torch says to a batch (n, *input shape)."""
    found: NDArray[np.float32] = run(graph, parameters(graph), load().from_numpy(x)).detach().numpy()
    return found


def parameters(graph: Graph) -> Parameters:
    """Return weight and bias of every layer, ready to train."""
    torch = load()
    arrays = {node.name: (node.weight, node.bias) for node in graph.nodes if node.weight is not None}
    return {name: tuple(torch.tensor(array).requires_grad_() for array in pair) for name, pair in arrays.items()}


def run(
    graph: Graph, values: Parameters, x: Tensor, behind: Callable[[Node, Tensor], Tensor] = lambda _, out: out
) -> Tensor:
    """Return what a batch becomes; `behind` may change what each node makes, before its ReLU."""
    tensors = {graph.input: x}
    for node in graph.nodes:
        out = behind(node, _apply(node, [tensors[tensor] for tensor in node.inputs], values))
        rectified = node.attributes.get("relu") or node.op == "relu"
        tensors[node.output] = out.clamp(0, node.attributes.get("clamp")) if rectified else out
    return tensors[graph.output]


def _apply(node: Node, inputs: list[Tensor], values: Parameters) -> Tensor:
    """Run one operator, but for its ReLU."""
    f = load().nn.functional
    how: Mapping[str, Any] = node.attributes
    x = inputs[0]
    if node.op == "linear":
        return f.linear(x, *values[node.name])
    if node.op == "conv2d":
        x, pads = _pad(node, x, 0.0)
        return f.conv2d(x, *values[node.name], how["stride"], pads, groups=how.get("groups", 1))
    if node.op == "max_pool":
        x, pads = _pad(node, x, float("-inf"))
        return f.max_pool2d(x, how["kernel"], how["stride"], pads)
    if node.op == "average_pool":
        x, pads = _pad(node, x, 0.0)
        return f.avg_pool2d(x, how["kernel"], how["stride"], pads)
    return _pointwise(node, inputs)


def _pointwise(node: Node, inputs: list[Tensor]) -> Tensor:
    """Run an operator that sees no windows."""
    x, how = inputs[0], node.attributes
    if node.op == "add":
        return x + inputs[1]
    if node.op == "mul":
        return x * inputs[1]
    if node.op in {"hard_sigmoid", "hard_swish"}:
        slope, offset = how.get("slope", 1 / 6), how.get("offset", 0.5)
        gate = (slope * x + offset).clamp(0, 1)
        return gate if node.op == "hard_sigmoid" else x * gate
    if node.op in {"exp", "sigmoid"}:
        return getattr(x, node.op)()
    if node.op in {"flatten", "relu"}:
        return x.flatten(1) if node.op == "flatten" else x
    message = f"{node.name} ({node.op}): torch is not used for it here"
    raise KilogradError(message, "choose a model that tells classes apart")


def _pad(node: Node, x: Tensor, fill: float) -> tuple[Tensor, tuple[int, int]]:
    """Return what an operator takes: pads that are the same on both sides it adds itself."""
    pads: Any = node.attributes["pads"]
    top, left, bottom, right = pads
    if (top, left) == (bottom, right):
        return x, (top, left)
    return load().nn.functional.pad(x, (left, right, top, bottom), value=fill), (0, 0)
