# SPDX-License-Identifier: Apache-2.0
"""
The reference CNN of kilograd's training recipe: 52 138 parameters, 52 040 of them weights.

Two convolutions (the first with stride 2 and 8 channels, the second with 16) and two linear layers for images of 28x28.
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
    check_shape("cnn8_16_fc64_fc10", input_shape, INPUT_SHAPE)
    nodes = (
        conv2d(rng, "conv1", "input", (1, 8), 3, stride=2, pad=1, relu=True),
        conv2d(rng, "conv2", "conv1", (8, 16), 3, pad=1, relu=True),
        max_pool("pool", "conv2", 2),
        flatten("features", "pool"),
        linear(rng, "fc1", "features", (784, 64), relu=True),
        linear(rng, "fc2", "fc1", (64, classes)),
    )
    return make_graph("cnn8_16_fc64_fc10", input_shape, nodes)
