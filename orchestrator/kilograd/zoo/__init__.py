# SPDX-License-Identifier: Apache-2.0
"""Built-in models, one file each, with small uniform initial weights."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from kilograd import listing
from kilograd.errors import KilogradError
from kilograd.zoo._layers import initial_weights

if TYPE_CHECKING:
    from kilograd.types import Graph, Shape


class Model(Protocol):
    """What every file of this folder offers."""

    INPUT_SHAPE: Shape
    """The samples that the model is made for; some take others, too."""

    def build(self, rng: np.random.Generator, input_shape: Shape, classes: int) -> Graph:
        """Return the model with fresh weights, or say which samples it takes."""


def models() -> tuple[str, ...]:
    """Return the names of all built-in models."""
    return listing.names(__name__)


def build_model(name: str, *, seed: int, classes: int = 10, input_shape: Shape | None = None) -> Graph:
    """
    Return a built-in model with fresh weights; a wrong name lists the right ones.

    Args:
        name: one of `models()`.
        seed: for the weights.
        classes: how many scores the model gives.
        input_shape: one sample; default: what the model is made for.

    """
    model = cast("Model", listing.member(__name__, "model", name))
    shape = model.INPUT_SHAPE if input_shape is None else input_shape
    rng = np.random.default_rng([*name.encode(), seed])  # apart from other numbers drawn with the same seed
    return model.build(rng, shape, classes)


def models_for(input_shape: Shape) -> tuple[str, ...]:
    """Return the names of the models that take samples of this shape."""
    return tuple(name for name in models() if _takes(name, input_shape))


def _takes(name: str, input_shape: Shape) -> bool:
    try:
        build_model(name, seed=0, input_shape=input_shape)
    except KilogradError:
        return False
    return True


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
