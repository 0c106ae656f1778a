# SPDX-License-Identifier: Apache-2.0
"""Fixed-point factors, bit for bit as `runtime/math.c` and `runtime/steps_u8.c` make them."""

from __future__ import annotations

import math

import numpy as np

LARGEST_WEIGHT = (1 << 21) - 1


def requant(factor: np.float32) -> dict[str, int]:
    """Return a positive factor as kg_requant_t: multiplier * 2^-shift (kg_requant_make)."""
    bits = int(np.float32(factor).view(np.uint32))
    shift = 157 - (bits >> 23)
    if not factor >= np.finfo(np.float32).tiny or shift > 62:  # noqa: PLR2004 - the largest shift of kg_requant_t
        return {"multiplier": 0, "shift": 1}
    if shift < 1:
        return {"multiplier": 2**31 - 1, "shift": 1}
    return {"multiplier": (bits & 0x7FFFFF | 0x800000) << 7, "shift": shift}


def add_weights(ratio_a: np.float32, ratio_b: np.float32) -> dict[str, int]:
    """Return two ratios as integers over one power of two, the larger below 2^21 (kg_add_quant_t)."""
    largest = float(max(ratio_a, ratio_b))
    shift = min(max(20 - math.ceil(math.log2(largest)), 1), 30)
    weights = (min(math.floor(float(ratio) * 2**shift + 0.5), LARGEST_WEIGHT) for ratio in (ratio_a, ratio_b))
    return dict(zip(("a_weight", "b_weight", "shift"), (*weights, shift), strict=True))
