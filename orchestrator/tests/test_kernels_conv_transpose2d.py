# SPDX-License-Identifier: Apache-2.0
"""Transposed convolution against numpy: elements scattered over the output, in exact integers and float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import pytest

from kernels import Array, ConvQuant, Requant, Weighted, Window, centred, kept_rows, requant, to_error, variants

KERNELS = Weighted("conv_transpose2d")
NO_LIMITS = (-3.0e38, 3.0e38)


@dataclass(frozen=True)
class Transposed(Window):
    """A transposed convolution; the output may be larger by `extra` rows and columns."""

    extra: tuple[int, int] = (0, 0)

    @property
    def out_height(self) -> int:
        """Return the number of output rows."""
        pads = self.pads[0] + self.pads[2]
        return (self.in_height - 1) * self.stride_height + self.kernel_height - pads + self.extra[0]

    @property
    def out_width(self) -> int:
        """Return the number of output columns."""
        pads = self.pads[1] + self.pads[3]
        return (self.in_width - 1) * self.stride_width + self.kernel_width - pads + self.extra[1]


SHAPES = {
    "one pixel": Transposed(1, 1, 1, 1, 1, 1),
    "doubling, kernel 4": Transposed(5, 4, 6, 3, 4, 4, 2, 2, (1, 1, 1, 1)),
    "doubling, kernel 3, one more": Transposed(3, 5, 4, 4, 3, 3, 2, 2, (1, 1, 1, 1), extra=(1, 1)),
    "doubling, kernel 2": Transposed(2, 3, 3, 3, 2, 2, 2, 2),
    "stride 1": Transposed(3, 6, 5, 2, 3, 3, pads=(1, 1, 1, 1)),
    "stride larger than kernel": Transposed(2, 3, 4, 3, 2, 1, 3, 4, extra=(1, 2)),
    "strides and pads differ": Transposed(2, 5, 3, 3, 5, 3, 2, 3, (3, 0, 1, 2)),
    "row": Transposed(3, 1, 30, 4, 1, 7, 1, 2, (0, 3, 0, 3)),
    "long list": Transposed(2, 14, 14, 1, 4, 4, 2, 2, (1, 1, 1, 1)),
    "many channels": Transposed(40, 3, 9, 30, 4, 4, 2, 2, (1, 1, 1, 1)),
    "wide rows": Transposed(1, 2, 150, 2, 2, 2, 2, 1),
}
ALL_SHAPES = pytest.mark.parametrize("window", SHAPES.values(), ids=SHAPES.keys())


def under_tap(window: Transposed, large: Array, u: int, v: int) -> Array:
    """Return what of the large maps, with their padding, lies under one tap of every input element."""
    rows = slice(u, u + (window.in_height - 1) * window.stride_height + 1, window.stride_height)
    cols = slice(v, v + (window.in_width - 1) * window.stride_width + 1, window.stride_width)
    return large[:, rows, cols]


def with_padding(window: Transposed, y: Array) -> Array:
    """Return output maps with zeros where the padding was cut off."""
    top, left, bottom, right = window.pads
    return np.pad(y, ((0, 0), (top, bottom), (left, right)))


def scatter(window: Transposed, x: Array, w: Array) -> Array:
    """Return the sums of the forward pass."""
    large = with_padding(window, np.zeros(window.y_shape, np.result_type(x, w)))
    for u, v in np.ndindex(*w.shape[2:]):
        under_tap(window, large, u, v)[...] += np.einsum("oi,ihw->ohw", w[:, :, u, v], x)
    top, left = window.pads[:2]
    return large[:, top : top + window.out_height, left : left + window.out_width]


def weight_sums(window: Transposed, x: Array, e: Array) -> Array:
    """Return the gradient of the weights."""
    large = with_padding(window, e)
    row = np.zeros(window.w_shape, large.dtype)
    for u, v in np.ndindex(*window.w_shape[2:]):
        row[:, :, u, v] = np.einsum("ohw,ihw->oi", under_tap(window, large, u, v), x)
    return row


def input_sums(window: Transposed, e: Array, w: Array) -> Array:
    """Return the gradient of the input."""
    large = with_padding(window, e)
    taps = np.ndindex(*w.shape[2:])
    return cast("Array", sum(np.einsum("oi,ohw->ihw", w[:, :, u, v], under_tap(window, large, u, v)) for u, v in taps))


def some_bytes(seed: int, shape: tuple[int, ...], zero: int) -> Array:
    """Return random bytes, a third of them zero points."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, shape)
    return np.where(rng.random(shape) < 1 / 3, zero, values).astype(np.uint8)


def a_quant(window: Window, *, x_zero: int = 7, w_zero: int = 131, low: int = 3, high: int = 250) -> ConvQuant:
    """Return factors that use the range of the output."""
    scale = 1 / (60 * np.sqrt(window.w_shape[1] * 4))
    factor = Requant(*[int(part) for part in _pair(scale)])
    return ConvQuant(x_zero, w_zero, 100, low, high, factor, factor)


