# SPDX-License-Identifier: Apache-2.0
"""Functions of one number and channel-wise products in C, against numpy and against finite differences."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kernels import Array, Output, Requant, call, library, requant, to_error

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT = 1000
FACTOR = Requant(0x5A827A00, 38)
SMALL_FACTOR = Requant(0x5A827A00, 52)
NO_LINE = (0.0, 0.0)
HARD = (0.2, 0.45)


class Line(ctypes.Structure):
    """kg_line_t."""

    _fields_ = (("slope", ctypes.c_float), ("offset", ctypes.c_float))


class MulQuant(ctypes.Structure):
    """kg_mul_quant_t."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("channels", "positions", "x_zero", "gate_zero", "y_zero")),
        ("forward", Requant),
    )


def call_by_value(name: str, *arguments: object) -> int:
    """Call a C function that takes a structure by value."""
    result: int = getattr(library(), name)(*arguments)
    return result


def pointer(array: Array | None) -> ctypes.c_void_p | None:
    """Return an array as a C pointer."""
    return None if array is None else array.ctypes.data_as(ctypes.c_void_p)


def some_bytes(seed: int, shape: tuple[int, ...]) -> Array:
    """Return random bytes."""
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


# --- functions of one number -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_place", [False, True])
def test_uint8_function_is_its_table(in_place: bool) -> None:
    """Every stored number has its value, whatever the function."""
    x, values = some_bytes(1, (COUNT,)), some_bytes(2, (256,))
    y = Output((COUNT,), np.uint8, like=x)

    call("kg_activation_u8_forward", COUNT, y if in_place else x, values, y)
    np.testing.assert_array_equal(y.array, values[x])


@pytest.mark.parametrize("place", ["apart", "x", "e"])
def test_uint8_error_is_multiplied_by_the_slope(place: str) -> None:
    """The largest product is told before rounding, and dx may take the place of what is read last."""
    x, e = some_bytes(1, (COUNT,)), some_bytes(2, (COUNT,))
    slopes = np.random.default_rng(3).integers(-32767, 32768, 256).astype(np.int16)
    exact = (e.astype(np.int64) - 128) * slopes[x]
    dx = Output((COUNT,), np.uint8, like={"x": x, "e": e}.get(place))
    arrays = {name: dx.array if name == place else array for name, array in (("x", x), ("e", e))}

    largest = call_by_value(
        "kg_activation_u8_backward", COUNT, pointer(arrays["x"]), pointer(arrays["e"]), pointer(slopes), SMALL_FACTOR,
        pointer(dx.array),
    )  # fmt: skip
    dx.check()
    assert largest == np.abs(exact).max()
    np.testing.assert_array_equal(dx.array, to_error(exact, SMALL_FACTOR))


