# SPDX-License-Identifier: Apache-2.0
"""
The image classifier of MLPerf Tiny: 77 706 parameters, 12.5 M multiply-accumulates for 3x32x32.

Three residual blocks as in He et al., "Deep Residual Learning" (2015); BatchNorm is folded. It takes maps of any size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.zoo._stack import Stack

if TYPE_CHECKING:
    import numpy as np

    from kilograd.types import Graph, Shape

INPUT_SHAPE = (3, 32, 32)


def build(rng: np.random.Generator, input_shape: Shape, classes: int) -> Graph:
    """Return the model."""
    net = Stack(rng, input_shape)
    net.conv("stem", 16, 3)
    for number, (channels, stride) in enumerate(((16, 1), (32, 2), (64, 2)), 1):
        source = net.top
        net.conv(f"block{number}_conv1", channels, 3, stride=stride)
        inside = net.conv(f"block{number}_conv2", channels, 3, relu=False)
        if stride > 1:
            net.top = source
            source = net.conv(f"block{number}_shortcut", channels, stride=stride, relu=False)
            net.top = inside
        net.add(f"block{number}_sum", source, relu=True)
    net.classify(classes)
    return net.graph("resnet8")
