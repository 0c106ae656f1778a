# SPDX-License-Identifier: Apache-2.0
"""
A variational autoencoder of 16 latent variables for images of 28x28: 106 849 parameters.

The decoder enlarges its maps by up-sampling, which has no checkerboard, and convolves them with kernels that every
board has. Kingma and Welling, "Auto-Encoding Variational Bayes" (2014).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.graph import make_graph
from kilograd.zoo._layers import check_shape, conv2d, flatten, linear, reshape, sample, upsample

if TYPE_CHECKING:
    import numpy as np

    from kilograd.types import Graph, Shape

INPUT_SHAPE = (1, 28, 28)
LATENT = 16


def build(rng: np.random.Generator, input_shape: Shape, _: int) -> Graph:
    """Return the model; it knows no classes."""
    check_shape("vae_upsample", input_shape, INPUT_SHAPE)
    nodes = (
        conv2d(rng, "conv1", "input", (1, 8), 3, stride=2, pad=1, relu=True),
        conv2d(rng, "conv2", "conv1", (8, 16), 3, stride=2, pad=1, relu=True),
        flatten("features", "conv2"),
        linear(rng, "encoder", "features", (784, 64), relu=True),
        linear(rng, "heads", "encoder", (64, 2 * LATENT)),
        sample("latent", "heads"),
        linear(rng, "decoder1", "latent", (LATENT, 64), relu=True),
        linear(rng, "decoder2", "decoder1", (64, 784), relu=True),
        reshape("map", "decoder2", (16, 7, 7)),
        upsample("up1", "map", 2),
        conv2d(rng, "conv3", "up1", (16, 8), 3, pad=1, relu=True),
        upsample("up2", "conv3", 2),
        conv2d(rng, "conv4", "up2", (8, 1), 3, pad=1),
    )
    return make_graph("vae_upsample", input_shape, nodes, loss="elbo")
