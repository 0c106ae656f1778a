# SPDX-License-Identifier: Apache-2.0
"""Nearest-neighbour up-sampling against numpy."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from kernels import Output, Requant, call
from oracle_numbers import F, requant, requant_pair

SIZES = pytest.mark.parametrize("size", [(3, 4, 5, 2, 2), (1, 1, 1, 4, 3), (2, 1, 7, 1, 2), (4, 3, 2, 1, 1)], ids=str)

Size = tuple[int, int, int, int, int]


def dims(size: Size) -> ctypes.Array[ctypes.c_int32]:
    """Return kg_upsample_dims_t."""
    return (ctypes.c_int32 * 5)(*size)


def large(size: Size) -> tuple[int, int, int]:
    """Return the shape of the large map."""
    channels, height, width, down, across = size
    return channels, height * down, width * across


def blocks(e: np.ndarray, size: Size) -> np.ndarray:
    """Return the sum of every block."""
    channels, height, width, down, across = size
    return e.reshape(channels, height, down, width, across).sum(axis=(2, 4))


@SIZES
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_every_element_becomes_a_block(size: Size, dtype: type) -> None:
    """The values stay as they are, in either format."""
    x = np.random.default_rng(1).integers(0, 256, size[:3]).astype(dtype)
    y = Output(large(size), dtype)

    call(f"kg_upsample_{'u8' if dtype is np.uint8 else 'f32'}_forward", dims(size), x, y)
    np.testing.assert_array_equal(y.array, np.kron(x, np.ones(size[3:], dtype)))


@SIZES
@pytest.mark.parametrize("factor", [1.0, 0.25, 0.3, 4.0, 0.0])
def test_uint8_errors_of_a_block_are_added_and_rounded(size: Size, factor: float) -> None:
    """Exact sums, rounded half up; the largest one is what the next scale is chosen from."""
    e = np.random.default_rng(2).integers(0, 256, large(size)).astype(np.uint8)
    dx = Output(size[:3], np.uint8)
    sums = blocks(e.astype(np.int64) - 128, size)

    largest = call("kg_upsample_u8_backward", dims(size), e, Requant(*requant_pair(F(factor))), dx)
    np.testing.assert_array_equal(dx.array, np.clip(128 + requant(sums, F(factor)), 0, 255))
    assert largest == np.abs(sums).max()


@SIZES
def test_float32_errors_of_a_block_are_added(size: Size) -> None:
    """Single precision, row by row."""
    e = np.random.default_rng(3).standard_normal(large(size), np.float32)
    dx = Output(size[:3], np.float32)

    call("kg_upsample_f32_backward", dims(size), e, dx)
    np.testing.assert_allclose(dx.array, blocks(e, size), rtol=1e-6, atol=1e-6)
