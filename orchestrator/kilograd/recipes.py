# SPDX-License-Identifier: Apache-2.0
"""Update rules: what each one keeps beside the weights, which C functions it has, and what it is used with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

UINT8, FLOAT32 = frozenset({"uint8"}), frozenset({"float32"})
EVERYTHING = (UINT8, FLOAT32, UINT8 | FLOAT32)


@dataclass(frozen=True)
class Recipe:
    """One update rule; functions by number format ("u8", "f32")."""

    rates: Mapping[str, float]
    """Default learning rate by configuration; "uint8" stands for those that are not there."""
    decay: str
    """Default schedule of the learning rate."""
    add: Mapping[str, str]
    """Prefix of the functions that add a sample's gradient to the buffer: kg_<prefix>_<format>_add_row."""
    update: Mapping[str, str]
    """Prefix of the update step: kg_step_<prefix>_<format>_update."""
    integer_gradients: bool = False
    """Whether gradient buffers of uint8 layers hold integers, of 8, 16 or 32 bits."""
    statistics: bool = False
    """Whether rows have running statistics."""
    bias_momentum: bool = False
    """Whether biases of uint8 layers have a buffer for their momentum."""
    update_biases: str | None = "update"
    """End of the name of the update step where only biases train; None: it needs the gradients of the weights."""
    fixed_errors: bool = False
    """Whether the scales of uint8 errors stay as they are."""
    selection: str = "proportional"
    """Default choice of the rows of sparse updates."""
    formats: tuple[frozenset[str], ...] = EVERYTHING
    """Number formats that the trained layers may have together."""

    def rate(self, configuration: str) -> float:
        """Return the learning rate of an experiment that gives none."""
        return self.rates.get(configuration, self.rates["uint8"])


def _both(name: str) -> dict[str, str]:
    return {"u8": name, "f32": name}


_SGD = {"u8": "sgd", "f32": "best"}  # recipe best adds float gradients just so

RECIPES: Mapping[str, Recipe] = {
    "best": Recipe(
        {"uint8": 5e-4}, "cosine", _both("best"), _both("best"), integer_gradients=True, update_biases="update_biases"
    ),
    "paper": Recipe(
        {"uint8": 1e-3}, "constant", _both("paper"), _both("paper"), statistics=True,
        update_biases=None, fixed_errors=True,
        selection="top_k",
    ),
    "sgd_m": Recipe(
        {"uint8": 1000.0, "float32": 0.03}, "cosine", _SGD, {"u8": "sgd_m", "f32": "sgd"},
        bias_momentum=True, formats=(UINT8, FLOAT32),
    ),
    "sgd_m_qas": Recipe(
        {"uint8": 0.05}, "cosine", _SGD, {"u8": "sgd_m_qas", "f32": "sgd"},
        bias_momentum=True, formats=(UINT8, UINT8 | FLOAT32),
    ),
}  # fmt: skip


def find_recipe(name: str) -> Recipe:
    """Return the recipe of this name."""
    if name not in RECIPES:
        message = f"unknown recipe: {name}"
        raise KilogradError(message, f"known: {', '.join(RECIPES)}")
    return RECIPES[name]


GRADIENT_BITS = 16
"""Width of integer gradients where nothing else is asked for."""


def check_recipe(name: str, dtypes: Iterable[str], parameters: str = "all", gradient_bits: int = GRADIENT_BITS) -> None:
    """Refuse a recipe that does not support what is asked: formats of trained layers, biases alone, widths."""
    formats = frozenset(dtypes)
    if gradient_bits != GRADIENT_BITS and not find_recipe(name).integer_gradients:
        message = f"recipe {name} has no gradients of {gradient_bits} bits: its gradients are float32"
        fitting = ", ".join(other for other, recipe in RECIPES.items() if recipe.integer_gradients)
        raise KilogradError(message, f"train.gradient_bits is a choice of train.recipe: {fitting}")
    if parameters == "biases" and find_recipe(name).update_biases is None:
        message = f"recipe {name} cannot train biases alone: their step depends on the gradients of the weights"
        fitting = ", ".join(other for other, recipe in RECIPES.items() if recipe.update_biases is not None)
        raise KilogradError(message, f"biases alone train with train.recipe: {fitting}")
    if formats in find_recipe(name).formats:
        return
    found = " and ".join(sorted(formats))
    message = f"recipe {name} does not support trained layers in {found}: {_REASONS[name]}"
    fitting = ", ".join(other for other, recipe in RECIPES.items() if formats in recipe.formats)
    raise KilogradError(message, f"layers in {found} train with train.recipe: {fitting}")


_REASONS = {
    "sgd_m": "its steps are in quanta of the weights in one and in real units in the other, so no rate fits both",
    "sgd_m_qas": "it scales the gradients of quantised weights, and there are none (without them it is sgd_m)",
}
