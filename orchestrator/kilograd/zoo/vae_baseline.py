# SPDX-License-Identifier: Apache-2.0
"""
A variational autoencoder with transposed convolutions: 61 893 parameters.

It has 10 latent variables and 16 and 32 filters; images of 28x28.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.zoo import _vae

if TYPE_CHECKING:
    import numpy as np

    from kilograd.types import Graph, Shape

INPUT_SHAPE = _vae.INPUT_SHAPE


def build(rng: np.random.Generator, input_shape: Shape, _: int) -> Graph:
    """Return the model; it knows no classes."""
    return _vae.build_vae("vae_baseline", rng, input_shape, filters=16, latent=10)
