# SPDX-License-Identifier: Apache-2.0
"""Exact maths and dither: against float64, and against exact integers."""

from __future__ import annotations

import ctypes
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

import oracle_numbers as exact
from kilograd import fixed_point, tools
from twins import FIRMWARE

if TYPE_CHECKING:
    from twins import Twins

Array = NDArray[Any]

TINY = float(np.finfo(np.float32).tiny)
HUGE = float(np.finfo(np.float32).max)
DRAWS = 100_000


class Maths:
    """The C functions, over arrays."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library

    def __call__(self, name: str, x: Array, dtype: type = np.float32, width: int = 1) -> Array:
        """Return y for every x (float32 or int32)."""
        y = np.zeros((len(x), width), dtype)
        getattr(self.library, f"map_{name}")(len(x), _pointer(np.ascontiguousarray(x)), _pointer(y))
        return y if width > 1 else y[:, 0]

    def dither(self, seed: int, stream: int, tick: int, count: int) -> Array:
        """Return the first numbers of a stream."""
        numbers = np.zeros(count, np.uint32)
        words = (ctypes.c_uint32(seed), ctypes.c_uint32(stream), ctypes.c_uint32(tick))
        self.library.map_dither(*words, count, _pointer(numbers))
        return numbers

    def bits(self, numbers: Array, bits: int) -> Array:
        """Return the top bits of numbers."""
        y = np.zeros(len(numbers), np.int32)
        self.library.map_dither_bits(len(numbers), _pointer(numbers), bits, _pointer(y))
        return y


def _pointer(array: Array) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)


@pytest.fixture(scope="module")
def maths(twins: Twins, tmp_path_factory: pytest.TempPathFactory) -> Maths:
    """Return the functions under test, as the kernels' library has them."""
    target = tmp_path_factory.mktemp("math") / "probe.so"
    source = Path(__file__).with_name("math_probe.c")
    includes = ("-I", FIRMWARE, "-I", FIRMWARE / "include")
    link = (twins.library, f"-Wl,-rpath,{twins.library.parent}")
    tools.run(
        ["gcc", "-std=c11", "-O1", "-fPIC", "-shared", *includes, source, *link, "-o", target],
        what="building the probe of maths",
    )
    return Maths(ctypes.CDLL(str(target)))


@pytest.fixture
def rng() -> np.random.Generator:
    """Return the source of random inputs."""
    return np.random.default_rng(11)


def any_float(rng: np.random.Generator, count: int, low: float = TINY, high: float = HUGE) -> Array:
    """Return positive floats with evenly spread bit patterns: every exponent is as likely."""
    first, last = (int(np.float32(limit).view(np.uint32)) for limit in (low, high))
    return rng.integers(first, last + 1, size=count, dtype=np.uint32).view(np.float32)


def ulps(actual: Array, exact: Array) -> Array:
    """Return the error in units of the last place of the exact value."""
    unit = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    return np.abs(actual.astype(np.float64) - exact) / unit


# --- float functions -------------------------------------------------------------------------------------------------


def test_expf_is_within_two_ulp(maths: Maths, rng: np.random.Generator) -> None:
    """The softmax and all that follows from it has the accuracy of a float."""
    x = np.concatenate(
        [
            np.linspace(-87, 88, 300_001, dtype=np.float32),
            rng.uniform(-1, 1, 100_000).astype(np.float32),
            any_float(rng, 50_000, TINY, 80.0),
            -any_float(rng, 50_000, TINY, 80.0),
        ]
    )

    error = ulps(maths("expf", x), np.exp(x.astype(np.float64)))

    assert error.max() <= 2
    assert maths("expf", np.float32([0.0, -0.0])).tolist() == [1.0, 1.0]


def test_expf_clamps_its_argument(maths: Maths) -> None:
    """No logit, however large, overflows or gives a subnormal number."""
    low, at_low, high, at_high = maths("expf", np.float32([-np.inf, -87, np.inf, 88]))

    assert (low, high) == (at_low, at_high)
    assert low >= TINY
    assert np.isfinite(high)


