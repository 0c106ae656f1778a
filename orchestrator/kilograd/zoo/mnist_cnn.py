# SPDX-License-Identifier: Apache-2.0
"""
The MNIST network of the literature on training in place: two 3x3 convolutions of 16 channels at full resolution.

With 203 898 parameters, two million multiply-accumulates; BatchNorm is folded, so the weights start without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.graph import make_graph
from kilograd.zoo._layers import check_shape, conv2d, flatten, linear, max_pool

if TYPE_CHECKING:
    import numpy as np

    from kilograd.types import Graph, Shape

INPUT_SHAPE = (1, 28, 28)


def build(rng: np.random.Generator, input_shape: Shape, classes: int) -> Graph:
    """Return the model."""
    check_shape("mnist_cnn", input_shape, INPUT_SHAPE)
    nodes = (
        conv2d(rng, "conv1", "input", (1, 16), 3, pad=1, relu=True),
        conv2d(rng, "conv2", "conv1", (16, 16), 3, pad=1, relu=True),
        max_pool("pool", "conv2", 2),
        flatten("features", "pool"),
        linear(rng, "fc1", "features", (3136, 64), relu=True),
        linear(rng, "fc2", "fc1", (64, classes)),
    )
    return make_graph("mnist_cnn", input_shape, nodes)
