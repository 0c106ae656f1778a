# SPDX-License-Identifier: Apache-2.0
"""
Train a model in float32 with torch: by Adam, with BatchNorm where it is wanted.

Deep nets learn more in the same time with BatchNorm, and on a chip it would be no more than a factor: it is folded into
the weights before the model is used.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd import torch_graph
from kilograd.errors import KilogradError
from kilograd.load import TORCH_HINT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kilograd.augment import Vary
    from kilograd.schedule import Schedule
    from kilograd.types import Graph, Node, Samples

    Tensor = Any  # torch is no dependency

MAP_RANK = 4  # with the batch, and of a convolution's weights


def check(graph: Graph) -> None:
    """Make sure that torch is there and runs the graph, before anything long begins."""
    check_installed()
    torch_graph.logits(graph, np.zeros((1, *graph.shapes[graph.input]), np.float32))


def check_installed() -> None:
    """Make sure that torch is there for what an experiment asks."""
    if not torch_graph.installed():
        message = "pretrain.batch_norm trains with torch, which is not installed"
        raise KilogradError(message, TORCH_HINT)


def version() -> str:
    """Return the version of torch: another may round otherwise."""
    return str(torch_graph.load().__version__)


def train(
    graph: Graph,
    samples: Samples,
    schedule: Schedule,
    vary: Vary | None,
    advance: Callable[[int], None],
    *,
    batch_norm: bool = True,
) -> Graph:
    """Return the graph as Adam leaves it after the schedule, its rate falling over half a wave of the cosine."""
    torch = torch_graph.load()
    values = {name: tuple(map(_fast, pair)) for name, pair in torch_graph.parameters(graph).items()}
    norms = norms_of(graph) if batch_norm else {}
    learned = [*itertools.chain(*values.values()), *(p for norm in norms.values() for p in norm.parameters())]
    optimiser = torch.optim.Adam(learned, lr=schedule.rate)
    updates = schedule.planned_updates
    for update in range(updates):
        chosen = schedule.order[update * schedule.batch :][: schedule.batch]
        x = samples.x[chosen] if vary is None else vary(samples.x[chosen])
        (group,) = optimiser.param_groups
        group["lr"] = schedule.rate * (1 + math.cos(math.pi * update / updates)) / 2
        optimiser.zero_grad()
        scores = torch_graph.run(graph, values, _fast(torch.from_numpy(x)), behind(norms))
        torch.nn.functional.cross_entropy(scores, torch.from_numpy(samples.y[chosen])).backward()
        optimiser.step()
        advance(len(chosen))
    return folded(graph, values, norms)


def norms_of(graph: Graph) -> dict[str, Tensor]:
    """Return a fresh BatchNorm for every convolution, by name."""
    torch = torch_graph.load()
    return {
        node.name: torch.nn.BatchNorm2d(len(node.weight))
        for node in graph.nodes
        if node.op == "conv2d" and node.weight is not None
    }


def behind(norms: Mapping[str, Tensor]) -> Callable[[Node, Tensor], Tensor]:
    """Return what puts them into the graph."""
    return lambda node, out: norms[node.name](out) if node.name in norms else out


def folded(graph: Graph, values: torch_graph.Parameters, norms: Mapping[str, Tensor]) -> Graph:
    """Return the graph with what it has learned, in its weights and biases."""
    return replace(graph, nodes=tuple(_folded(node, values, norms) for node in graph.nodes))


def _fast(tensor: Tensor) -> Tensor:
    """Return maps with their channels side by side in memory, which is 1.4 times as fast with torch."""
    if tensor.ndim != MAP_RANK:
        return tensor
    moved = tensor.detach().contiguous(memory_format=torch_graph.load().channels_last)
    return moved.requires_grad_(tensor.requires_grad)


def _folded(node: Node, values: torch_graph.Parameters, norms: Mapping[str, Tensor]) -> Node:
    """Return a node with what it has learned; a factor and an offset per channel are part of weights and biases."""
    if node.name not in values:
        return node
    weight, bias = (value.detach().double() for value in values[node.name])
    if node.name in norms:
        norm = norms[node.name]
        factor = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
        weight = weight * factor[:, None, None, None]
        bias = norm.bias.detach().double() + (bias - norm.running_mean.double()) * factor
    return replace(node, weight=weight.float().numpy(), bias=bias.float().numpy())
