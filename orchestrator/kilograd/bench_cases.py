# SPDX-License-Identifier: Apache-2.0
"""The shapes that kernels are compared by: single layers, each in a small model that feeds it, and whole nets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kilograd.graph import make_graph
from kilograd.zoo._layers import conv2d, flatten, linear

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilograd.types import Graph, Node, Shape


@dataclass(frozen=True)
class Published:
    """What the method's authors measured on the same board: milliseconds of a training step, RAM and flash in KB."""

    ms: float
    ram_kb: float | None = None
    flash_kb: float | None = None


PUBLISHED = {
    ("mnist_cnn", "uint8", "imxrt1062"): Published(35.40),
    ("mnist_cnn", "mixed", "imxrt1062"): Published(35.04),
    ("mnist_cnn", "float32", "imxrt1062"): Published(36.11),
    ("mnist_cnn", "uint8", "nrf52840"): Published(897.56),
    ("mnist_cnn", "uint8", "rp2040"): Published(817.14),
    ("mbednet", "uint8", "imxrt1062"): Published(193.18, 339.72, 361.06),
    ("mbednet", "float32", "imxrt1062"): Published(1398.80, 799.7, 1396.48),
    ("vae_baseline", "uint8", "stm32l4r5"): Published(228.49, 244.0),
    ("vae_baseline", "float32", "stm32l4r5"): Published(224.01, 529.4),
}
"""
By model, configuration and board: Deutel et al. on EMNIST digits (TCAD 2024, complete training) and CIFAR-10 (the last
five layers of MbedNet), and on MNIST (MCSoC 2025, activations and weights).
"""

LAYER = "layer"
"""Name of the layer that is measured."""
BEFORE = "before"
"""Name of the layer that only makes its input gradient necessary."""
TRAINED = (BEFORE, LAYER)

CLASSES = 10
NETS = ("mlp_784_64_10", "cnn4_8_fc10", "cnn8_16_fc64_fc10", "mnist_cnn")
"""Built-in models whose training steps are measured unless others are named."""


def _conv3x3(rng: np.random.Generator) -> Node:
    return conv2d(rng, LAYER, BEFORE, (16, 16), 3, pad=1)


def _conv1x1(rng: np.random.Generator) -> Node:
    return conv2d(rng, LAYER, BEFORE, (32, 32), 1)


def _depthwise(rng: np.random.Generator) -> Node:
    return conv2d(rng, LAYER, BEFORE, (32, 32), 3, pad=1, groups=32)


def _linear(rng: np.random.Generator) -> Node:
    return linear(rng, LAYER, "vector", (784, 64))


_LAYERS: dict[str, tuple[Shape, Callable[[np.random.Generator], Node]]] = {
    "conv3x3_16x16x16_16": ((16, 16, 16), _conv3x3),
    "conv1x1_16x16x32_32": ((32, 16, 16), _conv1x1),
    "dw3x3_16x16x32": ((32, 16, 16), _depthwise),
    "linear_784_64": ((784, 1, 1), _linear),
}
LAYERS = tuple(_LAYERS)
"""Names of the single layers: kernel, input (height, width, channels), output channels."""


def layer_graph(name: str, seed: int = 1) -> Graph:
    """
    Return a model around one layer, which is called `layer`.

    A layer of one weight a channel before it makes it compute an input gradient; a linear layer behind it spreads the
    output error over all its positions. None has a ReLU, so neither inputs nor errors have more zeros than chance.
    """
    shape, make = _LAYERS[name]
    rng = np.random.default_rng(seed)
    before = conv2d(rng, BEFORE, "input", (shape[0], shape[0]), 1, groups=shape[0])
    layer = make(rng)
    middle = [before, flatten("vector", BEFORE), layer] if layer.op == "linear" else [before, layer]
    made = make_graph(name, shape, middle)
    features = int(np.prod(made.shapes[LAYER]))
    nodes = [*middle, flatten("features", LAYER), linear(rng, "head", "features", (features, CLASSES))]
    return make_graph(name, shape, nodes)
