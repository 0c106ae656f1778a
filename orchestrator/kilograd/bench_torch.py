# SPDX-License-Identifier: Apache-2.0
"""Trains the same model with torch, in float32 on one core: what the host twin is compared with. Torch is optional."""

from __future__ import annotations

import importlib.util
import itertools
from typing import TYPE_CHECKING, Any

from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from kilograd.types import Graph, Node, Samples

    Tensor = Any  # torch is no dependency
    Parameters = Mapping[str, tuple[Tensor, ...]]

MOMENTUM = 0.875  # as recipe best
WARM_UP = 3  # minibatches: torch chooses its algorithms in the first ones


def trainer(graph: Graph, samples: Samples, batch: int, rate: float) -> Callable[[], None] | None:
    """Return a function that trains on the next minibatch with plain eager torch, or None where it is not installed."""
    if importlib.util.find_spec("torch") is None:
        return None
    torch = _torch()
    torch.set_num_threads(1)
    x, y = torch.from_numpy(samples.x), torch.from_numpy(samples.y)
    values = _parameters(graph)
    optimiser = torch.optim.SGD([value for pair in values.values() for value in pair], lr=rate, momentum=MOMENTUM)
    numbers = itertools.count()

    def step() -> None:
        chosen = (torch.arange(batch) + next(numbers) * batch) % len(y)
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(_run(graph, values, x[chosen]), y[chosen])
        loss.backward()
        optimiser.step()

    for _ in range(WARM_UP):
        step()
    return step


def logits(graph: Graph, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what torch says to a batch (n, *input shape)."""
    found: NDArray[np.float32] = _run(graph, _parameters(graph), _torch().from_numpy(x)).detach().numpy()
    return found


def _parameters(graph: Graph) -> Parameters:
    """Return weight and bias of every layer, ready to train."""
    torch = _torch()
    arrays = {node.name: (node.weight, node.bias) for node in graph.nodes if node.weight is not None}
    return {name: tuple(torch.tensor(array).requires_grad_() for array in pair) for name, pair in arrays.items()}


def _run(graph: Graph, values: Parameters, x: Tensor) -> Tensor:
    tensors = {graph.input: x}
    for node in graph.nodes:
        out = _apply(node, [tensors[tensor] for tensor in node.inputs], values)
        rectified = node.attributes.get("relu") or node.op == "relu"
        tensors[node.output] = out.clamp(0, node.attributes.get("clamp")) if rectified else out
    return tensors[graph.output]


def _apply(node: Node, inputs: list[Tensor], values: Parameters) -> Tensor:
    """Run one operator, but for its ReLU."""
    f = _torch().nn.functional
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
    message = f"{node.name} ({node.op}): torch has no part of this bench for it"
    raise KilogradError(message, "bench a model that tells classes apart")


def _pad(node: Node, x: Tensor, fill: float) -> tuple[Tensor, tuple[int, int]]:
    """Return what an operator takes: pads that are the same on both sides it adds itself."""
    pads: Any = node.attributes["pads"]
    top, left, bottom, right = pads
    if (top, left) == (bottom, right):
        return x, (top, left)
    return _torch().nn.functional.pad(x, (left, right, top, bottom), value=fill), (0, 0)


def _torch() -> Any:  # noqa: ANN401 - a module that need not be there
    """Import torch, which takes long."""
    return importlib.import_module("torch")
