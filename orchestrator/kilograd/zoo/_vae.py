# SPDX-License-Identifier: Apache-2.0
"""The convolutional variational autoencoder of the literature on unsupervised training on microcontrollers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.graph import make_graph
from kilograd.zoo._layers import check_shape, conv2d, conv_transpose2d, flatten, linear, reshape, sample

if TYPE_CHECKING:
    import numpy as np

    from kilograd.types import Graph, Shape

INPUT_SHAPE = (1, 28, 28)


def build_vae(name: str, rng: np.random.Generator, input_shape: Shape, filters: int, latent: int) -> Graph:
    """
    Return a model with this many filters in its outer layers and twice as many in its inner ones.

    Encoder: two convolutions and a linear layer whose outputs are means and log-variances. Decoder: a linear layer and
    two transposed convolutions.
    """
    check_shape(name, input_shape, INPUT_SHAPE)
    inner = 2 * filters
    nodes = (
        conv2d(rng, "conv1", "input", (1, filters), 3, stride=2, pad=1, relu=True),
        conv2d(rng, "conv2", "conv1", (filters, inner), 3, stride=2, pad=1, relu=True),
        flatten("features", "conv2"),
        linear(rng, "heads", "features", (49 * inner, 2 * latent)),
        sample("latent", "heads"),
        linear(rng, "decoder", "latent", (latent, 49 * inner), relu=True),
        reshape("map", "decoder", (inner, 7, 7)),
        conv_transpose2d(rng, "deconv1", "map", (inner, filters), relu=True),
        conv_transpose2d(rng, "deconv2", "deconv1", (filters, 1)),
    )
    return make_graph(name, input_shape, nodes, loss="elbo")
