# SPDX-License-Identifier: Apache-2.0
"""
A residual network in the small, of many operators: 1 642 parameters for images of 1x28x28.

One residual block as in He et al., "Deep Residual Learning" (2015), with the rectifier before the block's first
convolution, and one depthwise + pointwise pair as in Howard et al., "MobileNets" (2017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.graph import make_graph
from kilograd.zoo._layers import add, average_pool, check_shape, conv2d, flatten, linear, max_pool, relu

if TYPE_CHECKING:
    import numpy as np

    from kilograd.types import Graph, Shape

INPUT_SHAPE = (1, 28, 28)


def build(rng: np.random.Generator, input_shape: Shape, classes: int) -> Graph:
    """Return the model."""
    check_shape("resnet_tiny", input_shape, INPUT_SHAPE)
    nodes = (
        conv2d(rng, "stem", "input", (1, 8), 3, stride=2, pad=1),
        relu("block_relu", "stem"),
        conv2d(rng, "block_conv1", "block_relu", (8, 8), 3, pad=1, relu=True),
        conv2d(rng, "block_conv2", "block_conv1", (8, 8), 3, pad=1),
        add("block_sum", ("block_conv2", "stem"), relu=True),
        max_pool("pool", "block_sum", 2),
        conv2d(rng, "depthwise", "pool", (8, 8), 3, pad=1, groups=8, relu=True),
        conv2d(rng, "pointwise", "depthwise", (8, 16), 1, relu=True),
        average_pool("global_pool", "pointwise", 7),
        flatten("features", "global_pool"),
        linear(rng, "fc", "features", (16, classes)),
    )
    return make_graph("resnet_tiny", input_shape, nodes)
