# SPDX-License-Identifier: Apache-2.0
"""Input gradients of kept rows against numpy: dropped rows add nothing, kept ones count their factor times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import test_kernels_conv2d as conv
from kernels import Array, ConvQuant, Weighted, Window, centred, kept_rows, places, to_error

PLACES, PLACES_F32 = places("*", "u8"), places("*", "f32")
VARIANTS = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
VARIANTS_F32 = pytest.mark.parametrize("place", PLACES_F32.values(), ids=PLACES_F32.keys())
FRACTION = 3
CASES = {
    **{f"conv2d, {name}": ("conv2d", window) for name, window in conv.SHAPES.items()},
    "linear": ("linear", Window(97, 1, 1, 41, 1, 1)),
}
ALL_CASES = pytest.mark.parametrize(("op", "window"), CASES.values(), ids=CASES.keys())


def choices(window: Window, seed: int) -> list[tuple[Array, Array, int]]:
    """Return (rows, factors, fraction): none, all with factor 1, and some with large and small factors."""
    rng = np.random.default_rng(seed)
    everything = np.arange(window.out_channels)
    some = np.flatnonzero(rng.random(window.out_channels) < 0.4)
    factors = rng.choice([8, 9, 100, 256], some.size)
    return [
        (everything[:0], everything[:0], FRACTION),
        (everything, np.ones_like(everything), 0),
        (everything, np.full_like(everything, 8), FRACTION),
        (some, np.ones_like(some), 0),
        (some, factors, FRACTION),
    ]


def weighted_errors(e: Array, rows: Array, factors: Array) -> Array:
    """Return the errors of kept rows times their factors, 0 in dropped ones."""
    out = np.zeros_like(e)
    out[rows] = e[rows] * factors.astype(e.dtype)[:, None, None]
    return out


def round_half_up(sums: Array, fraction: int) -> Array:
    """Return whole numbers: floor(sum / 2^fraction + 1/2)."""
    return np.floor(sums / 2.0**fraction + 0.5).astype(np.int64) if fraction else sums


@VARIANTS
@ALL_CASES
def test_uint8_counts_kept_rows_exactly(place: tuple[str, str | None], op: str, window: Window) -> None:
    """The sum carries the fraction of the factors, and is rounded half up before anything looks at it."""
    kernels = Weighted(op, *place)
    x, w, _, e, quant = conv.case_u8(window, seed=11)
    w_real, e_real = centred(w, quant.w_zero), centred(e, 128)
    for rows, factors, fraction in choices(window, seed=11):
        kept = kept_rows(rows, factors, fraction)
        exact = conv.input_gradient(window, weighted_errors(e_real, rows, factors), w_real)
        sums = round_half_up(exact, fraction)
        for mask in (None, x):
            on = np.full(window.x_shape, fill_value=True) if mask is None else mask > quant.x_zero
            dx, largest = kernels.input_gradient(window, e, w, mask, quant, kept)
            np.testing.assert_array_equal(dx, np.where(on, to_error(sums, quant.backward), 128))
            assert largest == np.abs(sums * on).max()


FEW = (
    "same",
    "stride 2, odd map",
    "strides differ",
    "five wide",
    "kernel larger than the map",
    "pointwise",
    "large map",
)


@VARIANTS
@pytest.mark.parametrize("shape", FEW)
@pytest.mark.parametrize("share", [0.01, 0.15])
def test_uint8_is_exact_with_few_errors(place: tuple[str, str | None], shape: str, share: float) -> None:
    """Kernels may take errors one by one where nearly all are zero; every factor and mask means the same then."""
    window, kernels = conv.SHAPES[shape], Weighted("conv2d", *place)
    x, w, _, e, quant = conv.case_u8(window, seed=5)
    rng = np.random.default_rng(5)
    e = np.where(rng.random(window.y_shape) < share, rng.integers(0, 256, window.y_shape), 128).astype(np.uint8)
    e[0, 0, 0], e[-1, -1, -1] = 0, 255
    e_real, w_real = centred(e, 128), centred(w, quant.w_zero)
    every = np.arange(window.out_channels)
    for rows, factors, fraction in [(every, np.where(every % 2, 9, 256), FRACTION), (every[-1:], every[:1] + 1, 0)]:
        exact = conv.input_gradient(window, weighted_errors(e_real, rows, factors), w_real)
        sums = round_half_up(exact, fraction)
        for mask in (None, x):
            on = np.full(window.x_shape, fill_value=True) if mask is None else mask > quant.x_zero
            dx, largest = kernels.input_gradient(window, e, w, mask, quant, kept_rows(rows, factors, fraction))
            np.testing.assert_array_equal(dx, np.where(on, to_error(sums, quant.backward), 128))
            assert largest == np.abs(sums * on).max()


@VARIANTS_F32
@ALL_CASES
def test_float32_counts_kept_rows_in_the_order_of_the_contract(
    place: tuple[str, str | None], op: str, window: Window
) -> None:
    """An error is multiplied by its factor first, then by a weight."""
    kernels = Weighted(op, *place)
    x, w, _, e = conv.case_f32(window, seed=12)
    for rows, factors, fraction in choices(window, seed=12):
        kept = kept_rows(rows, factors, fraction)
        scaled = weighted_errors(e, rows, factors.astype(np.float32) / np.float32(2**fraction))
        dx = conv.input_gradient(window, scaled, w)
        conv.assert_same_bits(kernels.input_gradient(window, e, w, None, kept=kept)[0], dx)
        masked = np.where(x > 0, dx, np.float32(0))
        conv.assert_same_bits(kernels.input_gradient(window, e, w, x, kept=kept)[0], masked)


@VARIANTS
@pytest.mark.parametrize("op", ["conv2d", "linear"])
def test_uint8_is_exact_with_the_largest_factor(place: tuple[str, str | None], op: str) -> None:
    """Every error at -128 times 256: products of 23 bits, sums far beyond single precision."""
    window = Window(3, 1, 1, 64, 1, 1)
    w = conv.near_the_end(window.w_shape, 255, seed=1)
    e = np.zeros(window.y_shape, np.uint8)
    quant = ConvQuant(0, 0, 0, 0, 255, conv.Requant(1 << 30, 31), conv.Requant(1 << 30, 52))
    rows = np.arange(64)
    kept = kept_rows(rows, np.full_like(rows, 256), FRACTION)
    exact = (w.astype(np.int64).reshape(64, 3) * (-128 * 256)).sum(0)

    dx, largest = Weighted(op, *place).input_gradient(window, e, w, None, quant, kept)

    sums = round_half_up(exact, FRACTION)
    np.testing.assert_array_equal(dx.ravel(), to_error(sums, quant.backward))
    assert largest == np.abs(sums).max() > 1 << 24


@VARIANTS
@pytest.mark.parametrize("groups", [1, 6])
def test_all_rows_with_factor_one_are_a_dense_layer(place: tuple[str, str | None], groups: int) -> None:
    """NULL and the full list have the same meaning."""
    window = replace(conv.SHAPES["same"], in_channels=6, out_channels=6, groups=groups)
    _, w, _, e, quant = conv.case_u8(window, seed=3)
    kept = kept_rows(np.arange(6), np.ones(6, int), 0)
    kernels = Weighted("conv2d", *place)

    dense, listed = (kernels.input_gradient(window, e, w, None, quant, chosen) for chosen in (None, kept))

    np.testing.assert_array_equal(listed[0], dense[0])
    assert listed[1] == dense[1]
