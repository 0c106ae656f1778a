# SPDX-License-Identifier: Apache-2.0
"""
The digits as a changed sensor sees them: rotated, darker, noisier.

`digits_cnn`, trained on `digits` (98 %), falls to 45-51 % here, and comes back to 95 % by training. Source, licence,
citation and split are those of `digits`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]

from kilograd.data import digits
from kilograd.types import Dataset, Samples

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = digits.SHAPE
HOME = digits.HOME
FILES = ()

DEGREES = 30.0
BRIGHTNESS = 0.5
NOISE = 0.03
SEED = 1


def load(folder: Path) -> Dataset:
    """Return the digits, seen by the changed sensor."""
    original = digits.load(folder)
    rng = np.random.default_rng(SEED)
    return Dataset("digits_shifted", _shift(original.train, rng), _shift(original.test, rng), original.classes)


def _shift(samples: Samples, rng: np.random.Generator) -> Samples:
    """Rotate with bilinear interpolation, darken, add Gaussian noise, clip to 0..1."""
    rotated = ndimage.rotate(samples.x, DEGREES, axes=(2, 3), reshape=False, order=1)
    noisy = BRIGHTNESS * rotated + NOISE * rng.standard_normal(rotated.shape)
    return Samples(np.clip(noisy, 0, 1).astype(np.float32), samples.y)
