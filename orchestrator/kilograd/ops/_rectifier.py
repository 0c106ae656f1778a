# SPDX-License-Identifier: Apache-2.0
"""A ReLU, alone or fused into the operator before it: its clamp from below, and perhaps one from above (ReLU6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.ops import _checks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilograd.types import Format, Node

FLOAT_MAX = float(np.finfo(np.float32).max)
LEVELS = 255


def rectifies(node: Node) -> bool:
    """Tell whether a node's output is that of a ReLU."""
    return node.op == "relu" or bool(node.attributes.get("relu"))


def clamp(node: Node) -> float | None:
    """Return the largest value that a node's ReLU lets through, if it has one."""
    value = node.attributes.get("clamp")
    if value is None or not rectifies(node):
        return None
    if not isinstance(value, int | float) or not 0 < value < FLOAT_MAX:
        raise _checks.misfit(node, f"clamp must be a positive number, got {value}")
    return float(value)


def rectified(node: Node, out: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply a node's ReLU in place, where it has one."""
    return np.clip(out, np.float32(0), np.float32(clamp(node) or FLOAT_MAX), out=out) if rectifies(node) else out


def limits_f32(node: Node) -> tuple[float, float]:
    """Return the smallest and the largest output."""
    return (0.0, clamp(node) or FLOAT_MAX) if rectifies(node) else (-FLOAT_MAX, FLOAT_MAX)


def limits_u8(node: Node, form: Format) -> tuple[int, int]:
    """Return the smallest and the largest output as stored."""
    high = clamped_u8(node, form)
    return form.zero if rectifies(node) else 0, LEVELS if high is None else high


def clamped_u8(node: Node, form: Format) -> int | None:
    """Return the stored number that the clamp from above gives, if the format reaches so far."""
    value = clamp(node)
    if value is None:
        return None
    stored = form.zero + int(np.rint(np.float32(value) / np.float32(form.scale)))
    return stored if stored <= LEVELS else None
