# SPDX-License-Identifier: Apache-2.0
"""Adding weight gradients to their buffer, plain and fast, against exact integers."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from kernels import Array, ConvQuant, Output, call
from oracle_numbers import dither, top_bits

ROW, ROWS, STREAM, SEED, SAMPLE = 2, 3, 5, 77, 9
VARIANTS = pytest.mark.parametrize("variant", ["", "_host", "_dsp"], ids=["plain", "host", "dsp"])


class State(ctypes.Structure):
    """kg_parameter_u8_state_t."""

    _fields_ = (("w_scale", ctypes.c_float), ("g_shift", ctypes.c_int32), ("e_exponent", ctypes.c_int32))


class Parameter(ctypes.Structure):
    """kg_parameter_u8_t as far as the functions here read it; the rest is NULL."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("rows", "columns", "stream")),
        *((name, ctypes.c_void_p) for name in ("w", "b", "g", "gb", "statistics", "bias_momentum", "marks")),
        ("state", ctypes.POINTER(State)),
        ("quant", ctypes.POINTER(ConvQuant)),
        ("rest", ctypes.c_uint8 * 32),
    )


class Training(ctypes.Structure):
    """The first members of kg_training_t."""

    _fields_ = (("seed", ctypes.c_uint32), ("samples", ctypes.c_uint32), ("rest", ctypes.c_uint8 * 64))


def expected(g: Array, sums: Array, shift: int) -> Array:
    """Return saturate(g + floor(sum / 2^shift + u)); the top bits of the random number are the fraction u."""
    columns = g.shape[1]
    numbers = dither(SEED, STREAM, SAMPLE, ROWS * columns)[ROW * columns : (ROW + 1) * columns]
    fresh = g.astype(np.int64)
    fresh[ROW] = np.clip(fresh[ROW] + ((sums + top_bits(numbers, shift)) >> shift), -32768, 32767)
    return fresh.astype(np.int16)


def add(kind: str, variant: str, g: Array, state: State, quant: ConvQuant, *arguments: object) -> Array:
    """Add to one row of a copy of g, and return it."""
    got = Output(g.shape, np.int16, like=g)
    parameter = Parameter(rows=ROWS, columns=g.shape[1], stream=STREAM, g=got.array.ctypes.data)
    parameter.state, parameter.quant = ctypes.pointer(state), ctypes.pointer(quant)
    training = Training(seed=SEED, samples=SAMPLE)
    call(f"kg_best_u8_add_{kind}{variant}", parameter, training, ROW, *arguments)
    got.check()
    return got.array


@VARIANTS
@pytest.mark.parametrize("columns", [1, 7, 64, 150])
@pytest.mark.parametrize("shift", [0, 1, 2, 6, 9, 10, 15, 16, 17, 24])
@pytest.mark.parametrize("x_zero", [0, 17, 255])
def test_gradients_are_rounded_at_random_and_saturate(variant: str, columns: int, shift: int, x_zero: int) -> None:
    """A shift of 0 has no random bits, a large one nothing else."""
    rng = np.random.default_rng(columns + shift)
    g = rng.integers(-32768, 32768, (ROWS, columns), np.int16)
    x = rng.integers(0, 256, columns, np.uint8)
    quant = ConvQuant(x_zero=x_zero)
    for fraction in (0, 3) if shift >= 3 else (0,):
        state = State(1.0, shift - fraction, 0)
        sums = rng.integers(-(1 << 24), 1 << 24, columns, np.int32)
        row = add("row", variant, g, state, quant, sums, fraction)
        np.testing.assert_array_equal(row, expected(g, sums.astype(np.int64), shift))
        x[columns // 2 :] = quant.x_zero
        for e in (-128, 127, 1) if fraction == 0 else (-32768, 32512, -9):
            outer = add("outer", variant, g, state, quant, x, e, fraction)
            np.testing.assert_array_equal(outer, expected(g, e * (x.astype(np.int64) - quant.x_zero), shift))
