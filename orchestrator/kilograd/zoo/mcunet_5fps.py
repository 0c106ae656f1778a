# SPDX-License-Identifier: Apache-2.0
"""
A network like MCUNet-5FPS, for training its last blocks: 473 714 parameters, 23.2 M multiply-accumulates for 3x128x128.

Thirteen inverted residuals as in Lin et al., "MCUNet" (2020), whose own net a search has found: kernels of 3 to 7,
few channels where the maps are large. The sizes are those that "On-Device Training Under 256KB Memory" (2022) names. It
takes maps of any size; the last two blocks are six layers with weights, and the classifier is one more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.zoo._stack import Stack

if TYPE_CHECKING:
    import numpy as np

    from kilograd.types import Graph, Shape

INPUT_SHAPE = (3, 128, 128)
BLOCKS = (
    # channels, hidden, kernel, stride
    (8, 16, 3, 1),
    (16, 32, 5, 2),
    (16, 64, 3, 1),
    (24, 64, 5, 2),
    (24, 120, 3, 1),
    (40, 120, 5, 2),
    (40, 160, 5, 1),
    (48, 160, 3, 1),
    (48, 208, 5, 1),
    (96, 240, 5, 2),
    (96, 432, 3, 1),
    (96, 432, 5, 1),
    (160, 528, 7, 1),
)


def build(rng: np.random.Generator, input_shape: Shape, classes: int) -> Graph:
    """Return the model."""
    net = Stack(rng, input_shape)
    net.conv("stem", 16, 3, stride=2)
    for number, (channels, hidden, kernel, stride) in enumerate(BLOCKS, 1):
        net.inverted_residual(f"block{number}", channels, hidden, kernel, stride=stride)
    net.classify(classes)
    return net.graph("mcunet_5fps")
