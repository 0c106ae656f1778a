# SPDX-License-Identifier: Apache-2.0
"""Writes a core's timing table into the cycle counter for Renode: `python -m kilograd.platforms.renode_cycles`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd import paths
from kilograd.errors import KilogradError
from kilograd.platforms.timing import DEFAULT, Cost, Row, load_timing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kilograd.platforms.timing import Timing

CORE = "cortex-m0plus"
BEGIN, END = "        // <tables>\n", "        // </tables>\n"
COUNTED = {"cycles", "per_register", "taken", "source"}
"""What of a cost the counter knows: no result is waited for, nothing pairs or overlaps."""


def counter() -> Path:
    """Return the source of the counter."""
    return paths.share() / "emulation" / "renode" / "CycleCounter.cs"


def with_tables(text: str, core: str = CORE) -> str:
    """Return the counter's source with the tables of a core."""
    timing = load_timing(core)
    _check(timing, core)
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    tables = [
        f"        private static readonly Row Default = {_row(Row(0, 0, 0, 0, DEFAULT, ()), timing)};\n",
        _table("Halfwords", timing.halfword, timing),
        _table("Words", timing.word, timing),
    ]
    return head + BEGIN + "\n".join(tables) + END + tail


def _check(timing: Timing, core: str) -> None:
    costs = {DEFAULT: timing.core.default, **timing.core.costs}
    beyond = [name for name, cost in costs.items() if cost.model_fields_set - COUNTED]
    if beyond or timing.core.fetch.model_fields_set:
        message = f"the cycle counter for Renode cannot time {core}: {', '.join(beyond) or 'fetch'} asks for a pipeline"
        raise KilogradError(message, "the builtin engine counts its cycles")


def _table(name: str, rows: Sequence[Row], timing: Timing) -> str:
    wanted = [row for row in rows if row.kind not in timing.core.missing and not timing.kinds[row.kind].fpu]
    if name == "Words":  # a first match that costs what the default costs may still shadow a later row: keep the order
        wanted = _without_idle_tail(wanted, timing)
    lines = "".join(f"            {_row(row, timing)}, // {row.kind}\n" for row in wanted)
    return f"        private static readonly Row[] {name} =\n        {{\n{lines}        }};\n"


def _without_idle_tail(rows: list[Row], timing: Timing) -> list[Row]:
    while rows and timing.cost(rows[-1].kind) == timing.core.default:
        rows = rows[:-1]
    return rows


def _row(row: Row, timing: Timing) -> str:
    cost: Cost = timing.cost(row.kind)
    code = ", ".join(f"{number:#x}" for number in (row.mask, row.value, row.list))
    return f"new Row({code}, {cost.cycles}, {cost.per_register}, {cost.taken})"


if __name__ == "__main__":
    counter().write_text(with_tables(counter().read_text(encoding="utf-8")), encoding="utf-8")
