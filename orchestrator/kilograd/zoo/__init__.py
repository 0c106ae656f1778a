# SPDX-License-Identifier: Apache-2.0
"""Built-in models, one file each, with small uniform initial weights."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np

from kilograd import listing
from kilograd.errors import KilogradError
from kilograd.zoo._layers import initial_weights

if TYPE_CHECKING:
    from kilograd.types import Graph


def models() -> tuple[str, ...]:
    """Return the names of all built-in models."""
    return listing.names(__name__)


def build_model(name: str, *, seed: int, classes: int = 10) -> Graph:
    """Return a built-in model with fresh weights; a wrong name lists the right ones."""
    module = listing.member(__name__, "model", name)
    rng = np.random.default_rng([*name.encode(), seed])  # apart from other numbers drawn with the same seed
    return cast("Graph", module.build(rng, classes))


def with_fresh_weights(graph: Graph, layers: int, *, seed: int) -> Graph:
    """Return the model whose last weighted layers, so many of them, have forgotten what they had learned."""
    weighted = [node.name for node in graph.nodes if node.weight is not None]
    if layers > len(weighted):
        message = f"{graph.name} has {len(weighted)} layers with weights, {layers} cannot be reset"
        raise KilogradError(message, f"model.reset: a number from 0 to {len(weighted)}")
    names = set(weighted[len(weighted) - layers :])
    rng = np.random.default_rng([*b"reset", seed])
    nodes = [
        replace(node, weight=initial_weights(rng, node.weight.shape), bias=np.zeros(len(node.weight), np.float32))
        if node.name in names and node.weight is not None
        else node
        for node in graph.nodes
    ]
    return replace(graph, nodes=tuple(nodes))
