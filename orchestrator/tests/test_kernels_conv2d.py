# SPDX-License-Identifier: Apache-2.0
"""Convolution against numpy: exact in uint8, exact to the bit in float32 by adding in the order of the contract."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import (
    Array,
    ConvQuant,
    Requant,
    Weighted,
    Window,
    centred,
    inside,
    padded,
    requant,
    to_error,
    under_tap,
    variants,
)

PLAIN, HOST = Weighted("conv2d"), Weighted("conv2d", "_host")
VARIANTS, VARIANTS_F32 = variants("conv2d"), variants("conv2d", "f32")
NO_LIMITS = (-3.0e38, 3.0e38)

SHAPES = {
    "one pixel": Window(1, 1, 1, 1, 1, 1),
    "one pixel, wide kernel": Window(2, 1, 1, 3, 3, 3, pads=(1, 1, 1, 1)),
    "pointwise": Window(9, 5, 4, 7, 1, 1),
    "same": Window(3, 8, 9, 5, 3, 3, pads=(1, 1, 1, 1)),
    "stride 2, odd map": Window(2, 7, 9, 4, 3, 3, 2, 2, (1, 1, 1, 1)),
    "stride 2, even map": Window(2, 8, 6, 4, 3, 3, 2, 2, (0, 0, 1, 1)),
    "pointwise stride 2": Window(3, 7, 7, 4, 1, 1, 2, 2),
    "stride larger than kernel": Window(2, 9, 10, 3, 2, 2, 3, 4),
    "strides differ": Window(2, 9, 11, 3, 3, 5, 3, 2, (1, 2, 0, 1)),
    "asymmetric pads": Window(2, 5, 6, 3, 4, 2, pads=(0, 1, 3, 0)),
    "kernel larger than the map": Window(2, 3, 2, 3, 5, 6, pads=(1, 2, 1, 2)),
    "groups": Window(6, 6, 5, 4, 3, 3, pads=(1, 1, 1, 1), groups=2),
    "depthwise": Window(5, 7, 6, 5, 3, 3, pads=(1, 1, 1, 1), groups=5),
    "depthwise, two outputs each, stride 2": Window(4, 7, 9, 8, 3, 3, 2, 2, (1, 1, 1, 1), groups=4),
    "depthwise, stride 2": Window(5, 9, 11, 5, 3, 3, 2, 2, (1, 1, 1, 1), groups=5),
    "depthwise, five wide": Window(3, 6, 9, 3, 5, 5, pads=(2, 2, 2, 2), groups=3),
    "depthwise, many rows": Window(3, 41, 33, 3, 3, 3, pads=(1, 1, 1, 1), groups=3),
    "row": Window(3, 1, 30, 4, 1, 7, 1, 2, (0, 3, 0, 3)),
    "many taps": Window(40, 4, 4, 3, 3, 3, pads=(1, 1, 1, 1)),
    "wide rows": Window(1, 3, 150, 2, 3, 3, pads=(1, 1, 1, 1)),
    "stride 2, wide": Window(5, 9, 15, 3, 3, 3, 2, 2, (1, 1, 1, 1)),
    "five wide": Window(3, 6, 11, 5, 5, 5, pads=(2, 2, 2, 2)),
    "many pointwise": Window(70, 5, 7, 61, 1, 1),
    "many, stride 2": Window(40, 9, 9, 30, 3, 3, 2, 2, (1, 1, 1, 1)),
    "large map": Window(8, 28, 28, 9, 3, 3, pads=(1, 1, 1, 1)),
    "eight each": Window(8, 5, 6, 8, 3, 3, pads=(1, 1, 1, 1)),
    "groups of eight and fifteen, stride 2": Window(16, 6, 7, 30, 3, 3, 2, 2, (1, 1, 1, 1), groups=2),
    "pointwise, many channels": Window(19, 4, 5, 36, 1, 1),
}
ALL_SHAPES = pytest.mark.parametrize("window", SHAPES.values(), ids=SHAPES.keys())


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """Any small convolution whose windows all touch the map."""
    small = st.integers(1, 3)
    groups, per_in, per_out = draw(small), draw(small), draw(small)
    kernel, stride = (draw(st.integers(1, 5)), draw(st.integers(1, 5))), (draw(small), draw(small))
    size = [draw(st.integers(1, 11)) for _ in range(2)]
    pads = [draw(st.integers(0, kernel[axis % 2] - 1)) for axis in range(4)]
    for axis in range(2):  # grow the map until one window fits
        size[axis] = max(size[axis], kernel[axis] - pads[axis] - pads[axis + 2])
    return Window(per_in * groups, *size, per_out * groups, *kernel, *stride, tuple(pads), groups)


def factor(rng: np.random.Generator, real: float) -> Requant:
    """Return a factor near `real`, of full precision."""
    shift = int(np.floor(30 - np.log2(real)))
    return Requant(int(rng.integers(1 << 30, 1 << 31)), min(max(shift, 1), 62))


def case_u8(
    window: Window, seed: int, zeros: tuple[int, int] | None = None
) -> tuple[Array, Array, Array, Array, ConvQuant]:
    """Return x, w, b, e and quant: random, x with many zeros as after a ReLU, e with many as after a pool."""
    rng = np.random.default_rng(seed)
    x_zero, w_zero = zeros or (int(rng.choice([0, 3, 128, 255])), int(rng.integers(0, 256)))
    x = rng.integers(0, 256, window.x_shape, np.uint8)
    x[rng.random(window.x_shape) < 0.3] = x_zero
    e = rng.integers(0, 256, window.y_shape, np.uint8)
    e[rng.random(window.y_shape) < rng.choice([0.0, 0.7, 1.0])] = 128
    w = rng.integers(0, 256, window.w_shape, np.uint8)
    b = rng.integers(-20000, 20000, window.out_channels, np.int32)
    spread = 100.0 * np.sqrt(np.prod(window.w_shape[1:]))
    low = int(rng.choice([0, rng.integers(0, 100)]))
    quant = ConvQuant(x_zero, w_zero, low, low, 255, factor(rng, 0.5 / spread), factor(rng, 0.5 / spread))
    return x, w, b, e, quant


def forward(window: Window, x: Array, w: Array) -> Array:
    """Return the sums of the forward pass, one tap after the other, in the dtype of x."""
    maps, outs = padded(window, x), window.out_channels // window.groups
    channels = window.w_shape[1]
    sums = np.zeros(window.y_shape, x.dtype)
    for i, u, v in product(range(channels), range(window.kernel_height), range(window.kernel_width)):
        seen = under_tap(window, maps, u, v)
        for o in range(window.out_channels):
            sums[o] += w[o, i, u, v] * seen[o // outs * channels + i]
    return sums


def weight_gradient(window: Window, x: Array, e: Array) -> Array:
    """Return the gradient of all weights, one output position after the other, in the dtype of x."""
    maps, outs = padded(window, x), window.out_channels // window.groups
    _, channels, height, width = window.w_shape
    sums = np.zeros(window.w_shape, x.dtype)
    for o, r, c in product(*map(range, window.y_shape)):
        top, left, first = r * window.stride_height, c * window.stride_width, o // outs * channels
        sums[o] += e[o, r, c] * maps[first : first + channels, top : top + height, left : left + width]
    return sums


def input_gradient(window: Window, e: Array, w: Array) -> Array:
    """Return the gradient of the input, one output channel and tap after the other, in the dtype of e."""
    maps, outs = padded(window, np.zeros(window.x_shape, e.dtype)), window.out_channels // window.groups
    channels = window.w_shape[1]
    for o, u, v in product(range(window.out_channels), range(window.kernel_height), range(window.kernel_width)):
        first = o // outs * channels
        seen = under_tap(window, maps[first : first + channels], u, v)
        seen += w[o, :, u, v, None, None] * e[o]
    return inside(window, maps)


def check_u8(kernels: Weighted, window: Window, seed: int, zeros: tuple[int, int] | None = None) -> None:
    """Compare all three kernels with exact integers."""
    x, w, b, e, quant = case_u8(window, seed, zeros)
    x_real, w_real, e_real = centred(x, quant.x_zero), centred(w, quant.w_zero), centred(e, 128)
    sums = forward(window, x_real, w_real) + b[:, None, None]
    y = np.clip(quant.y_zero + requant(sums, quant.forward), quant.y_min, quant.y_max)

    np.testing.assert_array_equal(kernels.forward_u8(window, x, w, b, quant), y)
    np.testing.assert_array_equal(kernels.weight_gradient(window, x, e, quant), weight_gradient(window, x_real, e_real))
    sums = input_gradient(window, e_real, w_real)
    for mask in (None, x):
        on = np.full(window.x_shape, fill_value=True) if mask is None else mask > quant.x_zero
        dx, largest = kernels.input_gradient(window, e, w, mask, quant)
        np.testing.assert_array_equal(dx, np.where(on, to_error(sums, quant.backward), 128))
        assert largest == np.abs(sums * on).max()


@VARIANTS
@ALL_SHAPES
def test_uint8_equals_exact_integers(kernels: Weighted, window: Window) -> None:
    """Sums, rounding, clamps and masks have one meaning, on edge shapes too."""
    check_u8(kernels, window, seed=1)


@VARIANTS
@settings(max_examples=60, deadline=None)
@given(window=windows(), seed=st.integers(0, 1 << 30))
def test_uint8_equals_exact_integers_on_any_shape(kernels: Weighted, window: Window, seed: int) -> None:
    """No combination of size, stride, padding and groups is special."""
    check_u8(kernels, window, seed)


@VARIANTS
@pytest.mark.parametrize("shape", ["eight each", "depthwise"])
@pytest.mark.parametrize("seed", range(5))
def test_uint8_equals_exact_integers_at_any_density(kernels: Weighted, shape: str, seed: int) -> None:
    """Kernels may choose their way by how many operands are zero."""
    check_u8(kernels, SHAPES[shape], seed)


@VARIANTS
@pytest.mark.parametrize("zeros", [(0, 0), (0, 255), (255, 0), (255, 255)])
def test_uint8_takes_extreme_zero_points(kernels: Weighted, zeros: tuple[int, int]) -> None:
    """A tensor of one sign has its zero point at the end of the range."""
    check_u8(kernels, SHAPES["same"], seed=2, zeros=zeros)


def near_the_end(shape: tuple[int, ...], end: int, seed: int) -> Array:
    """Return random bytes at one end of the range, odd and even ones."""
    return np.abs(np.random.default_rng(seed).integers(0, 4, shape) - end).astype(np.uint8)


LARGE = {
    "fan-in 4608": Window(512, 3, 4, 5, 3, 3, pads=(1, 1, 1, 1)),
    "fan-out 4608": Window(5, 3, 4, 512, 3, 3, pads=(1, 1, 1, 1)),
    "fan-in 1017, eight outputs": Window(113, 3, 4, 8, 3, 3, pads=(1, 1, 1, 1)),
    "fan-out 1017, eight inputs": Window(8, 3, 4, 113, 3, 3, pads=(1, 1, 1, 1)),
    "1600 positions": Window(2, 40, 40, 3, 1, 1),
}


@VARIANTS
@pytest.mark.parametrize("end", [0, 255])
@pytest.mark.parametrize("window", LARGE.values(), ids=LARGE.keys())
def test_uint8_is_exact_where_single_precision_would_round(kernels: Weighted, window: Window, end: int) -> None:
    """Sums at full scale pass 2^24; a bias that cancels one of them shows its last bit."""
    x, w, e = (
        near_the_end(shape, end, seed) for seed, shape in enumerate((window.x_shape, window.w_shape, window.y_shape))
    )
    half = Requant(1 << 30, 31)
    quant = ConvQuant(255 - end, 255 - end, 128, 0, 255, half, half)
    x_real, w_real, e_real = centred(x, 255 - end), centred(w, 255 - end), centred(e, 128)
    sums = forward(window, x_real, w_real)
    b = -sums[:, 1, 1]
    dx = input_gradient(window, e_real, w_real)
    dw = weight_gradient(window, x_real, e_real)
    assert max(np.abs(sums).max(), np.abs(dx).max(), np.abs(dw).max()) > 1 << 24

    y = np.clip(128 + requant(sums + b[:, None, None], half), 0, 255)
    np.testing.assert_array_equal(kernels.forward_u8(window, x, w, b.astype(np.int32), quant), y)
    np.testing.assert_array_equal(kernels.weight_gradient(window, x, e, quant), dw)
    got, largest = kernels.input_gradient(window, e, w, None, quant)
    np.testing.assert_array_equal(got, to_error(dx, half))
    assert largest == np.abs(dx).max()


@pytest.mark.parametrize("shape", ["same", "groups", "stride 2, odd map", "depthwise"])
def test_one_preparation_serves_any_choice_of_rows(shape: str) -> None:
    """Sparse updates skip channels; the others must not notice."""
    window = SHAPES[shape]
    x, _, _, e, quant = case_u8(window, seed=7)
    x_float, _, _, e_float = case_f32(window, seed=7)
    channels = (window.out_channels - 1, 1)

    rows = HOST.weight_gradient(window, x, e, quant, channels)
    np.testing.assert_array_equal(rows, PLAIN.weight_gradient(window, x, e, quant)[list(channels)])
    rows = HOST.weight_gradient(window, x_float, e_float, channels=channels)
    assert_same_bits(rows, PLAIN.weight_gradient(window, x_float, e_float)[list(channels)])


@VARIANTS
def test_a_factor_of_zero_gives_the_zero_point(kernels: Weighted) -> None:
    """A multiplier of 0 stands for a scale too small to matter."""
    window = SHAPES["same"]
    x, w, b, e, quant = case_u8(window, seed=4)
    quant.forward = quant.backward = Requant(0, 1)

    assert (kernels.forward_u8(window, x, w, b, quant) == quant.y_zero).all()
    assert (kernels.input_gradient(window, e, w, None, quant)[0] == 128).all()


def case_f32(window: Window, seed: int) -> tuple[Array, Array, Array, Array]:
    """Return x, w, b and e with the zeros, negative zeros and magnitudes of a real training."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> Array:
        return rng.standard_normal(shape, np.float32)

    x, e = normal(*window.x_shape), normal(*window.y_shape) * np.float32(1e-3)
    x[rng.random(window.x_shape) < 0.3] = 0.0
    x[rng.random(window.x_shape) < 0.05] = -0.0
    e[rng.random(window.y_shape) < rng.choice([0.0, 0.7, 1.0])] = 0.0
    return x, normal(*window.w_shape), normal(window.out_channels), e


