# SPDX-License-Identifier: Apache-2.0
"""Built-in models, one file each, with small uniform initial weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from kilograd import listing

if TYPE_CHECKING:
    from kilograd.types import Graph


def models() -> tuple[str, ...]:
    """Return the names of all built-in models."""
    return listing.names(__name__)


def build_model(name: str, *, seed: int, classes: int = 10) -> Graph:
    """Return a built-in model with fresh weights; a wrong name lists the right ones."""
    module = listing.member(__name__, "model", name)
    rng = np.random.default_rng([*name.encode(), seed])  # apart from other numbers drawn with the same seed
    return cast("Graph", module.build(rng, classes))
