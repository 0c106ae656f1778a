# SPDX-License-Identifier: Apache-2.0
"""Deep built-in models, layer upon layer: the builder knows the map that it stands on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import KilogradError
from kilograd.graph import make_graph
from kilograd.types import Node
from kilograd.zoo import _layers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilograd.types import Attribute, Graph, Shape

MAP_RANK = 3


@dataclass
class Stack:
    """
    A model under construction; every layer reads the one before it, unless it is told another.

    A map of height 1 is a series over time: a window of 3x3 with stride 2 becomes one of 1x9 with stride 4, so that
    weights and work per output stay what they are for images.
    """

    rng: np.random.Generator
    input_shape: Shape
    nodes: list[Node] = field(default_factory=list)
    top: str = "input"

    def __post_init__(self) -> None:
        """Take the input as the first tensor."""
        if len(self.input_shape) != MAP_RANK:
            message = f"samples of (channels, height, width) are needed, not {self.input_shape}"
            raise KilogradError(message)
        self.shapes: dict[str, Shape] = {"input": self.input_shape}

    @property
    def channels(self) -> int:
        """Return the channels of the last map."""
        return self.shapes[self.top][0]

    def conv(
        self,
        name: str,
        channels: int,
        kernel: int | tuple[int, int] = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        relu: bool = True,
    ) -> str:
        """Add a convolution that keeps the size of the map, but for its stride."""
        inputs, height, width = self.shapes[self.top]
        taps = (kernel, kernel) if isinstance(kernel, int) else kernel
        series = height == 1
        taps = (1, math.prod(taps)) if series else taps
        steps = (1, stride**2) if series else (stride, stride)
        pads = (*((size - 1) // 2 for size in taps), *(size // 2 for size in taps))
        shape = (channels, inputs // groups, *taps)
        attributes: dict[str, Attribute] = {"stride": steps, "pads": pads, "groups": groups, "relu": relu}
        weight = _weights(self.rng, shape, relu=relu)
        out = (channels, -(-height // steps[0]), -(-width // steps[1]))
        node = Node(name, "conv2d", (self.top,), name, attributes, weight, np.zeros(channels, np.float32))
        return self._add(node, out)

    def depthwise(self, name: str, kernel: int = 3, *, stride: int = 1, relu: bool = True) -> str:
        """Add a convolution of every channel by itself."""
        return self.conv(name, self.channels, kernel, stride=stride, groups=self.channels, relu=relu)

    def inverted_residual(self, name: str, channels: int, hidden: int, kernel: int = 3, *, stride: int = 1) -> str:
        """Add a block of MobileNetV2: widen, filter, narrow; where the shape stays, the input is added."""
        source = self.top
        if hidden != self.channels:
            self.conv(f"{name}_expand", hidden)
        self.depthwise(f"{name}_depthwise", kernel, stride=stride)
        self.conv(f"{name}_project", channels, relu=False)
        return self.add(f"{name}_sum", source) if self.shapes[source] == self.shapes[self.top] else self.top

    def add(self, name: str, other: str, *, relu: bool = False) -> str:
        """Add the sum with an earlier tensor."""
        return self._add(_layers.add(name, (self.top, other), relu=relu), self.shapes[self.top])

    def classify(self, classes: int) -> str:
        """Add the end: the mean of each map, and a linear layer."""
        channels, *size = self.shapes[self.top]
        window: Mapping[str, Attribute] = {"kernel": tuple(size), "stride": tuple(size), "pads": (0, 0, 0, 0)}
        self._add(Node("mean", "average_pool", (self.top,), "mean", window), (channels, 1, 1))
        self._add(_layers.flatten("features", "mean"), (channels,))
        return self._add(_layers.linear(self.rng, "fc", "features", (channels, classes)), (classes,))

    def graph(self, name: str) -> Graph:
        """Return the finished model."""
        return make_graph(name, self.input_shape, self.nodes)

    def _add(self, node: Node, shape: Shape) -> str:
        self.nodes.append(node)
        self.shapes[node.output] = shape
        self.top = node.output
        return self.top


def _weights(rng: np.random.Generator, shape: Shape, *, relu: bool) -> np.ndarray:
    """Draw weights so that a signal keeps its size over many layers: He's where a rectifier halves it."""
    bound = math.sqrt((6 if relu else 3) / math.prod(shape[1:]))
    return rng.uniform(-bound, bound, shape).astype(np.float32)
