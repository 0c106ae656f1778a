# SPDX-License-Identifier: Apache-2.0
"""Fully connected layers against numpy: exact in uint8, exact to the bit in float32."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import Array, ConvQuant, Output, Requant, Weighted, Window, call, centred, requant, to_error, variants

VARIANTS, VARIANTS_F32 = variants("linear"), variants("linear", "f32")
CLAMPS = (20, 240), (0, 255)
SIZES = pytest.mark.parametrize("sizes", [(1, 1), (3, 2), (7, 5), (64, 10), (131, 37), (700, 600)], ids=str)


def layer(sizes: tuple[int, int]) -> Window:
    """Return the 1x1 case that a linear layer is: (inputs, outputs)."""
    return Window(sizes[0], 1, 1, sizes[1], 1, 1)


def case_u8(
    sizes: tuple[int, int], seed: int, zeros: tuple[int, int] | None = None
) -> tuple[Array, Array, Array, Array, ConvQuant]:
    """Return x, w, b, e and quant; every third error is none, as after a ReLU."""
    rng = np.random.default_rng(seed)
    x_zero, w_zero = zeros or tuple(int(zero) for zero in rng.integers(0, 256, 2))
    inputs, outputs = sizes
    x, e = rng.integers(0, 256, inputs, np.uint8), rng.integers(0, 256, outputs, np.uint8)
    e[rng.random(outputs) < 0.3] = 128
    w = rng.integers(0, 256, (outputs, inputs), np.uint8)
    b = rng.integers(-30000, 30000, outputs, np.int32)
    forward = Requant(int(rng.integers(1 << 30, 1 << 31)), 38 + int(np.log2(inputs) / 2))
    backward = Requant(int(rng.integers(1 << 30, 1 << 31)), 38 + int(np.log2(outputs) / 2))
    return x, w, b, e, ConvQuant(x_zero, w_zero, 100, *CLAMPS[seed % 2], forward, backward)


def check_u8(kernels: Weighted, sizes: tuple[int, int], seed: int, zeros: tuple[int, int] | None = None) -> None:
    """Compare the four kernels with exact integers."""
    window = layer(sizes)
    x, w, b, e, quant = case_u8(sizes, seed, zeros)
    x_real, w_real, e_real = centred(x, quant.x_zero), centred(w, quant.w_zero), centred(e, 128)
    sums = w_real @ x_real + b

    y = np.clip(quant.y_zero + requant(sums, quant.forward), quant.y_min, quant.y_max)
    np.testing.assert_array_equal(kernels.forward_u8(window, x, w, b, quant).ravel(), y)
    logits = Output((sizes[1],), np.float32)
    call("kg_linear_u8_logits", window.conv(), x, w, b, quant, 0.37, logits)
    np.testing.assert_array_equal(logits.array, sums.astype(np.float32) * np.float32(0.37))
    dw = kernels.weight_gradient(window, x, e, quant).reshape(w.shape)
    np.testing.assert_array_equal(dw, np.outer(e_real, x_real))
    sums = e_real @ w_real
    for mask in (None, x):
        on = np.full(sizes[0], fill_value=True) if mask is None else mask > quant.x_zero
        dx, largest = kernels.input_gradient(window, e, w, None if mask is None else mask.reshape(-1, 1, 1), quant)
        np.testing.assert_array_equal(dx.ravel(), np.where(on, to_error(sums, quant.backward), 128))
        assert largest == np.abs(sums * on).max()


@VARIANTS
@SIZES
def test_uint8_equals_exact_integers(kernels: Weighted, sizes: tuple[int, int]) -> None:
    """Sums, rounding, clamps and masks have one meaning, whatever the remainder of the unrolled loops."""
    check_u8(kernels, sizes, seed=1)


@VARIANTS
@settings(max_examples=60, deadline=None)
@given(sizes=st.tuples(st.integers(1, 80), st.integers(1, 80)), seed=st.integers(0, 1 << 30))
def test_uint8_equals_exact_integers_at_any_size(kernels: Weighted, sizes: tuple[int, int], seed: int) -> None:
    """No size and no zero point is special."""
    check_u8(kernels, sizes, seed)


@VARIANTS
@pytest.mark.parametrize("zeros", [(0, 0), (0, 255), (255, 0), (255, 255)])
def test_uint8_takes_extreme_zero_points(kernels: Weighted, zeros: tuple[int, int]) -> None:
    """A tensor of one sign has its zero point at the end of the range."""
    check_u8(kernels, (97, 33), seed=2, zeros=zeros)


@VARIANTS
def test_uint8_is_exact_and_saturates_at_the_largest_sums(kernels: Weighted) -> None:
    """4000 x 600 at full scale: sums far beyond 2^24, where single precision would round."""
    sizes = (4000, 600)
    quant = ConvQuant(0, 0, 7, 3, 250, Requant(1 << 30, 40), Requant(1 << 30, 30))
    x, w = np.full(sizes[0], 255, np.uint8), np.full(sizes[::-1], 255, np.uint8)
    x[7] = w[::3, ::5] = 254
    e, b = np.zeros(sizes[1], np.uint8), np.arange(sizes[1], dtype=np.int32)
    sums = w.astype(np.int64) @ x.astype(np.int64) + b

    y = kernels.forward_u8(layer(sizes), x, w, b, quant).ravel()
    np.testing.assert_array_equal(y, np.clip(7 + requant(sums, quant.forward), 3, 250))
    dx, largest = kernels.input_gradient(layer(sizes), e, w, None, quant)
    sums = (e.astype(np.int64) - 128) @ w.astype(np.int64)
    np.testing.assert_array_equal(dx.ravel(), to_error(sums, quant.backward))
    assert largest == np.abs(sums).max()


def assert_same_bits(actual: Array, expected: Array) -> None:
    """Compare floats as bits: -0 is not 0."""
    np.testing.assert_array_equal(actual.ravel().view(np.int32), expected.view(np.int32))


@VARIANTS_F32
@SIZES
def test_float32_has_the_bits_of_the_contract(kernels: Weighted, sizes: tuple[int, int]) -> None:
    """Sums run over inputs forward and over outputs backward, one after the other; the bias comes last."""
    rng = np.random.default_rng(1)
    window, (inputs, outputs) = layer(sizes), sizes
    x, e, b = (rng.standard_normal(count, np.float32) for count in (inputs, outputs, outputs))
    w = rng.standard_normal((outputs, inputs), np.float32)
    x[::4], e[::3] = -0.0, 0.0
    sums, dx = np.zeros(outputs, np.float32), np.zeros(inputs, np.float32)
    for i in range(inputs):
        sums += w[:, i] * x[i]
    for o in range(outputs):
        dx += w[o] * e[o]

    y = kernels.forward_f32(window, x, w, b, (-2.0, 3.0))
    assert_same_bits(y, np.clip(sums + b, np.float32(-2), np.float32(3)))
    np.testing.assert_allclose(sums, w.astype(np.float64) @ x, rtol=1e-4, atol=1e-4)
    assert_same_bits(kernels.weight_gradient(window, x, e).reshape(w.shape), (np.float32(0) + np.outer(e, x)).ravel())
    assert_same_bits(kernels.input_gradient(window, e, w, None)[0], dx)
    mask = x.reshape(-1, 1, 1)
    assert_same_bits(kernels.input_gradient(window, e, w, mask)[0], np.where(x > 0, dx, np.float32(0)))
