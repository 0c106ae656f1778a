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


def suggestions(
    graph: Graph, settings: Settings, calibration: NDArray[np.float32], board: Board, kernels: Path
) -> tuple[str, ...]:
    """Return changes after which the plan fits, the nearest first."""
    samples = calibration[:1]  # ranges do not matter for sizes

    def fits(changed: Settings, where: Board) -> bool:
        return plan_fits(make_program(graph, changed, samples, where.core, kernels)[1], where)

    return tuple(_tried(graph, settings, board, fits))


def plan_fits(plan: Plan, board: Board) -> bool:
    """Tell whether a plan leaves the code any room at all."""
    ram = plan.features + plan.trained + board.stack_bytes
    return ram < board.ram.size and plan.weights + plan.trained_image < board.flash.size


def _tried(graph: Graph, settings: Settings, board: Board, fits: Fits) -> Iterator[str]:
    if settings.configuration != "uint8" and fits(replace(settings, configuration="uint8"), board):
        yield 'train.configuration = "uint8"'
    weighted = sum(node.weight is not None for node in graph.nodes)
    now = weighted if settings.layers == "all" else settings.layers
    fewer = range(now - 1 if isinstance(now, int) else weighted, 0, -1)
    layers = next((n for n in fewer if fits(replace(settings, layers=n), board)), None)
    if layers is not None:
        yield f"train.layers = {layers} (only the last {layers})"
    larger = [name for name in boards() if name != board.name and fits(settings, load_board(name))]
    if larger:
        yield f"another board: {', '.join(larger)}"
