# SPDX-License-Identifier: Apache-2.0
"""The matrix of what must give the same bits: built-in models, number formats, recipes, sparse updates, boards."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from builds import CHIPS
from kilograd import graph as graphs
from kilograd import measure
from kilograd.bench_host import digits
from kilograd.lower import Settings, make_program
from kilograd.platforms.board import load_board
from kilograd.types import DENSE, Samples, Sparsity
from kilograd.zoo import build_model, models
from twins import SUPPORTED
from workshop import TESTED, Task, steps, unlabelled

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from kilograd.types import Graph
    from workshop import Workshop

SELECTIONS = {
    "dense": DENSE,
    "proportional": Sparsity(0.1, 0.6),
    "top_k": Sparsity(0.1, 0.6, "top_k"),
}
SHAPES = {"mbednet": (3, 16, 16), "mcunet_5fps": (3, 16, 16), "resnet8": (3, 16, 16)}
"""Of models that take maps of any size: smaller ones cost less, and have the same layers."""
RATES = {("uint8", "sgd_m"): 1e4, ("mixed", "sgd_m_qas"): 0.05, ("float32", "sgd_m"): 0.01}
BATCH = 4


@dataclass(frozen=True)
class Cell:
    """One training program on one board."""

    model: str
    rule: tuple[str, str]
    """Configuration and recipe."""
    selection: str
    board: str

    def __str__(self) -> str:
        return "-".join((self.model, *self.rule, self.selection, self.board))

    @property
    def work(self) -> float:
        """Return about how many thousand instructions a training sample costs: floats are software on some cores."""
        soft = load_board(self.board).core == "cortex-m0plus"
        per_mac = 0.02 if self.rule[0] == "uint8" else 0.5 if soft else 0.03
        return graphs.macs(graph_of(self.model)) * per_mac


FACTORS: tuple[Sequence[object], ...] = (models(), SUPPORTED, tuple(SELECTIONS), CHIPS)


def every_cell() -> list[Cell]:
    """Return the whole matrix."""
    return [Cell(*values) for values in itertools.product(models(), SUPPORTED, SELECTIONS, CHIPS)]


def covering_cells() -> list[Cell]:
    """Return cells in which each two values of different factors meet at least once: greedily, always the same."""
    left = set().union(*(_pairs(cell) for cell in every_cell()))
    chosen, cells = [], every_cell()
    while left:
        best = max(cells, key=lambda cell: len(_pairs(cell) & left))
        chosen.append(best)
        left -= _pairs(best)
    return chosen


def _pairs(cell: Cell) -> set[tuple[object, object]]:
    return set(itertools.combinations((cell.model, cell.rule, cell.selection, cell.board), 2))


@cache
def graph_of(model: str) -> Graph:
    """Return a built-in model."""
    return build_model(model, seed=1, input_shape=SHAPES.get(model))


def task_of(cell: Cell, shop: Workshop, count: int) -> Task | None:
    """Return the work of a cell, training as many layers as the board holds; None: it does not hold a single one."""
    graph = graph_of(cell.model)
    samples = digits(graph.shapes[graph.input])
    train, test = (Samples(samples.x[part], samples.y[part]) for part in (slice(count), slice(-TESTED, None)))
    if graph.loss == "elbo":
        train, test = unlabelled(train), unlabelled(test)
    for layers in _choices(graph):
        settings = Settings(*cell.rule, layers, sparsity=SELECTIONS[cell.selection])
        if _fits(graph, settings, train.x[:1], cell.board, shop):
            rate = RATES.get(cell.rule, 1e-3)
            return Task(graph, settings, train, test, steps(count, BATCH, rate=rate))
    return None


def _choices(graph: Graph) -> list[str | int]:
    weighted = sum(node.weight is not None for node in graph.nodes)
    return ["all", *(n for n in (weighted // 2, 3, 2, 1) if 0 < n < weighted)]


def _fits(graph: Graph, settings: Settings, x: np.ndarray, name: str, shop: Workshop) -> bool:
    """Tell whether a board holds a program, with some room for code and what is not planned."""
    board = load_board(name)
    program, plan = make_program(graph, settings, x, board.core, shop.kernels)
    report = measure.plan_report(program, plan, board, None)
    return report.ram.total < board.ram.size - 8192 and report.flash.total < board.flash.size - 65536
