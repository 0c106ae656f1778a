# SPDX-License-Identifier: Apache-2.0
"""Images that are varied while a model is pretrained: how, and always in the same way."""

from __future__ import annotations

import numpy as np
import pytest

from kilograd.augment import augmenter
from kilograd.errors import KilogradError

SHAPE = (2, 16, 24)


def images(count: int = 64) -> np.ndarray:
    """Return images of numbers that are all different and none of them zero."""
    return np.arange(1, count * np.prod(SHAPE) + 1, dtype=np.float32).reshape(count, *SHAPE)


def varied(*ways: str, seed: int = 1) -> np.ndarray:
    """Return the images as they are varied first."""
    vary = augmenter(ways, SHAPE, seed)
    assert vary is not None
    return vary(images())


def test_half_of_the_images_are_mirrored_left_to_right() -> None:
    """And nothing else happens to them."""
    before, after = images(), varied("flip")
    mirrored = [np.array_equal(b[..., ::-1], a) for b, a in zip(before, after, strict=True)]
    kept = [np.array_equal(b, a) for b, a in zip(before, after, strict=True)]

    assert [not m for m in mirrored] == kept
    assert 20 <= sum(mirrored) <= 44


def test_images_move_by_up_to_an_eighth_and_zeros_come_in() -> None:
    """Every image by its own distance, all its channels alike; all distances of both directions occur."""
    seen = set()
    for before, after in zip(images(), varied("shift"), strict=True):
        row, column = np.argwhere(after[0] > 0)[0]
        source = np.argwhere(before[0] == after[0, row, column])[0]
        down, right = row - source[0], column - source[1]
        expected = np.zeros_like(before)
        rows, columns = (slice(max(0, d), min(n, n + d)) for d, n in ((down, 16), (right, 24)))
        from_rows, from_columns = (slice(max(0, -d), min(n, n - d)) for d, n in ((down, 16), (right, 24)))
        expected[:, rows, columns] = before[:, from_rows, from_columns]
        np.testing.assert_array_equal(after, expected)
        seen.add((int(down), int(right)))

    assert {down for down, _ in seen} == {-2, -1, 0, 1, 2}
    assert {right for _, right in seen} == {-3, -2, -1, 0, 1, 2, 3}


def test_a_series_moves_in_time_only() -> None:
    """Its maps have one row, which is the whole of it."""
    vary = augmenter(["shift"], (3, 1, 80), 1)
    x = np.random.default_rng(1).random((20, 3, 1, 80)).astype(np.float32) + 1
    assert vary is not None

    moved = vary(x)

    assert moved.shape == x.shape
    assert 0 < np.count_nonzero(moved == 0) < 0.2 * moved.size


def test_the_seed_decides() -> None:
    """A pretraining can be repeated; another call varies anew."""
    vary = augmenter(("flip", "shift"), SHAPE, 1)
    assert vary is not None
    first, second = vary(images()), vary(images())

    np.testing.assert_array_equal(first, varied("flip", "shift"))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, varied("flip", "shift", seed=2))


def test_without_a_way_nothing_is_varied() -> None:
    """And samples without rows and columns are refused only where something was asked for."""
    assert augmenter((), (64,), 1) is None
    with pytest.raises(KilogradError, match=r"pretrain.augment: samples of shape \(64,\) have no rows and columns"):
        augmenter(("flip",), (64,), 1)
