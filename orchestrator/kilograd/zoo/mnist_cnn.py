# SPDX-License-Identifier: Apache-2.0
"""
The MNIST network of the literature on training in place: two 3x3 convolutions of 16 channels at full resolution.

With 203 898 parameters, two million multiply-accumulates; BatchNorm is folded, so the weights start without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.graph import make_graph
from kilograd.zoo._layers import conv2d, flatten, linear, max_pool

if TYPE_CHECKING:
    import numpy as np

    from kilograd.types import Graph


def build(rng: np.random.Generator, classes: int = 10) -> Graph:
    """Return the model for inputs of (1, 28, 28)."""
    nodes = (
        conv2d(rng, "conv1", "input", (1, 16), 3, pad=1, relu=True),
        conv2d(rng, "conv2", "conv1", (16, 16), 3, pad=1, relu=True),
        max_pool("pool", "conv2", 2),
        flatten("features", "pool"),
        linear(rng, "fc1", "features", (3136, 64), relu=True),
        linear(rng, "fc2", "fc1", (64, classes)),
    )
    return make_graph("mnist_cnn", (1, 28, 28), nodes)