FUNCTIONS: dict[str, tuple[tuple[float, float], Callable[[Array], Array]]] = {
    "hard_sigmoid": (HARD, lambda x: np.clip(0.2 * x + 0.45, 0, 1)),
    "hard_swish": (HARD, lambda x: x * np.clip(0.2 * x + 0.45, 0, 1)),
    "sigmoid": (NO_LINE, lambda x: 1 / (1 + np.exp(-x))),
    "exp": (NO_LINE, np.exp),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_function_is_the_exact_one(name: str) -> None:
    """Within the rounding of single precision."""
    line, exact = FUNCTIONS[name]
    x = np.random.default_rng(1).uniform(-9, 9, COUNT).astype(np.float32)
    y = Output((COUNT,), np.float32)

    call_by_value(f"kg_{name}_f32_forward", COUNT, pointer(x), Line(*line), pointer(y.array))
    y.check()
    np.testing.assert_allclose(y.array, exact(x.astype(np.float64)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("masked", [False, True])
def test_float32_slope_is_the_derivative(name: str, masked: bool) -> None:
    """Against central differences in float64; where the mask is zero, no error passes."""
    line, exact = FUNCTIONS[name]
    x, e = np.random.default_rng(2).uniform(-4, 4, (2, COUNT)).astype(np.float32)
    mask, wide = (np.maximum(x, 0) if masked else None), x.astype(np.float64)
    dx = Output((COUNT,), np.float32)

    call_by_value(
        f"kg_{name}_f32_backward", COUNT, pointer(x), Line(*line), pointer(e), pointer(mask), pointer(dx.array)
    )
    dx.check()
    derivative = (exact(wide + 1e-6) - exact(wide - 1e-6)) / 2e-6
    on = np.ones(COUNT) if mask is None else mask > 0
    np.testing.assert_allclose(dx.array, on * e * derivative, rtol=1e-5, atol=1e-5)


def test_float32_functions_hold_far_from_zero() -> None:
    """No infinity and nothing that is not a number comes out of what a diverging net may put in."""
    x = np.float32([-1e30, -200, 200, 1e30])
    found = {}
    for name in FUNCTIONS:
        y = Output((4,), np.float32)
        call_by_value(f"kg_{name}_f32_forward", 4, pointer(x), Line(*HARD), pointer(y.array))
        assert np.isfinite(y.array).all()
        found[name] = y.array

    assert found["sigmoid"] == pytest.approx([0, 0, 1, 1])
    assert found["hard_sigmoid"].tolist() == [0, 0, 1, 1]


# --- channel-wise products -------------------------------------------------------------------------------------------

SHAPES = pytest.mark.parametrize("shape", [(5, 12), (60, 1), (1, 60)], ids=str)


def quant_of(shape: tuple[int, int]) -> MulQuant:
    """Return zero points that differ."""
    return MulQuant(*shape, 100, 7, 55, FACTOR)


@SHAPES
def test_product_uint8_is_exact(shape: tuple[int, int]) -> None:
    """Every channel of the map times its gate, brought to the scale of the output."""
    x, gate = some_bytes(1, shape), some_bytes(2, shape[:1])
    y = Output(shape, np.uint8)

    call("kg_mul_u8_forward", quant_of(shape), x, gate, y)
    product = (x.astype(np.int64) - 100) * (gate.astype(np.int64)[:, None] - 7)
    np.testing.assert_array_equal(y.array, np.clip(55 + requant(product, FACTOR), 0, 255))


@SHAPES
@pytest.mark.parametrize("masked", [False, True])
def test_error_of_the_map_uint8_is_exact(shape: tuple[int, int], masked: bool) -> None:
    """The output's error times the gate, in the place of the mask."""
    e, gate, mask = some_bytes(1, shape), some_bytes(2, shape[:1]), some_bytes(3, shape)
    dx = Output(shape, np.uint8, like=mask)

    largest = call_by_value(
        "kg_mul_u8_map_gradient", ctypes.byref(quant_of(shape)), pointer(e), pointer(gate), FACTOR,
        pointer(dx.array) if masked else None, pointer(dx.array),
    )  # fmt: skip
    dx.check()
    on = (mask > 100) | (not masked)
    product = (e.astype(np.int64) - 128) * (gate.astype(np.int64)[:, None] - 7) * on
    assert largest == np.abs(product).max()
    np.testing.assert_array_equal(dx.array, to_error(product, FACTOR))


@SHAPES
@pytest.mark.parametrize("masked", [False, True])
def test_error_of_the_gate_uint8_is_exact(shape: tuple[int, int], masked: bool) -> None:
    """The sum of error times map over a channel, in the place of the mask."""
    e, x, mask = some_bytes(1, shape), some_bytes(2, shape), some_bytes(3, shape[:1])
    dgate = Output(shape[:1], np.uint8, like=mask)

    largest = call_by_value(
        "kg_mul_u8_gate_gradient", ctypes.byref(quant_of(shape)), pointer(e), pointer(x), FACTOR,
        pointer(dgate.array) if masked else None, pointer(dgate.array),
    )  # fmt: skip
    dgate.check()
    sums = ((e.astype(np.int64) - 128) * (x.astype(np.int64) - 100)).sum(axis=1) * ((mask > 7) | (not masked))
    assert largest == np.abs(sums).max()
    np.testing.assert_array_equal(dgate.array, to_error(sums, FACTOR))


def test_product_float32_forward_and_backward() -> None:
    """Single precision has no scales: products, their sum over a channel, masks."""
    rng = np.random.default_rng(4)
    (x, e, mask), gate = rng.standard_normal((3, 5, 12), np.float32), rng.standard_normal(5, np.float32)
    y, dx, dgate = (Output(shape, np.float32) for shape in ((5, 12), (5, 12), (5,)))

    call("kg_mul_f32_forward", 5, 12, x, gate, y)
    call("kg_mul_f32_map_gradient", 5, 12, e, gate, mask, dx)
    call("kg_mul_f32_gate_gradient", 5, 12, e, x, gate, dgate)
    np.testing.assert_array_equal(y.array, x * gate[:, None])
    np.testing.assert_array_equal(dx.array, np.where(mask > 0, e * gate[:, None], 0))
    np.testing.assert_allclose(dgate.array, np.where(gate > 0, (e * x).sum(axis=1), 0), rtol=1e-5, atol=1e-5)