def _pair(factor: float) -> tuple[int, int]:
    mantissa, exponent = np.frexp(factor)
    return int(mantissa * 2**31), 31 - int(exponent)


@variants("conv_transpose2d")
@ALL_SHAPES
@pytest.mark.parametrize(("x_zero", "low", "high"), [(0, 0, 255), (7, 3, 250), (128, 0, 255)])
def test_uint8_forward_is_exact(kernels: Weighted, window: Transposed, x_zero: int, low: int, high: int) -> None:
    """Zero points leave, the bias joins, the result is rounded half up and clamped."""
    quant = a_quant(window, x_zero=x_zero, low=low, high=high)
    x, w = some_bytes(1, window.x_shape, x_zero), some_bytes(2, window.w_shape, 131)
    b = np.random.default_rng(3).integers(-5000, 5000, window.out_channels).astype(np.int32)

    y = kernels.forward_u8(window, x, w, b, quant)
    sums = scatter(window, centred(x, x_zero), centred(w, 131)) + b[:, None, None]
    np.testing.assert_array_equal(y, np.clip(100 + requant(sums, quant.forward), low, high))


@variants("conv_transpose2d")
@ALL_SHAPES
@pytest.mark.parametrize("x_zero", [0, 99])
def test_uint8_weight_gradient_is_exact(kernels: Weighted, window: Transposed, x_zero: int) -> None:
    """Every tap sums the errors that it made with the inputs that it read."""
    x, e = some_bytes(4, window.x_shape, x_zero), some_bytes(5, window.y_shape, 128)

    row = kernels.weight_gradient(window, x, e, a_quant(window, x_zero=x_zero))
    expected = weight_sums(window, centred(x, x_zero), centred(e, 128))
    np.testing.assert_array_equal(row.reshape(window.w_shape), expected)


@variants("conv_transpose2d")
@ALL_SHAPES
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_uint8_input_gradient_is_exact(kernels: Weighted, window: Transposed, masked: bool, sparse: bool) -> None:
    """Masked elements stay zero; dropped rows add nothing, kept ones count their factor times."""
    quant = a_quant(window)
    e, w = some_bytes(6, window.y_shape, 128), some_bytes(7, window.w_shape, 131)
    mask = some_bytes(8, window.x_shape, 7) if masked else None
    factors, fraction = np.ones(window.out_channels, np.int64), 0
    kept = None
    if sparse:
        rows = np.arange(0, window.out_channels, 2)
        factors, fraction = np.zeros(window.out_channels, np.int64), 3
        factors[rows] = 8 + 5 * np.arange(rows.size)
        kept = kept_rows(rows, factors[rows], fraction)

    dx, largest = kernels.input_gradient(window, e, w, mask, quant, kept)
    sums = input_sums(window, centred(e, 128) * factors[:, None, None], centred(w, 131))
    sums = (sums + (1 << fraction >> 1)) >> fraction
    on = np.ones(window.x_shape, bool) if mask is None else mask > 7
    np.testing.assert_array_equal(dx, np.where(on, to_error(sums, quant.backward), 128))
    assert largest == np.abs(sums * on).max()


@ALL_SHAPES
def test_float32_is_that_of_float64(window: Transposed) -> None:
    """All three kernels, within single precision."""
    rng = np.random.default_rng(9)
    x, e, mask = (rng.standard_normal(shape, np.float32) for shape in (window.x_shape, window.y_shape, window.x_shape))
    w, b = rng.standard_normal(window.w_shape, np.float32), rng.standard_normal(window.out_channels, np.float32)
    x64, e64, w64 = (array.astype(np.float64) for array in (x, e, w))

    y = KERNELS.forward_f32(window, x, w, b, NO_LIMITS)
    np.testing.assert_allclose(y, scatter(window, x64, w64) + b[:, None, None], rtol=1e-4, atol=1e-4)
    row = KERNELS.weight_gradient(window, x, e)
    np.testing.assert_allclose(row.reshape(w.shape), weight_sums(window, x64, e64), rtol=1e-4, atol=1e-3)
    dx, _ = KERNELS.input_gradient(window, e, w, mask)
    np.testing.assert_allclose(dx, np.where(mask > 0, input_sums(window, e64, w64), 0), rtol=1e-4, atol=1e-4)


def test_shapes_cover_elements_that_meet_no_input() -> None:
    """A stride larger than the kernel leaves outputs that are only their bias."""
    window = SHAPES["stride larger than kernel"]

    y = KERNELS.forward_f32(window, np.ones(window.x_shape, np.float32), np.ones(window.w_shape, np.float32),
                            np.full(window.out_channels, 0.5, np.float32), NO_LIMITS)  # fmt: skip
    assert (y == 0.5).any()
