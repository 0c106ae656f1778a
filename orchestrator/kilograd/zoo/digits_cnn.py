# SPDX-License-Identifier: Apache-2.0
"""
A small CNN for scikit-learn's 8x8 digits: 9 802 parameters, 87 k multiply-accumulates.

The quickstart model: two 3x3 convolutions and two linear layers, which learn the digits in seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.graph import make_graph
from kilograd.zoo._layers import conv2d, flatten, linear, max_pool

if TYPE_CHECKING:
    import numpy as np

    from kilograd.types import Graph


def build(rng: np.random.Generator, classes: int = 10) -> Graph:
    """Return the model for inputs of (1, 8, 8)."""
    nodes = (
        conv2d(rng, "conv1", "input", (1, 8), 3, pad=1, relu=True),
        conv2d(rng, "conv2", "conv1", (8, 16), 3, pad=1, relu=True),
        max_pool("pool", "conv2", 2),
        flatten("features", "pool"),
        linear(rng, "fc1", "features", (256, 32), relu=True),
        linear(rng, "fc2", "fc1", (32, classes)),
    )
    return make_graph("digits_cnn", (1, 8, 8), nodes)
