# SPDX-License-Identifier: Apache-2.0
"""Max and average pooling against numpy."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import (
    BOARDS,
    Array,
    AveragePoolQuant,
    Output,
    Requant,
    Window,
    call,
    call_on_board,
    inside,
    padded,
    requant,
    to_error,
    under_tap,
)

SHAPES = {
    "halving": Window(3, 6, 8, 3, 2, 2, 2, 2),
    "halving, odd map": Window(2, 7, 5, 2, 2, 2, 2, 2),
    "halving, odd rows": Window(2, 7, 36, 2, 2, 2, 2, 2),
    "halving, wide": Window(2, 4, 70, 2, 2, 2, 2, 2),
    "halving, padded": Window(2, 6, 6, 2, 2, 2, 2, 2, (1, 1, 1, 1)),
    "overlapping, padded": Window(2, 7, 8, 2, 3, 3, 2, 2, (1, 1, 1, 1)),
    "stride 1": Window(1, 6, 5, 1, 3, 2, pads=(0, 1, 0, 0)),
    "gaps between windows": Window(2, 9, 8, 2, 2, 1, 4, 3),
    "global": Window(4, 5, 6, 4, 5, 6),
    "one pixel": Window(2, 1, 1, 2, 1, 1),
    "one pixel, padded": Window(2, 1, 1, 2, 3, 3, pads=(1, 1, 1, 1)),
    "asymmetric pads": Window(2, 5, 6, 2, 3, 4, 2, 3, (0, 2, 2, 1)),
}
ALL_SHAPES = pytest.mark.parametrize("window", SHAPES.values(), ids=SHAPES.keys())
SPARSE = 0.4  # share of rows that have no error
VARIANTS = pytest.mark.parametrize(
    ("variant", "backward", "board"),
    [("_host", "_host", None), *(("_dsp", "_dsp", board) for board in (None, *BOARDS["_dsp"]))],
    ids=str,
)
DTYPES = pytest.mark.parametrize("dtype", [np.uint8, np.float32], ids=["u8", "f32"])


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """Any small pooling whose windows all touch the map."""
    kernel = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    stride = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    size = [draw(st.integers(1, 9)) for _ in range(2)]
    pads = [draw(st.integers(0, kernel[axis % 2] - 1)) for axis in range(4)]
    for axis in range(2):
        size[axis] = max(size[axis], kernel[axis] - pads[axis] - pads[axis + 2])
    channels = draw(st.integers(1, 3))
    return Window(channels, *size, channels, *kernel, *stride, tuple(pads))


def taps(window: Window) -> list[tuple[int, int]]:
    """Return all taps in the order of the kernel."""
    return list(product(range(window.kernel_height), range(window.kernel_width)))


def check_max_pool(
    window: Window, dtype: type, seed: int, variant: str = "", backward: str = "", board: str | None = None
) -> None:
    """Compare forward and backward; few distinct values make many ties, extreme errors make clamps."""
    rng = np.random.default_rng(seed)
    x = (rng.integers(0, 5, window.x_shape) + rng.choice([0, 126, 251])).astype(dtype)
    suffix, zero = ("u8", 128) if dtype is np.uint8 else ("f32", 0)
    e = rng.integers(0, 256, window.y_shape).astype(dtype)
    e[rng.random((*window.y_shape[:-1], 1)).repeat(window.y_shape[-1], axis=-1) < SPARSE] = zero  # whole rows of zeros
    maps = padded(window, x.astype(np.float64), fill=-np.inf)
    seen = np.stack([under_tap(window, maps, u, v) for u, v in taps(window)])
    winners = seen.argmax(axis=0)
    summed = padded(window, np.zeros(window.x_shape))
    for tap, (u, v) in enumerate(taps(window)):
        target = under_tap(window, summed, u, v)
        target += np.where(winners == tap, e.astype(np.float64) - zero, 0)
    dx = inside(window, summed) + zero

    y, argmax, got = Output(window.y_shape, dtype), Output(window.y_shape, np.uint8), Output(window.x_shape, dtype)
    forward = (f"kg_max_pool_{suffix}_forward{variant}", window.pool(), x, y, argmax)
    _ = call(*forward) if board is None else call_on_board(board, variant, *forward)
    back = (f"kg_max_pool_{suffix}_backward{backward}", window.pool(), e, argmax, got)
    _ = call(*back) if board is None else call_on_board(board, variant, *back)
    np.testing.assert_array_equal(y.array, seen.max(axis=0))
    np.testing.assert_array_equal(argmax.array, winners)
    np.testing.assert_array_equal(got.array, np.clip(dx, 0, 255) if dtype is np.uint8 else dx)


@VARIANTS
@ALL_SHAPES
def test_fast_max_pool_means_the_same(variant: str, backward: str, board: str | None, window: Window) -> None:
    """Squares of two by two, and whatever is nearly that."""
    check_max_pool(window, np.uint8, 2, variant, backward, board)


@VARIANTS
@settings(max_examples=60, deadline=None)
@given(window=windows(), seed=st.integers(0, 1 << 30))
def test_fast_max_pool_means_the_same_on_any_shape(
    variant: str, backward: str, board: str | None, window: Window, seed: int
) -> None:
    """Fast code is for some shapes only."""
    check_max_pool(window, np.uint8, seed, variant, backward, board)


@DTYPES
@ALL_SHAPES
def test_max_pool_sends_each_error_to_the_first_largest_element(window: Window, dtype: type) -> None:
    """Ties, padding and overlapping windows all have one meaning; uint8 clamps the whole sum once."""
    check_max_pool(window, dtype, seed=1)


@DTYPES
@settings(max_examples=60, deadline=None)
@given(window=windows(), seed=st.integers(0, 1 << 30))
def test_max_pool_on_any_shape(dtype: type, window: Window, seed: int) -> None:
    """No combination of size, stride and padding is special."""
    check_max_pool(window, dtype, seed)


def average_u8(window: Window, x: Array, e: Array, quant: AveragePoolQuant) -> tuple[Array, Array]:
    """Return the exact sums forward and backward."""
    maps = padded(window, x.astype(np.int64) - quant.x_zero)
    sums = sum(under_tap(window, maps, u, v) for u, v in taps(window))
    spread = padded(window, np.zeros(window.x_shape, np.int64))
    for u, v in taps(window):
        target = under_tap(window, spread, u, v)
        target += e.astype(np.int64) - 128
    return np.asarray(sums), inside(window, spread)


def check_average_pool_u8(window: Window, seed: int) -> None:
    """Compare forward and backward with exact integers, with and without a mask."""
    rng = np.random.default_rng(seed)
    x, e = rng.integers(0, 256, window.x_shape, np.uint8), rng.integers(0, 256, window.y_shape, np.uint8)
    mantissas = [int(mantissa) for mantissa in rng.integers(1 << 30, 1 << 31, 2)]
    quant = AveragePoolQuant(int(rng.choice([0, 77, 255])), 9, Requant(mantissas[0], 33), Requant(mantissas[1], 31))
    sums, spread = average_u8(window, x, e, quant)

    y = Output(window.y_shape, np.uint8)
    call("kg_average_pool_u8_forward", window.pool(), x, quant, y)
    np.testing.assert_array_equal(y.array, np.clip(9 + requant(sums, quant.forward), 0, 255))
    for mask in (None, x):
        on = np.full(window.x_shape, fill_value=True) if mask is None else mask > quant.x_zero
        dx = Output(window.x_shape, np.uint8, like=mask)
        largest = call("kg_average_pool_u8_backward", window.pool(), e, quant, None if mask is None else dx, dx)
        np.testing.assert_array_equal(dx.array, np.where(on, to_error(spread, quant.backward), 128))
        assert largest == np.abs(spread * on).max()


@ALL_SHAPES
def test_average_pool_uint8_equals_exact_integers(window: Window) -> None:
    """The window always counts all its taps; those in the padding are zero."""
    check_average_pool_u8(window, seed=1)


@settings(max_examples=60, deadline=None)
@given(window=windows(), seed=st.integers(0, 1 << 30))
def test_average_pool_uint8_on_any_shape(window: Window, seed: int) -> None:
    """No combination of size, stride and padding is special."""
    check_average_pool_u8(window, seed)


@ALL_SHAPES
def test_average_pool_float32_adds_in_the_order_of_the_contract(window: Window) -> None:
    """Forward over taps, backward over windows, and one multiplication at the end."""
    rng = np.random.default_rng(1)
    x, e = rng.standard_normal(window.x_shape, np.float32), rng.standard_normal(window.y_shape, np.float32)
    factor = np.float32(1) / np.float32(len(taps(window)))
    maps, sums = padded(window, x), np.zeros(window.y_shape, np.float32)
    for u, v in taps(window):
        sums += under_tap(window, maps, u, v)
    spread = padded(window, np.zeros(window.x_shape, np.float32))
    for r, c in product(range(window.out_height), range(window.out_width)):
        top, left = r * window.stride_height, c * window.stride_width
        spread[:, top : top + window.kernel_height, left : left + window.kernel_width] += e[:, r, c, None, None]
    expected = inside(window, spread) * factor

    y = Output(window.y_shape, np.float32)
    call("kg_average_pool_f32_forward", window.pool(), x, float(factor), y)
    np.testing.assert_array_equal(y.array, sums * factor)
    for mask in (None, x):
        dx = Output(window.x_shape, np.float32, like=mask)
        shared = None if mask is None else dx
        call("kg_average_pool_f32_backward", window.pool(), e, float(factor), shared, dx)
        np.testing.assert_array_equal(dx.array, expected if mask is None else np.where(mask > 0, expected, 0))