def test_logf_is_within_two_ulp(maths: Maths, rng: np.random.Generator) -> None:
    """The loss is right near 1 too, where the logarithm vanishes."""
    near_one = (1 + rng.uniform(-0.3, 0.45, 200_000)).astype(np.float32)
    x = np.concatenate([any_float(rng, 200_000), near_one, np.float32([TINY, HUGE, 1 - 2**-24, 1 + 2**-23])])

    error = ulps(maths("logf", x), np.log(x.astype(np.float64)))

    assert error.max() <= 2
    assert maths("logf", np.float32([1.0]))[0] == 0


def test_cos_pi_is_accurate_and_monotonic(maths: Maths) -> None:
    """The learning rate falls from its start to 0 and never rises."""
    t = np.linspace(0, 1, 200_001, dtype=np.float32)

    y = maths("cos_pi", t)

    assert np.abs(y - np.cos(np.pi * t.astype(np.float64))).max() < 2e-7
    assert maths("cos_pi", np.float32([0.5]))[0] == 0
    assert np.diff(y[::50].astype(np.float64)).max() <= 0


def test_sqrtf_has_the_bits_of_ieee(maths: Maths, rng: np.random.Generator) -> None:
    """Correct rounding is what makes cores with and without a root instruction agree."""
    squares = np.square(np.arange(1, 4097, dtype=np.float32))
    subnormal = rng.integers(1, 1 << 23, size=20_000, dtype=np.uint32).view(np.float32)
    edges = np.float32([0, TINY, HUGE, 1, 2, 1 - 2**-24, 1 + 2**-23, 4 - 2**-22, np.inf])
    x = np.concatenate([any_float(rng, 300_000), squares, squares * 2, subnormal, edges])

    actual = maths("sqrtf", x)

    np.testing.assert_array_equal(actual.view(np.uint32), np.sqrt(x).view(np.uint32))
    assert maths("sqrtf", np.float32([-1, -TINY, -np.inf, np.nan])).tolist() == [0, 0, 0, 0]


def test_round_goes_to_the_nearest_integer(maths: Maths, rng: np.random.Generator) -> None:
    """Halves go away from zero, what does not fit saturates."""
    halves = np.arange(-1000, 1000, dtype=np.float32) + np.float32(0.5)
    below_half = np.nextafter(halves, np.float32(0), dtype=np.float32)
    small = rng.uniform(-1e6, 1e6, 200_000).astype(np.float32)
    large = any_float(rng, 20_000, 1e6, 2.1e9)
    x = np.concatenate([halves, below_half, small, large, -large])

    assert maths("round", x, np.int32).tolist() == exact.nearest(x).tolist()
    limits = np.float32([2.0**31, -(2.0**31), 1e30, -1e30, np.inf, -np.inf, np.nan])
    largest, lowest = 2**31 - 1, -(2**31)
    assert maths("round", limits, np.int32).tolist() == [largest, lowest, largest, lowest, largest, lowest, 0]


def test_powers_of_two_are_exact(maths: Maths) -> None:
    """Every exponent of a normal float, both ways."""
    exponents = np.arange(-126, 128, dtype=np.int32)

    powers = maths("exp2i", exponents)

    np.testing.assert_array_equal(powers, np.ldexp(np.float32(1), exponents))
    np.testing.assert_array_equal(maths("ceil_log2", powers, np.int32), exponents)


def test_ceil_log2_is_the_smallest_power_that_covers(maths: Maths, rng: np.random.Generator) -> None:
    """An error scale that is one too small would clamp the largest errors."""
    x = np.concatenate([any_float(rng, 100_000), np.float32([1 + 2**-23, 1 - 2**-24, 127 / 128, HUGE])])

    k = maths("ceil_log2", x, np.int32)

    wide = x.astype(np.float64)
    assert (np.ldexp(1.0, k) >= wide).all()
    assert (np.ldexp(1.0, k - 1) < wide).all()


