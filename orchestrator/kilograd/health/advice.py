# SPDX-License-Identifier: Apache-2.0
"""When a figure is unhealthy, and what to do about it, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilograd.health.measures import LayerHealth

SATURATED_ACTIVATIONS = 0.05
SATURATED_WEIGHTS = 0.05
SATURATED_GRADIENTS = 1e-3
UNUSED_RANGE = 0.05
FEW_LEVELS = 2.0
LOST_GRADIENT = 0.5
MOVED = 1e-4
LARGE_UPDATE = 0.2
"""The help of `kilograd health` names these limits."""


def advice(health: LayerHealth, recipe: str) -> list[str]:
    """Return a sentence for everything that is wrong with a layer, and what helps."""
    return [*_activations(health), *_weights(health), *_errors(health, recipe), *_updates(health, recipe)]


def _activations(h: LayerHealth) -> Iterator[str]:
    if _above(h.activation_saturation, SATURATED_ACTIVATIONS):
        yield (
            f"activations of {h.layer} saturate: {_percent(h.activation_saturation, 1)} lie at the end of their range"
            f"{_times(h.activation_range)}; pretrain on data like that to learn, lower the learning rate, "
            "or use configuration float32"
        )
    if h.activation_range is not None and h.activation_range < UNUSED_RANGE:
        yield (
            f"the range of {h.layer}'s activations is {1 / max(h.activation_range, 1e-9):.0f} times too large: "
            "the samples for calibration hold outliers; remove them from the training data, or limit their values"
        )


def _weights(h: LayerHealth) -> Iterator[str]:
    if _above(h.weight_saturation, SATURATED_WEIGHTS):
        yield (
            f"weights of {h.layer} saturate: {_percent(h.weight_saturation, 1)} lie at the end of their range; "
            "lower the learning rate"
        )
    if h.weight_levels is not None and h.weight_levels < FEW_LEVELS:
        yield (
            f"the range of {h.layer}'s weights is too large: most lie within {h.weight_levels:.1f} of its 255 levels; "
            "limit single large weights before quantising, or use configuration float32"
        )


def _errors(h: LayerHealth, recipe: str) -> Iterator[str]:
    if _above(h.lost_gradient, LOST_GRADIENT):
        way = "use recipe best, whose error scales follow the errors" if recipe != "best" else "use configuration mixed"
        yield (
            f"errors of {h.layer} underflow: {_percent(h.dead_gradients, 0)} become zero, "
            f"and {_percent(h.lost_gradient, 0)} of the gradient with them; {way}, or float32 for this layer"
        )
    if _above(h.gradient_saturation, SATURATED_GRADIENTS):
        yield (
            f"the gradient buffer of {h.layer} overflows: {_percent(h.gradient_saturation, 2)} lie at its limits; "
            "use a wider buffer, or a smaller batch"
        )


def _updates(h: LayerHealth, recipe: str) -> Iterator[str]:
    if h.weights_moved < MOVED:
        way = "raise the learning rate" if recipe == "best" else "use recipe best, which rounds stochastically"
        yield f"weights of {h.layer} do not move: an update changes {_percent(h.weights_moved, 3)} of them; {way}"
    if h.update_ratio > LARGE_UPDATE:
        yield (
            f"updates of {h.layer} are too large: they change a weight by {_percent(h.update_ratio, 0)} of its size; "
            "lower the learning rate"
        )


def _percent(share: float | None, digits: int) -> str:
    return f"{100 * (share or 0.0):.{digits}f} %"


def _above(value: float | None, limit: float) -> bool:
    return value is not None and value > limit


def _times(use: float | None) -> str:
    return f", values reach {use:.1f} times its size" if use is not None and use > 1 else ""
