# SPDX-License-Identifier: Apache-2.0
"""A board as an experiment runs it: where code and tensors lie, and its clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.platforms.board import load_board, with_clock, with_code_in, with_tensors_in

if TYPE_CHECKING:
    from kilograd.experiment import Run
    from kilograd.platforms.board import Board


def as_run(name: str, run: Run) -> Board:
    """Return a board with the places and the clock of an experiment."""
    board = with_tensors_in(with_code_in(load_board(name), run.code), run.tensors)
    return with_clock(board, run.clock_hz)