def assert_same_bits(actual: Array, expected: Array) -> None:
    """Compare floats as bits: -0 is not 0."""
    np.testing.assert_array_equal(actual.view(np.int32), expected.astype(np.float32).view(np.int32))


def check_f32(kernels: Weighted, window: Window, seed: int) -> None:
    """Compare all three kernels with single-precision sums in the order of the contract."""
    x, w, b, e = case_f32(window, seed)
    y = forward(window, x, w) + b[:, None, None]

    assert_same_bits(kernels.forward_f32(window, x, w, b, NO_LIMITS), y)
    assert_same_bits(kernels.forward_f32(window, x, w, b, (-0.5, 0.75)), np.clip(y, np.float32(-0.5), np.float32(0.75)))
    assert_same_bits(kernels.weight_gradient(window, x, e), weight_gradient(window, x, e))
    dx = input_gradient(window, e, w)
    assert_same_bits(kernels.input_gradient(window, e, w, None)[0], dx)
    assert_same_bits(kernels.input_gradient(window, e, w, x)[0], np.where(x > 0, dx, np.float32(0)))


@VARIANTS_F32
@ALL_SHAPES
def test_float32_has_the_bits_of_the_contract(kernels: Weighted, window: Window) -> None:
    """The order of every sum is fixed: that is why all variants and cores agree."""
    check_f32(kernels, window, seed=1)


