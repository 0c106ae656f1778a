# SPDX-License-Identifier: Apache-2.0
"""From a float graph to C tables for one core: quantise, differentiate, plan, generate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kilograd.differentiate import differentiate, select_layers
from kilograd.generate import generate
from kilograd.kernels import load_kernels
from kilograd.plan import plan
from kilograd.quantise import node_dtypes, quantise
from kilograd.recipes import GRADIENT_BITS, check_recipe
from kilograd.types import DENSE, Sparsity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from kilograd.types import Graph, Plan, Program, QuantisedGraph


@dataclass(frozen=True)
class Settings:
    """What decides a training program besides the model: number formats, update rule, trained layers."""

    configuration: str
    recipe: str
    layers: str | int | tuple[str, ...]
    formats: Mapping[str, str] = field(default_factory=dict)
    """Number formats of single layers."""
    parameters: str = "all"
    """What of a trained layer learns: "all", or "biases"."""
    gradient_bits: int = GRADIENT_BITS
    """Width of the gradients of uint8 layers in recipe best."""
    sparsity: Sparsity = DENSE
    kernels: str = "fast"
    """Which kernels: "fast", or "small": as fast as the scratch memory of the plain ones allows."""


@dataclass(frozen=True)
class Lowered:
    """A program with its memory plan, and the C file that holds both."""

    program: Program
    plan: Plan
    source: Path


def check_settings(graph: Graph, settings: Settings) -> None:
    """Refuse at once what no program can be made of: unknown layers, or a recipe that does not support the formats."""
    trained = select_layers(graph, settings.layers)
    dtypes = node_dtypes(graph, settings.configuration, settings.formats)
    check_recipe(settings.recipe, {dtypes[name] for name in trained}, settings.parameters, settings.gradient_bits)


def make_steps(
    graph: Graph,
    settings: Settings,
    calibration: NDArray[np.float32],
    core: str,
    kernels: Path,
    rehearsed: Graph | None = None,
) -> tuple[QuantisedGraph, frozenset[str], Program]:
    """Return the graph in its storage formats, the names of the layers that train, and the program for a core."""
    trained = select_layers(graph, settings.layers)
    moving = trained if settings.parameters == "all" else frozenset[str]()
    quantised = quantise(graph, settings.configuration, calibration, moving, rehearsed, settings.formats)
    program = differentiate(
        quantised,
        trained,
        settings.recipe,
        load_kernels(core, kernels, small=settings.kernels == "small"),
        parameters=settings.parameters,
        gradient_bits=settings.gradient_bits,
        sparsity=settings.sparsity,
    )
    return quantised, trained, program


def make_program(
    graph: Graph,
    settings: Settings,
    calibration: NDArray[np.float32],
    core: str,
    kernels: Path,
    rehearsed: Graph | None = None,
) -> tuple[Program, Plan]:
    """Return the program for a core ("host", "cortex-m4", ...) and its plan; `kernels` is the library of kernels."""
    program = make_steps(graph, settings, calibration, core, kernels, rehearsed)[2]
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
