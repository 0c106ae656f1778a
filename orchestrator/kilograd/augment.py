# SPDX-License-Identifier: Apache-2.0
"""Vary images while a model is pretrained, so that it learns what stays the same instead of the images themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from kilograd.types import Shape

    Images = NDArray[np.float32]
    Vary = Callable[[Images], Images]

MAP_RANK = 3
LARGEST_SHIFT = 8  # an eighth of the rows and columns


def augmenter(ways: Sequence[str], shape: Shape, seed: int) -> Vary | None:
    """Return a function that varies images (n, *shape), always in the same way for a seed; None: they stay."""
    if not ways:
        return None
    if len(shape) != MAP_RANK:
        message = f"pretrain.augment: samples of shape {shape} have no rows and columns to {' or '.join(ways)}"
        raise KilogradError(message, "it varies maps (channels, height, width)")
    rng = np.random.default_rng([*b"augment", seed])

    def vary(x: Images) -> Images:
        for way in ways:
            x = _WAYS[way](x, rng)
        return x

    return vary


def _flip(x: Images, rng: np.random.Generator) -> Images:
    """Mirror half of the images left to right."""
    chosen = rng.random(len(x)) < 0.5  # noqa: PLR2004 - half of them
    return np.where(chosen[:, None, None, None], x[..., ::-1], x)


def _shift(x: Images, rng: np.random.Generator) -> Images:
    """Move every image by up to an eighth of its size, in both directions; zeros come in."""
    count, channels, height, width = x.shape
    most = height // LARGEST_SHIFT, width // LARGEST_SHIFT
    padded = np.pad(x, ((0, 0), (0, 0), (most[0], most[0]), (most[1], most[1])))
    rows, columns = (
        rng.integers(0, 2 * limit + 1, (count, 1)) + np.arange(size)
        for limit, size in zip(most, (height, width), strict=True)
    )
    images, planes = np.arange(count)[:, None, None, None], np.arange(channels)[None, :, None, None]
    moved: Images = padded[images, planes, rows[:, None, :, None], columns[:, None, None, :]]
    return moved


_WAYS = {"flip": _flip, "shift": _shift}
