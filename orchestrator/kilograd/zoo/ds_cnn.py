# SPDX-License-Identifier: Apache-2.0
"""
The keyword spotter of MLPerf Tiny: 22 474 parameters, 2.66 M multiply-accumulates for 1x49x10.

A strided convolution over 10 moments x 4 pitches and four depthwise-separable ones of 64 channels, as in Zhang et al.,
"Hello Edge" (2017); BatchNorm is folded. It takes spectrograms of any size (speech_commands: 1x49x40).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.zoo._stack import Stack

if TYPE_CHECKING:
    import numpy as np

    from kilograd.types import Graph, Shape

INPUT_SHAPE = (1, 49, 10)
CHANNELS = 64


def build(rng: np.random.Generator, input_shape: Shape, classes: int) -> Graph:
    """Return the model."""
    net = Stack(rng, input_shape)
    net.conv("stem", CHANNELS, (10, 4), stride=2)
    for number in range(1, 5):
        net.depthwise(f"depthwise{number}")
        net.conv(f"pointwise{number}", CHANNELS)
    net.classify(classes)
    return net.graph("ds_cnn")
