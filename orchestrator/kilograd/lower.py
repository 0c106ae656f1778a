# SPDX-License-Identifier: Apache-2.0
"""From a float graph to C tables for one core: quantise, differentiate, plan, generate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilograd.differentiate import differentiate, select_layers
from kilograd.generate import generate
from kilograd.kernels import load_kernels
from kilograd.plan import plan
from kilograd.quantise import node_dtypes, quantise
from kilograd.recipes import check_recipe

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from kilograd.types import Graph, Plan, Program


@dataclass(frozen=True)
class Settings:
    """What decides a training program besides the model: number formats, update rule, trained layers."""

    configuration: str
    recipe: str
    layers: str | int | tuple[str, ...]


@dataclass(frozen=True)
class Lowered:
    """A program with its memory plan, and the C file that holds both."""

    program: Program
    plan: Plan
    source: Path


def check_settings(graph: Graph, settings: Settings) -> None:
    """Refuse at once what no program can be made of: unknown layers, or a recipe that does not support the formats."""
    trained = select_layers(graph, settings.layers)
    dtypes = node_dtypes(graph, settings.configuration)
    check_recipe(settings.recipe, {dtypes[name] for name in trained})


def make_program(
    graph: Graph,
    settings: Settings,
    calibration: NDArray[np.float32],
    core: str,
    kernels: Path,
    rehearsed: Graph | None = None,
) -> tuple[Program, Plan]:
    """Return the program for a core ("host", "cortex-m4", ...) and its plan; `kernels` is the library of kernels."""
    trained = select_layers(graph, settings.layers)
    quantised = quantise(graph, settings.configuration, calibration, trained, rehearsed)
    program = differentiate(quantised, trained, settings.recipe, load_kernels(core, kernels))
    return program, plan(program)


def lower(
    graph: Graph,
    settings: Settings,
    calibration: NDArray[np.float32],
    core: str,
    kernels: Path,
    out: Path,
    rehearsed: Graph | None = None,
) -> Lowered:
    """Return the program for a core, its plan, and its tables as a C file in `out`."""
    program, placed = make_program(graph, settings, calibration, core, kernels, rehearsed)
    return Lowered(program, placed, generate(program, placed, out))
