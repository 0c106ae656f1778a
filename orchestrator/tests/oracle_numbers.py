# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of the oracle: exact fixed point, the dither, sliding windows; whole numbers are int64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from kilograd.types import Format, Node

Array = NDArray[Any]
F = np.float32
ZERO = F(0)
ONE = F(1)
INT16_MAX = 32767
GRADIENT_LIMITS = {8: 127, 16: INT16_MAX, 32: 2**30 - 1}


def fraction(factor: F) -> tuple[int, int]:
    """Return a positive float32 as (24-bit mantissa, shift): mantissa * 2^-shift."""
    mantissa, exponent = np.frexp(np.float64(factor))
    return int(mantissa * 2**24), 24 - int(exponent)


def requant(value: Array, factor: F) -> Array:
    """Return floor(value * factor + 1/2), exactly."""
    if factor <= 0:
        return np.zeros_like(value)
    mantissa, shift = fraction(factor)
    product = value.astype(np.int64) * mantissa
    if shift <= 0:
        return product << -shift
    return (product + (1 << (shift - 1))) >> shift if shift < 62 else np.zeros_like(value)


def requant_pair(factor: F) -> tuple[int, int]:
    """Return the multiplier and shift of kg_requant_t."""
    if factor <= 0:
        return 0, 1
    mantissa, shift = fraction(factor)
    return mantissa << 7, shift + 7


def nearest(value: Array | F) -> Array:
    """Round to the nearest integer, halves away from zero."""
    wide = np.asarray(value, np.float64)
    return (np.sign(wide) * np.floor(np.abs(wide) + 0.5)).astype(np.int64)


def dither(seed: int, stream: int, tick: int, count: int) -> Array:
    """Return the first numbers of a stream: a golden-ratio sequence from a hashed start, 32 bits each."""
    mask = 0xFFFFFFFF
    h = (seed * 0x85EBCA6B + stream * 0xC2B2AE35 + tick * 0x27D4EB2F + 0x165667B1) & mask
    h = ((h ^ h >> 16) * 0x85EBCA6B) & mask
    h = ((h ^ h >> 13) * 0xC2B2AE35) & mask
    h ^= h >> 16
    return (h + np.arange(count, dtype=np.uint64) * 0x9E3779B9).astype(np.int64) & mask


def top_bits(numbers: Array, bits: int) -> Array:
    """Return the top bits of 32-bit numbers."""
    return numbers >> (32 - bits)


def narrow(value: Array, bits: int = 16) -> Array:
    """Saturate to the range of a gradient of so many bits."""
    largest = GRADIENT_LIMITS[bits]
    return np.clip(value, -largest if bits == 32 else -largest - 1, largest)


def multiply_15(value: Array, factor: F) -> Array:
    """Return floor(value * factor), the factor cut to 15 significant bits; below 2^-32 it is zero."""
    mantissa, exponent = np.frexp(np.float64(factor))
    if factor <= 0 or exponent < -31:
        return np.zeros_like(value)
    product = value * int(mantissa * 2**15)
    shift = 15 - int(exponent)
    return product >> shift if shift >= 0 else product << -shift


@dataclass(frozen=True)
class Error:
    """An error tensor: whole numbers around 0, whose step is the scale of this name times a factor."""

    values: Array
    scale: str
    factor: F
    masked: bool


@dataclass(frozen=True)
class Refresh:
    """A fixed-point factor that follows scales: of a layer, of a join, or of a gate, times a constant."""

    kind: str
    name: str
    above: tuple[tuple[str, F], ...]
    below: str | None
    unit: F = ONE


@dataclass
class Join:
    """Integer weights of two errors that become one."""

    a_weight: int
    b_weight: int
    shift: int


def join_weights(ratio_a: F, ratio_b: F = ZERO) -> Join:
    """Return two ratios over one power of two, the larger below 2^21."""
    exponent = int(np.ceil(np.log2(np.float64(max(ratio_a, ratio_b)))))
    shift = min(max(20 - exponent, 1), 30)
    a, b = (min(int(nearest(np.float64(ratio) * 2**shift)), 2**21 - 1) for ratio in (ratio_a, ratio_b))
    return Join(a, b, shift)


# --- rectifiers ------------------------------------------------------------------------------------------------------


def is_rectified(node: Node) -> bool:
    """Tell whether a node is a ReLU, or ends with one."""
    return node.op == "relu" or bool(node.attributes.get("relu"))


def stopped_above(node: Node, form: Format) -> float:
    """Return from which stored number on a ReLU's clamp from above has stopped a value: infinity without one."""
    clamp = float(node.attributes.get("clamp", np.inf))  # type: ignore[arg-type]
    stored = form.zero + np.rint(F(clamp) / F(form.scale))
    return float(stored) if stored <= 255 else np.inf


def limits(node: Node, form: Format) -> tuple[int, int]:
    """Return the smallest and the largest stored number that a node may give."""
    if not is_rectified(node):
        return 0, 255
    return form.zero, int(min(stopped_above(node, form), 255))


# --- windows ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """The taps of a sliding window: every tap sees a strided part of the padded map."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[int, int, int, int]

    def pad(self, x: Array, value: int = 0) -> Array:
        """Return maps (channels, height, width) with their padding."""
        top, left, bottom, right = self.pads
        return np.pad(x, ((0, 0), (top, bottom), (left, right)), constant_values=value)

    def crop(self, padded: Array) -> Array:
        """Return maps without their padding."""
        top, left, bottom, right = self.pads
        return padded[:, top : padded.shape[1] - bottom, left : padded.shape[2] - right]

    def taps(self) -> list[tuple[int, int]]:
        """Return all taps in row-major order."""
        return [(u, v) for u in range(self.kernel[0]) for v in range(self.kernel[1])]

    def seen(self, padded: Array, tap: tuple[int, int], size: tuple[int, ...]) -> Array:
        """Return the view of padded maps under one tap: (channels, *size)."""
        rows, cols = (
            slice(tap[axis], tap[axis] + (size[axis] - 1) * self.stride[axis] + 1, self.stride[axis]) for axis in (0, 1)
        )
        return padded[:, rows, cols]


def window(node: Node) -> Window:
    """Return the window of a node with a window."""
    kernel = node.attributes["kernel"] if node.weight is None else node.weight.shape[2:]
    return Window(kernel, node.attributes["stride"], node.attributes["pads"])  # type: ignore[arg-type]
