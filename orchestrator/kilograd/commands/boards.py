# SPDX-License-Identifier: Apache-2.0
"""The verb `boards`: what can be emulated."""

from __future__ import annotations

from kilograd.commands import _common
from kilograd.commands._options import Json


def boards(as_json: Json = False) -> None:
    """List the boards."""
    from kilograd.platforms import board

    loaded = [board.load_board(name) for name in board.boards()]
    rows = [
        {
            "name": item.name,
            "title": item.title,
            "core": item.core,
            "clock_hz": item.clock_hz,
            "ram_bytes": item.ram.size,
            "flash_bytes": item.flash.size,
        }
        for item in loaded
    ]
    _common.show_list("boards", rows, as_json=as_json)
