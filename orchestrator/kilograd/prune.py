# SPDX-License-Identifier: Apache-2.0
"""
Make a trained model smaller on the host: remove the weakest channels and neurons little by little, and train between.

The share that is gone after each step follows Zhu and Gupta, "To prune, or not to prune" (2017): much at first, when
there is plenty to choose from, little at the end. A structure's strength is the L1 norm of its weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kilograd import graph as graphs
from kilograd.errors import KilogradError
from kilograd.structures import ROWS, Group, cut, groups

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from kilograd.types import Graph, Samples

CHUNK = 250  # samples tested at once


@dataclass(frozen=True)
class Pruning:
    """Which share of the structures goes in how many steps; `layers` are names, or "all"."""

    target: float
    steps: int
    layers: str | tuple[str, ...]


@dataclass(frozen=True)
class Pruned:
    """The model after a step: the share of structures that is gone, its size, its accuracy after training."""

    share: float
    parameters: int
    macs: int
    accuracy: float


def prune(
    graph: Graph, how: Pruning, retrain: Callable[[Graph, int], Graph], accuracy: Callable[[Graph], float]
) -> tuple[Graph, tuple[Pruned, ...]]:
    """
    Return the smaller model, and what it was like before and after every step.

    Args:
        graph: a trained model.
        how: how much goes.
        retrain: trains a model after a step, which it is told the number of.
        accuracy: tests a model.

    """
    model, seen = graph, [_seen(graph, 0.0, accuracy)]
    for step in range(1, how.steps + 1):
        share = share_after(step, how)
        model = retrain(remove(model, graph, how.layers, share), step)
        seen.append(_seen(model, share, accuracy))
    return model, tuple(seen)


def share_after(step: int, how: Pruning) -> float:
    """Return the share of structures that is gone after a step."""
    return how.target * (1 - (1 - step / how.steps) ** 3)


def remove(graph: Graph, whole: Graph, layers: str | tuple[str, ...], share: float) -> Graph:
    """Return the graph without its weakest structures, so that `share` of those of the whole model is gone."""
    for before in selected(whole, layers):
        group = next(now for now in groups(graph) if now.owners == before.owners)
        left = min(group.count, max(1, before.count - round(share * before.count)))
        strongest = np.argsort(-strength(graph, group), kind="stable")[:left]
        graph = cut(graph, group, np.sort(strongest))
    return graph


def strength(graph: Graph, group: Group) -> NDArray[np.float64]:
    """Return the L1 norm of every structure: of its rows, per weight, so that all layers of a group count the same."""
    total = np.zeros(group.count)
    for node in graph.nodes:
        for part in group.parts:
            if part.node == node.name and part.axis == ROWS and node.weight is not None:
                total += np.abs(node.weight, dtype=np.float64).reshape(group.count, -1).mean(axis=1)
    return total


def selected(graph: Graph, layers: str | tuple[str, ...]) -> tuple[Group, ...]:
    """Return the groups that lose structures, or say which names are wrong."""
    known = groups(graph)
    if not known:
        message = f"{graph.name} has no layers to prune: the first and the last one keep what the model reads and tells"
        raise KilogradError(message, "leave the table [prune] out")
    if layers == "all":
        return known
    hint = f"prune.layers: {', '.join(' + '.join(group.owners) for group in known)} (those with + only together)"
    if wrong := [name for name in layers if not any(name in group.owners for group in known)]:
        message = f"{graph.name} has no such layers to prune: {', '.join(wrong)}"
        raise KilogradError(message, hint)
    for group in known:
        named = [name for name in group.owners if name in layers]
        if named and len(named) < len(group.owners):
            others = ", ".join(name for name in group.owners if name not in layers)
            message = f"{', '.join(named)}: a sum ties the channels to those of {others}, which is not to be pruned"
            raise KilogradError(message, hint)
    return tuple(group for group in known if group.owners[0] in layers)


def float_accuracy(graph: Graph, samples: Samples) -> float:
    """Return the share of right answers in float."""
    right = 0
    for start in range(0, len(samples), CHUNK):
        part = slice(start, start + CHUNK)
        scores = graphs.evaluate(graph, samples.x[part])[graph.output]
        right += int(np.count_nonzero(scores.argmax(axis=1) == samples.y[part]))
    return right / max(len(samples), 1)


def _seen(graph: Graph, share: float, accuracy: Callable[[Graph], float]) -> Pruned:
    return Pruned(share, graphs.parameters(graph), graphs.macs(graph), accuracy(graph))
