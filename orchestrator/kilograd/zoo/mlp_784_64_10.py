# SPDX-License-Identifier: Apache-2.0
"""The classic perceptron with one hidden layer for images of 28x28: 50 890 parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.graph import make_graph
from kilograd.zoo._layers import check_shape, flatten, linear

if TYPE_CHECKING:
    import numpy as np

    from kilograd.types import Graph, Shape

INPUT_SHAPE = (1, 28, 28)


def build(rng: np.random.Generator, input_shape: Shape, classes: int) -> Graph:
    """Return the model."""
    check_shape("mlp_784_64_10", input_shape, INPUT_SHAPE)
    nodes = (
        flatten("features", "input"),
        linear(rng, "fc1", "features", (784, 64), relu=True),
        linear(rng, "fc2", "fc1", (64, classes)),
    )
    return make_graph("mlp_784_64_10", input_shape, nodes)
