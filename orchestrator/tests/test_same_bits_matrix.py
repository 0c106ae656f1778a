# SPDX-License-Identifier: Apache-2.0
"""
The same bits for every built-in model: a sample of the matrix in every run, all pairs or all of it on request.

    ./kilograd test orchestrator/tests/test_same_bits_matrix.py --matrix pairs --steps 100
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kilograd.platforms.board import load_board
from matrix import Cell, covering_cells, every_cell, task_of
from workshop import workshop

if TYPE_CHECKING:
    from workshop import Workshop

SAMPLE, MOST_WORK = 5, 16_000
SPARSE_TRANSPOSED = Cell("vae_baseline", ("uint8", "best"), "proportional", "imxrt1062")
"""Its first transposed convolution is no last layer, so that rows of it are left out."""


def cells(which: str) -> list[Cell]:
    """Return the cells to compare: "all", "pairs", or those of the pairs that cost least, each of another model."""
    if which == "all":
        return every_cell()
    pairs = covering_cells()
    if which == "pairs":
        return pairs
    found: dict[str, Cell] = {}
    for cell in sorted(pairs, key=lambda cell: cell.selection == "dense"):
        if cell.work < MOST_WORK:
            found.setdefault(cell.model, cell)
    return [*list(found.values())[:SAMPLE], SPARSE_TRANSPOSED]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each cell."""
    if "cell" in metafunc.fixturenames:
        metafunc.parametrize("cell", cells(metafunc.config.getoption("--matrix")), ids=str)


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Return the builds of this run."""
    return workshop(tmp_path_factory)


def test_a_built_in_model_has_the_same_bits_on_a_board(
    cell: Cell, shop: Workshop, request: pytest.FixtureRequest
) -> None:
    """All state and the logits of other samples, to the last bit, after something has been learned."""
    task = task_of(cell, shop, request.config.getoption("--steps"))
    if task is None:
        pytest.skip(f"{cell.model} does not fit the {cell.board}, even with one layer in training")
    before, expected = shop.on_host(task)

    on_board = shop.on_board(task, load_board(cell.board))

    assert expected.state != before.state
    assert expected.logits == on_board.logits
    assert expected.state == on_board.state


def test_the_pairs_cover_every_two_values() -> None:
    """Of models, rules, selections and boards, with far fewer cells than the whole matrix."""
    pairs, everything = covering_cells(), every_cell()
    columns = ("model", "rule", "selection", "board")

    for one in columns:
        for other in columns:

            def met(found: list[Cell], one: str = one, other: str = other) -> set[tuple[object, object]]:
                return {(getattr(cell, one), getattr(cell, other)) for cell in found}

            assert met(pairs) == met(everything)
    assert len(pairs) < len(everything) / 8