def test_requant_make_is_exact_and_equal_on_the_host(maths: Maths, rng: np.random.Generator) -> None:
    """The tables' first factors (Python) and those after an update (C) are the same function."""
    low, high = 2.0**-32, 2.0**30
    edges = [0, TINY, TINY / 2, low, high, HUGE, np.inf, np.nextafter(np.float32(low), np.float32(0)), -1, np.nan]
    edges += [np.nextafter(np.float32(high), np.float32(0)), 1, 0.5, 1 - 2**-24]
    x = np.concatenate([any_float(rng, 20_000), any_float(rng, 50_000, low, high), np.float32(edges)])

    pairs = maths("requant_make", x, np.int32, width=2)

    expected = [tuple(fixed_point.requant(factor).values()) for factor in x]
    assert [tuple(pair) for pair in pairs.tolist()] == expected
    normal = (x >= low) & (x < high)
    multiplier, shift = pairs[normal, 0], pairs[normal, 1]
    np.testing.assert_array_equal(np.ldexp(multiplier.astype(np.float64), -shift), x[normal].astype(np.float64))
    assert ((multiplier >= 2**30) & (shift >= 1) & (shift <= 62)).all()
    assert (pairs[x < low] == (0, 1)).all()


def test_add_weights_are_the_nearest_integers(rng: np.random.Generator) -> None:
    """Two ratios share one power of two; the larger uses 20 bits, so that sums of products stay inside 32."""
    for exponent in range(-12, 8):
        ratios = np.float32(2.0**exponent * rng.uniform(0.01, 1, (50, 2)))
        for a, b in [*ratios, np.float32([2.0**exponent, 0])]:
            weights = fixed_point.add_weights(a, b)
            shift = weights["shift"]

            assert abs(weights["a_weight"] - Fraction(float(a)) * 2**shift) <= Fraction(1, 2)
            assert abs(weights["b_weight"] - Fraction(float(b)) * 2**shift) <= Fraction(1, 2)
            assert 1 <= shift <= 30
            largest = max(weights["a_weight"], weights["b_weight"])
            assert largest <= 2**20
            assert largest >= 2**19 or shift == 30


# --- dither ----------------------------------------------------------------------------------------------------------


def test_dither_is_the_documented_sequence(maths: Maths) -> None:
    """Any port of the runtime can be checked against the formula."""
    for seed, stream, tick in ((0, 0, 0), (1, 2, 3), (2**32 - 1, 0x20001, 123_456)):
        expected = exact.dither(seed, stream, tick, 1000)

        np.testing.assert_array_equal(maths.dither(seed, stream, tick, 1000).astype(np.int64), expected)
    numbers = maths.dither(1, 2, 3, 1000)
    for bits in range(32):
        expected = exact.top_bits(numbers.astype(np.int64), bits)
        np.testing.assert_array_equal(maths.bits(numbers, bits), expected)


def draws(maths: Maths, across: str) -> Array:
    """Return 10^5 numbers: across one tensor, or those of one weight across ticks, streams or seeds."""
    if across == "index":
        return maths.dither(7, 1, 5, DRAWS)
    place = {"tick": 2, "stream": 1, "seed": 0}[across]
    words = [7, 1, 5]
    numbers = []
    for value in range(DRAWS // 10):
        words[place] = value
        numbers.append(maths.dither(words[0], words[1], words[2], 10))
    return np.concatenate(numbers)


@pytest.mark.parametrize("across", ["index", "tick", "stream", "seed"])
def test_dither_is_uniform(maths: Maths, across: str) -> None:
    """Every part of the range is met as often, however the numbers are taken."""
    numbers = draws(maths, across)

    counts = np.bincount(numbers >> 26, minlength=64)
    expected = DRAWS / 64
    assert ((counts - expected) ** 2 / expected).sum() < 120  # chi squared, 63 degrees of freedom: one in 10^5
    assert abs(numbers.mean() / 2**32 - 0.5) < 0.005


@pytest.mark.parametrize("across", ["index", "tick", "stream", "seed"])
@pytest.mark.parametrize("step", [0.1, 0.5, -0.3, 0.0])
def test_stochastic_rounding_is_unbiased(maths: Maths, across: str, step: float) -> None:
    """The mean of floor(d + u) is d, and a step of 0 never changes a weight."""
    u = (draws(maths, across) >> 16).astype(np.int64)

    rounded = (round(step * 65536) + u) >> 16

    assert abs(rounded.mean() - step) < 0.01
    if step == 0:
        assert not rounded.any()


def test_dither_of_neighbours_in_time_is_unrelated(maths: Maths) -> None:
    """A weight that met a large number at one update is as likely to meet a small one at the next."""
    now, later = (np.concatenate([maths.dither(3, stream, tick, 100) for stream in range(100)]) for tick in (10, 11))

    assert abs(np.corrcoef(now, later)[0, 1]) < 0.05