@VARIANTS_F32
@settings(max_examples=60, deadline=None)
@given(window=windows(), seed=st.integers(0, 1 << 30))
def test_float32_has_the_bits_of_the_contract_on_any_shape(kernels: Weighted, window: Window, seed: int) -> None:
    """No combination of size, stride, padding and groups is special."""
    check_f32(kernels, window, seed)


@VARIANTS_F32
@ALL_SHAPES
def test_float32_is_close_to_double_precision(kernels: Weighted, window: Window) -> None:
    """The fixed order costs no more than the rounding of single precision."""
    x, w, b, _ = case_f32(window, seed=3)
    exact = forward(window, x.astype(np.float64), w.astype(np.float64)) + b[:, None, None]

    np.testing.assert_allclose(kernels.forward_f32(window, x, w, b, NO_LIMITS), exact, rtol=1e-4, atol=1e-4)


@VARIANTS_F32
@pytest.mark.parametrize("shape", ["same", "strides differ", "groups", "kernel larger than the map"])
def test_float32_gradients_equal_finite_differences(kernels: Weighted, shape: str) -> None:
    """The backward kernels are the derivative of the forward kernel, not only of our model of it."""
    window, step = SHAPES[shape], np.float32(0.5)
    x, w, b, e = case_f32(window, seed=5)
    dw, dx = kernels.weight_gradient(window, x, e), kernels.input_gradient(window, e, w, None)[0]

    def loss(x: Array, w: Array) -> float:
        return float((kernels.forward_f32(window, x, w, b, NO_LIMITS).astype(np.float64) * e).sum())

    for name, values, gradient in (("x", x, dx), ("w", w, dw)):
        for at in np.random.default_rng(6).choice(values.size, min(values.size, 12), replace=False):
            up, down = values.copy(), values.copy()
            up.flat[at] += step
            down.flat[at] -= step
            sides = [loss(side, w) if name == "x" else loss(x, side) for side in (up, down)]
            width = float(up.flat[at]) - float(down.flat[at])
            assert (sides[0] - sides[1]) / width == pytest.approx(float(gradient.flat[at]), rel=1e-3, abs=1e-6)
