# SPDX-License-Identifier: Apache-2.0
"""
A small CNN for scikit-learn's 8x8 digits: 9 802 parameters, 87 k multiply-accumulates.

The quickstart model: two 3x3 convolutions and two linear layers, which learn the digits in seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.graph import make_graph
from kilograd.zoo._layers import check_shape, conv2d, flatten, linear, max_pool

if TYPE_CHECKING:
    import numpy as np

    from kilograd.types import Graph, Shape

INPUT_SHAPE = (1, 8, 8)


def build(rng: np.random.Generator, input_shape: Shape, classes: int) -> Graph:
    """Return the model."""
    check_shape("digits_cnn", input_shape, INPUT_SHAPE)
    nodes = (
        conv2d(rng, "conv1", "input", (1, 8), 3, pad=1, relu=True),
        conv2d(rng, "conv2", "conv1", (8, 16), 3, pad=1, relu=True),
        max_pool("pool", "conv2", 2),
        flatten("features", "pool"),
        linear(rng, "fc1", "features", (256, 32), relu=True),
        linear(rng, "fc2", "fc1", (32, classes)),
    )
    return make_graph("digits_cnn", input_shape, nodes)
