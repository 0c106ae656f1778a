# SPDX-License-Identifier: Apache-2.0
"""The updates of the oracle: recipe best in integers and float32, recipe paper in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from oracle_numbers import GRADIENT_LIMITS, ZERO, Array, F, multiply_15, narrow, nearest, requant, top_bits

if TYPE_CHECKING:
    from collections.abc import Callable

    Draw = Callable[[int], Array]

FIRST_SHIFT = 6
LARGEST_SHIFT = 24
LARGEST_BIAS = 2**30
LARGEST_BIAS_STEP = 16
OUTPUT_EXPONENT = -7
GRADIENT, UPDATE, RESCALE, REQUANTISE = 0, 0x10000, 0x20000, 0x20001  # purposes of the dither


@dataclass
class Layer:
    """A layer with weights; all arrays are (rows, columns) or (rows)."""

    w: Array
    b: Array
    w_zero: int
    w_scale: F
    x_zero: int
    x_scale: F
    y_zero: int
    y_scale: F
    limits: tuple[int, int]
    stream: int = 0
    g: Array = field(default_factory=lambda: np.zeros(0))
    gb: Array = field(default_factory=lambda: np.zeros(0))
    bits: int = 16
    g_shift: int = FIRST_SHIFT
    e_exponent: int = OUTPUT_EXPONENT
    forward: F = ZERO
    backward: F = ZERO
    statistics: Array = field(default_factory=lambda: np.zeros((0, 4)))
    bias_momentum: Array = field(default_factory=lambda: np.zeros(0, F))
    marks: Array | None = None
    """Sparse layers: which rows have had a gradient in this minibatch; the others are not updated."""

    @property
    def due(self) -> Array:
        """Return which rows an update changes."""
        return np.ones(len(self.b), bool) if self.marks is None else self.marks


@dataclass
class Scale:
    """The scale of an error tensor."""

    scale: F
    exponent: int = OUTPUT_EXPONENT
    peak: F = ZERO
    range: F = ZERO


def cosine_pi(t: F) -> F:
    """Return cos(pi t) for 0 <= t <= 1 as the runtime defines it: a sine by its Taylor series to the 11th power."""
    a = (t - F(0.5)) * F(np.pi)
    z = a * a
    p = F(0)
    for power in (11, 9, 7, 5, 3):
        p = p * z + F((-1) ** (power // 2) / math.factorial(power))
    return -(p * z * a + a)


def decayed(decay: str, rate: F, updates: int, planned: int) -> F:
    """Return the learning rate of an update, in float32."""
    done = min(F(updates) / F(planned), F(1))
    if decay == "cosine":
        return rate * F(0.5) * (F(1) + cosine_pi(done))
    if decay == "linear":
        return rate * (F(1) - done)
    if decay == "step":
        return rate * (F(1) if done < F(0.5) else F(0.1) if done < F(0.75) else F(0.01))
    return rate


def follow(scale: Scale) -> None:
    """Choose a power of two from the largest error of the minibatch and what was seen before."""
    blend = F(0.9) * scale.range + (F(1) - F(0.9)) * scale.peak
    scale.range = max(scale.peak, blend)
    scale.peak = F(0)
    if scale.range < F(2.0**-100):
        return
    exponent = int(np.ceil(np.log2(np.float64(scale.range / F(127)))))
    scale.exponent = min(max(exponent, -60), 20)
    scale.scale = F(2.0**scale.exponent)


def update_best(layer: Layer, error: Scale, rate: F, draw: Draw) -> None:
    """Do the standardised, stochastically rounded step; `draw` gives the dither for a purpose."""
    _follow_exponent(layer, error, draw)
    peaks = np.abs(layer.g).max(axis=1)
    u, due = draw(UPDATE), layer.due
    left_below = left_above = False
    for row in np.flatnonzero(due):
        moved = _update_row(layer, row, int(peaks[row]), rate, u[row])
        left_below |= moved[0]
        left_above |= moved[1]
    layer.g[due] = ((7 * layer.g + (u >> 13 & 7)) >> 3)[due]
    layer.gb[due] -= layer.gb[due] >> 3
    _rescale(layer, int(peaks[due].max(initial=0)), draw)
    _adjust_range(layer, (left_below, left_above), draw)
    if layer.marks is not None:
        layer.marks[:] = False


def _follow_exponent(layer: Layer, error: Scale, draw: Draw) -> None:
    """Keep the unit of g (error scale times 2^g_shift) where the scale of the errors has moved."""
    change = error.exponent - layer.e_exponent
    if change == 0:
        return
    layer.e_exponent = error.exponent
    unit = layer.g_shift - change
    layer.g_shift = min(max(unit, 0), LARGEST_SHIFT) if layer.bits < 32 else 0
    if layer.g_shift != unit:
        _shift(layer, max(min(layer.g_shift - unit, 30), -15 if layer.bits < 32 else -30), draw)
    layer.gb = requant(layer.gb, F(2.0**-change))


def _shift(layer: Layer, by: int, draw: Draw) -> None:
    if by > 0:
        layer.g = (layer.g + top_bits(draw(RESCALE), by)) >> by
    else:
        layer.g = narrow(layer.g << -by, layer.bits)


def _update_row(layer: Layer, row: int, peak: int, rate: F, u: Array) -> tuple[bool, bool]:
    """Step one row; tell whether weights have left the range below and above."""
    g, columns = layer.g[row], layer.g.shape[1]
    halve = max(0, peak.bit_length() - 14)
    mean = int(np.fix(int(g.sum()) / columns))
    d = (g - mean) >> halve
    deviation = np.sqrt(F(int((d * d).sum())) / F(columns)) * F(1 << halve)
    if deviation == 0:
        return False, False
    per_unit = rate / (deviation * layer.w_scale)
    factor = min(per_unit * F(65536), F(2.0**30) / F(2 * peak + 1)) * F(1 << halve)
    q = layer.w[row] - ((multiply_15(d, factor) + (u >> 16)) >> 16)
    layer.w[row] = np.clip(q, 0, 255)
    unit = layer.x_scale * layer.x_scale * F(2.0**layer.g_shift)
    most = F(LARGEST_BIAS_STEP) * rate / (layer.w_scale * layer.x_scale)
    step = np.clip(nearest(np.clip(F(layer.gb[row]) * per_unit / unit, -most, most)), -(2**31), 2**31 - 1)
    layer.b[row] = np.clip(layer.b[row] - step, -LARGEST_BIAS, LARGEST_BIAS)
    return bool((q < 0).any()), bool((q > 255).any())


def _rescale(layer: Layer, peak: int, draw: Draw) -> None:
    """Choose the unit of g so that 3/2 of the largest value before the decay fits, and no bit is wasted."""
    need, most, by = peak * 3 // 2, GRADIENT_LIMITS[layer.bits], 0
    if layer.bits == 32:
        return
    while need >> by > most:
        by += 1
    while by <= 0 and layer.g_shift + by > 0 and need * 2 ** (1 - by) < most:
        by -= 1
    if peak == 0 or by == 0 or layer.g_shift + by > LARGEST_SHIFT:
        return
    _shift(layer, by, draw)
    layer.g_shift += by


def _adjust_range(layer: Layer, left: tuple[bool, bool], draw: Draw) -> None:
    """Let the range follow min(max |w|, 4 rms) where it is clearly off; `left`: weights went below, above it."""
    wanted = _wanted_range(layer, left, layer.w[layer.due])
    if wanted is not None and not layer.due.all():  # rows that are not due have a say in a change only
        wanted = _wanted_range(layer, left, layer.w)
    if wanted is None:
        return
    margin = F(1.03) * layer.w_scale
    low, high = min(margin * wanted[0], F(0)), max(margin * wanted[1], F(0))
    if high > low:
        _requantise(layer, low, high, draw)


def _wanted_range(layer: Layer, left: tuple[bool, bool], weights: Array) -> tuple[F, F] | None:
    """Return the range that these weights ask for, in quanta; None where the present one will do."""
    if weights.size == 0:
        return None
    left_below, left_above = left
    centred = weights - layer.w_zero
    clip = F(4) * np.sqrt(F(int((centred**2).sum())) / F(weights.size))
    grid_low, grid_high = F(-layer.w_zero), F(255 - layer.w_zero)
    low = max(F(1.1) * grid_low if left_below else F(centred.min()), -clip)
    high = min(F(1.1) * grid_high if left_above else F(centred.max()), clip)
    grows = (left_below and low < F(1.02) * grid_low) or (left_above and high > F(1.02) * grid_high)
    return None if not grows and high - low >= F(0.85) * F(255) else (low, high)


def _requantise(layer: Layer, low: F, high: F, draw: Draw) -> None:
    scale = (high - low) / F(255)
    zero = int(np.clip(nearest(-low / scale), 0, 255))
    ratio = layer.w_scale / scale
    fine = requant(layer.w - layer.w_zero, ratio * F(65536))
    u = draw(REQUANTISE)
    layer.w = np.clip(zero + ((fine + (u >> 16)) >> 16), 0, 255)
    layer.b = np.clip(nearest(layer.b.astype(F) * ratio), -LARGEST_BIAS, LARGEST_BIAS)
    layer.w_scale, layer.w_zero = scale, zero


def update_paper(layer: Layer, step: F, rate: F, batch: int, *, first: bool) -> None:
    """Do equations 5 to 8 in float64; `step` is that of errors, `first` starts the running statistics."""
    keep = 0.0 if first else 0.9
    s, due = layer.statistics, layer.due
    s[due, 0] = keep * s[due, 0] + (1 - keep) * s[due, 2] / batch
    s[due, 1] = keep * s[due, 1] + (1 - keep) * s[due, 3] / batch
    s[due, 2:] = 0
    sigma = np.where(due, np.sqrt(np.maximum(s[:, 1] - s[:, 0] ** 2, 0)), 0)
    per_unit = np.where(sigma > 0, float(rate) / np.where(sigma > 0, sigma, 1), 0)
    old = np.float64(layer.w_scale)
    real = (layer.w - layer.w_zero) * old - (layer.g - s[:, :1]) * per_unit[:, None]
    low, high = min(0, real[due].min(initial=0)), max(0, real[due].max(initial=0))
    scale, zero = (high - low) / 255, None
    if not due.all():  # the format is shared: it may grow, and stays if it can
        old_low, old_high = (0 - layer.w_zero) * old, (255 - layer.w_zero) * old
        if old_low <= low and high <= old_high:
            scale, zero = old, layer.w_zero
        else:
            low, high = min(low, old_low), max(high, old_high)
            scale = (high - low) / 255
    layer.w_zero = int(np.clip(nearest(-low / scale), 0, 255)) if zero is None else zero
    layer.w = np.clip(nearest(real / scale) + layer.w_zero, 0, 255)
    bias = layer.b * np.float64(layer.x_scale) * old - layer.gb * np.float64(step) * per_unit
    layer.b = nearest(bias / (np.float64(layer.x_scale) * scale))
    layer.w_scale = F(scale)
    layer.g[...] = 0
    layer.gb[...] = 0
    if layer.marks is not None:
        layer.marks[:] = False


def update_sgd(layer: Layer, error: Scale, factor: F, rate: F, batch: int, *, scaled: bool) -> None:
    """Step whole weights against their gradient, times s_w^-2 (bias: s_w^-2 s_x^-2) where it is `scaled`."""
    unit, bias_unit = layer.w_scale, layer.w_scale * layer.x_scale
    rate = rate / F(batch)
    due = layer.due
    step = nearest(layer.g * (rate / unit if scaled else rate * unit))
    layer.w[due] = np.clip(layer.w - step, 0, 255)[due]
    layer.g[due] *= F(0.9)
    velocity = layer.bias_momentum + layer.gb.astype(F) * (F(2.0**layer.e_exponent) * factor)
    step = nearest(velocity * (rate / bias_unit if scaled else rate * bias_unit))
    step = np.where(due, np.clip(step, -(2**31), 2**31 - 1), 0)
    layer.b = np.clip(layer.b - step, -LARGEST_BIAS, LARGEST_BIAS)
    layer.bias_momentum = np.where(due, velocity * F(0.9), layer.bias_momentum)
    layer.gb[...] = 0
    layer.e_exponent = error.exponent
    if layer.marks is not None:
        layer.marks[:] = False


def update_biases(layer: Layer, error: Scale, rate: F) -> None:
    """Step biases alone against their gradients over the root mean square of the layer's, summed in order."""
    change = error.exponent - layer.e_exponent
    layer.e_exponent = error.exponent
    layer.gb = requant(layer.gb, F(2.0**-change))
    squares = F(0)
    for gradient in layer.gb.astype(F):
        squares += gradient * gradient
    rms = np.sqrt(squares / F(len(layer.gb)))
    if rms > 0:
        step = nearest(layer.gb.astype(F) * (rate / (rms * layer.w_scale * layer.x_scale)))
        layer.b = np.clip(layer.b - np.clip(step, -(2**31), 2**31 - 1), -LARGEST_BIAS, LARGEST_BIAS)
    layer.gb -= layer.gb >> 3
