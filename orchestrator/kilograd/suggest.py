# SPDX-License-Identifier: Apache-2.0
"""What would fit, where a model does not: the nearest changes, each one tried by planning it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kilograd.lower import Settings, make_program
from kilograd.platforms.board import boards, load_board

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from kilograd.platforms.board import Board
    from kilograd.types import Graph, Plan

    Fits = Callable[[Settings, Board], bool]


# What comes to every plan: the link's buffers and the tables in RAM (1.4 KB measured), code and constants (26 KB).
REST_BYTES = 2 << 10
CODE_BYTES = 40 << 10


def suggestions(
    graph: Graph, settings: Settings, calibration: NDArray[np.float32], board: Board, kernels: Path
) -> tuple[str, ...]:
    """Return changes after which the plan fits, the nearest first."""
    samples = calibration[:1]  # ranges do not matter for sizes

    def fits(changed: Settings, where: Board) -> bool:
        return plan_fits(make_program(graph, changed, samples, where.core, kernels)[1], where)

    return tuple(_tried(graph, settings, board, fits))


def plan_fits(plan: Plan, board: Board) -> bool:
    """Tell whether a plan leaves room for what it does not count."""
    beside = board.tensor_memory != board.ram
    ram = (0 if beside else plan.features) + plan.trained + board.stack_bytes + REST_BYTES
    if beside and plan.features > board.tensor_memory.size:
        return False
    return ram <= board.ram.size and plan.weights + plan.trained_image + CODE_BYTES <= board.flash.size


def _tried(graph: Graph, settings: Settings, board: Board, fits: Fits) -> Iterator[str]:
    smaller = next((changed for changed in _smaller(settings) if fits(changed, board)), None)
    if smaller is not None:
        changes = {key: value for key, value in vars(smaller).items() if value != getattr(settings, key)}
        yield " and ".join(f'{_place(key)}.{key} = "{value}"' for key, value in changes.items())
    weighted = sum(node.weight is not None for node in graph.nodes)
    now = weighted if settings.layers == "all" else settings.layers
    fewer = range(now - 1 if isinstance(now, int) else weighted, 0, -1)
    layers = next((n for n in fewer if fits(replace(settings, layers=n), board)), None)
    if layers is not None:
        yield f"train.layers = {layers} (only the last {layers})"
    larger = [name for name in boards() if name != board.name and fits(settings, load_board(name))]
    if larger:
        yield f"another board: {', '.join(larger)}"


def _place(key: str) -> str:
    return "run" if key == "kernels" else "train"


def _smaller(settings: Settings) -> Iterator[Settings]:
    """Yield smaller settings, the nearest first: less scratch memory, gradients in 16 bits, everything in 8 bits."""
    for configuration in (settings.configuration, "uint8"):
        for recipe in (settings.recipe, "best"):
            for kernels in (settings.kernels, "small"):
                changed = replace(settings, configuration=configuration, recipe=recipe, kernels=kernels)
                if changed != settings:
                    yield changed
