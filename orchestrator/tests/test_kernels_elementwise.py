# SPDX-License-Identifier: Apache-2.0
"""Operators that treat every element alone, against numpy: add, join, relu, quantise, dequantise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import AddQuant, Array, Output, call

COUNT = 1000
LARGEST = (1 << 21) - 1


def bytes_of(seed: int) -> Array:
    """Return random bytes, all values among them."""
    return np.random.default_rng(seed).permutation(np.arange(COUNT) % 256).astype(np.uint8)


def exact_sum(a: Array, b: Array | None, quant: AddQuant, zeros: tuple[int, int]) -> Array:
    """Return a' a_weight + b' b_weight in exact integers."""
    total = (a.astype(np.int64) - zeros[0]) * quant.a_weight
    if b is not None:
        total += (b.astype(np.int64) - zeros[1]) * quant.b_weight
    return total


def weighted_sum(a: Array, b: Array | None, quant: AddQuant, zeros: tuple[int, int]) -> Array:
    """Return round_half_up((a' a_weight + b' b_weight) / 2^shift)."""
    return (exact_sum(a, b, quant, zeros) + (1 << (quant.shift - 1))) >> quant.shift


WEIGHTS = st.tuples(st.integers(-LARGEST, LARGEST), st.integers(-LARGEST, LARGEST), st.integers(1, 30))
EXTREMES = pytest.mark.parametrize("weights", [(LARGEST, LARGEST, 30), (-LARGEST, LARGEST, 22), (3, 5, 1)], ids=str)


def check_add(weights: tuple[int, int, int], zeros: tuple[int, int, int]) -> None:
    """Compare the uint8 add with exact integers."""
    a, b = bytes_of(1), bytes_of(2)
    quant = AddQuant(*zeros, 10, 250, *weights)
    y = Output((COUNT,), np.uint8)

    call("kg_add_u8_forward", COUNT, a, b, quant, y)
    np.testing.assert_array_equal(y.array, np.clip(zeros[2] + weighted_sum(a, b, quant, zeros[:2]), 10, 250))


@EXTREMES
def test_add_uint8_is_exact_at_the_largest_weights(weights: tuple[int, int, int]) -> None:
    """The bounds on the weights keep the sum inside int32."""
    check_add(weights, (0, 255, 128))


@settings(max_examples=60, deadline=None)
@given(weights=WEIGHTS, zeros=st.tuples(*[st.integers(0, 255)] * 3))
def test_add_uint8_is_exact(weights: tuple[int, int, int], zeros: tuple[int, int, int]) -> None:
    """Two inputs of any scale and zero point meet in one output."""
    check_add(weights, zeros)


@settings(max_examples=60, deadline=None)
@given(weights=WEIGHTS, both=st.booleans(), place=st.sampled_from(["apart", "a", "b", "mask"]))
def test_join_uint8_brings_errors_to_one_scale(weights: tuple[int, int, int], both: bool, place: str) -> None:
    """One error or two, masked or not, into any of the arrays; zero points of quant do not matter."""
    a, b, mask = bytes_of(1), bytes_of(2) if both else None, bytes_of(3)
    quant = AddQuant(1, 2, 3, 4, 5, *weights)
    value = weighted_sum(a, b, quant, (128, 128))
    arrays = {"a": a, "b": b, "mask": mask}
    dx = Output((COUNT,), np.uint8, like=arrays.get(place))
    pointers = {name: dx if name == place and array is not None else array for name, array in arrays.items()}

    largest = call("kg_join_u8", COUNT, pointers["a"], pointers["b"], quant, pointers["mask"], 60, dx)
    on = mask > 60
    np.testing.assert_array_equal(dx.array, np.where(on, np.clip(128 + value, 0, 255), 128))
    assert largest == np.abs(exact_sum(a, b, quant, (128, 128)) * on).max()


def test_join_uint8_without_a_mask() -> None:
    """A tensor whose producer has no ReLU takes every error."""
    a, dx = bytes_of(1), Output((COUNT,), np.uint8)
    quant = AddQuant(0, 0, 0, 0, 0, 3 << 15, 0, 17)

    largest = call("kg_join_u8", COUNT, a, None, quant, None, 255, dx)
    value = weighted_sum(a, None, quant, (128, 128))
    np.testing.assert_array_equal(dx.array, np.clip(128 + value, 0, 255))
    assert largest == np.abs(exact_sum(a, None, quant, (128, 128))).max()


def test_float32_add_and_join() -> None:
    """Single precision has no scales: sums, clamp and mask."""
    a, b, mask = np.random.default_rng(1).standard_normal((3, COUNT), np.float32)
    y, one, two, free = (Output((COUNT,), np.float32) for _ in range(4))

    call("kg_add_f32_forward", COUNT, a, b, -0.5, 1.0, y)
    call("kg_join_f32", COUNT, a, None, mask, one)
    call("kg_join_f32", COUNT, a, b, mask, two)
    call("kg_join_f32", COUNT, a, b, None, free)
    np.testing.assert_array_equal(y.array, np.clip(a + b, np.float32(-0.5), np.float32(1)))
    np.testing.assert_array_equal(one.array, np.where(mask > 0, a, 0))
    np.testing.assert_array_equal(two.array, np.where(mask > 0, a + b, 0))
    np.testing.assert_array_equal(free.array, a + b)


@pytest.mark.parametrize("limits", [(0, 255), (100, 255), (255, 255), (3, 200)])
def test_relu_clamps_at_the_zero_point_and_from_above(limits: tuple[int, int]) -> None:
    """In uint8 zero is a number of the format, and so is the largest value."""
    x, y = bytes_of(1), Output((COUNT,), np.uint8)

    call("kg_relu_u8_forward", COUNT, x, *limits, y)
    np.testing.assert_array_equal(y.array, np.clip(x, *limits))


def test_what_a_clamp_has_stopped_is_masked_as_zero_is() -> None:
    """One comparison then tells what passes no error."""
    x = bytes_of(1)
    real = x.astype(np.float32) / np.float32(32)
    y, z = Output(x.shape, np.uint8, like=x), Output(x.shape, np.float32, like=real)

    call("kg_relu_u8_mask", COUNT, 7, 200, y)
    call("kg_relu_f32_mask", COUNT, 6.0, z)
    np.testing.assert_array_equal(y.array, np.where(x >= 200, 7, x))
    np.testing.assert_array_equal(z.array, np.where(real >= 6, 0, real))


def test_relu_float32_gives_positive_zero() -> None:
    """A negative zero must not travel on: it has other bits."""
    x, y = np.float32([-1.5, -0.0, 0.0, 2.5, 7.0]), Output((5,), np.float32)

    call("kg_relu_f32_forward", 5, x, 0.0, 6.0, y)
    np.testing.assert_array_equal(y.array.view(np.int32), np.float32([0, 0, 0, 2.5, 6]).view(np.int32))


@pytest.mark.parametrize("zero", [0, 7, 255])
def test_quantise_rounds_half_away_from_zero_and_saturates(zero: int) -> None:
    """Halves, their neighbours, and values that no integer can hold."""
    halves = np.arange(-300, 300, dtype=np.float32) + np.float32(0.5)
    near = np.nextafter(halves, np.float32(0))
    far = np.float32([np.inf, -np.inf, 3e38, -3e38, 1e-40, -0.0, 1e9])
    x = np.concatenate([halves, near, far])
    y = Output(x.shape, np.uint8)
    exact = np.sign(x) * np.floor(np.abs(x).astype(np.float64) + 0.5)

    call("kg_quantise", len(x), x * np.float32(0.25), 0.25, zero, y)
    np.testing.assert_array_equal(y.array, np.clip(zero + exact, 0, 255))


def test_quantise_takes_not_a_number() -> None:
    """A broken sensor gives 0, on every core."""
    x, y = np.float32([np.nan, 1.0]), Output((2,), np.uint8)

    call("kg_quantise", 2, x, 1.0, 100, y)
    np.testing.assert_array_equal(y.array, [0, 101])


def test_dequantise_is_one_multiplication() -> None:
    """Real = scale * (q - zero), rounded once."""
    x, y = bytes_of(1), Output((COUNT,), np.float32)

    call("kg_dequantise", COUNT, x, 0.1, 33, y)
    np.testing.assert_array_equal(y.array, (x.astype(np.float32) - 33) * np.float32(0.1))
