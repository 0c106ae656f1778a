# SPDX-License-Identifier: Apache-2.0
"""
A CNN of 4 266 parameters, half as wide as `cnn8_16_fc64_fc10` and without its hidden linear layer.

Two convolutions (the first with stride 2 and 4 channels, the second with 8) and one linear layer for images of 28x28.
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
    check_shape("cnn4_8_fc10", input_shape, INPUT_SHAPE)
    nodes = (
        conv2d(rng, "conv1", "input", (1, 4), 3, stride=2, pad=1, relu=True),
        conv2d(rng, "conv2", "conv1", (4, 8), 3, pad=1, relu=True),
        max_pool("pool", "conv2", 2),
        flatten("features", "pool"),
        linear(rng, "fc1", "features", (392, classes)),
    )
    return make_graph("cnn4_8_fc10", input_shape, nodes)
