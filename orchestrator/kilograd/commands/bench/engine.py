# SPDX-License-Identifier: Apache-2.0
"""The verb `bench engine`: the speed of the virtual chip."""

from __future__ import annotations

from kilograd.commands import _common
from kilograd.commands._options import Board, Json


def engine(board: Board = "nrf52840", as_json: Json = False) -> None:
    """Measure how many instructions a second the virtual chip runs."""
    from kilograd import bench_engine, report

    result = bench_engine.bench(board)
    _common.show(report.to_json(result) if as_json else _common.pairs(result))
