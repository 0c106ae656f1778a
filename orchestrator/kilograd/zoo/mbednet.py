# SPDX-License-Identifier: Apache-2.0
"""
A mobile network in the small, for transfer learning: 33 178 parameters, 1.35 M multiply-accumulates for 3x32x32.

Five inverted residuals as in Sandler et al., "MobileNetV2" (2018), between a strided stem and a pointwise head. The
last five layers with weights are the last block, the head and the classifier. It takes maps of any size (3x128x128:
21.6 M multiply-accumulates); one of height 1 is a series over time, whose windows are 1x9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.zoo._stack import Stack

if TYPE_CHECKING:
    import numpy as np

    from kilograd.types import Graph, Shape

INPUT_SHAPE = (3, 32, 32)


def build(rng: np.random.Generator, input_shape: Shape, classes: int) -> Graph:
    """Return the model for maps of any size; height 1 is a series over time."""
    net = Stack(rng, input_shape)
    net.conv("stem", 16, 3, stride=2)
    net.inverted_residual("block1", 16, 16)
    net.inverted_residual("block2", 24, 64, stride=2)
    net.inverted_residual("block3", 24, 72)
    net.inverted_residual("block4", 40, 96, stride=2)
    net.inverted_residual("block5", 40, 120)
    net.conv("head", 128)
    net.classify(classes)
    return net.graph("mbednet")
