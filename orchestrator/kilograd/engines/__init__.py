# SPDX-License-Identifier: Apache-2.0
"""Ways to run a firmware. Every module but `base` is an engine and holds its class: host.py has HostEngine."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from kilograd import listing
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from pathlib import Path

    from kilograd.engines.base import Engine
    from kilograd.platforms.board import Board


def engine_names() -> tuple[str, ...]:
    """Return the names that `open_engine` knows."""
    return tuple(name for name in listing.names(__name__) if name != "base")


def open_engine(
    name: str, artefact: Path, board: Board | None, *, time_limit_s: float = 60.0, port: str | None = None
) -> Engine:
    """
    Start an engine with what was built for it; leave it (`with`) or close it to end the run.

    Args:
        name: of the engine.
        artefact: the ELF file, or the executable of the host twin.
        board: which chip to run it on; the host twin ignores it.
        time_limit_s: seconds of the chip's own time that one answer may take.
        port: serial port of a real board; default: the only one there is.

    """
    if name not in engine_names():
        message = f"unknown engine: {name}"
        raise KilogradError(message, f"known: {', '.join(engine_names())}")
    factory = getattr(importlib.import_module(f"{__name__}.{name}"), f"{name.title()}Engine")
    if not getattr(factory, "needs_board", True):
        return cast("Engine", factory(artefact))
    if board is None:
        message = f"the engine {name} runs on a board, and none was given"
        raise KilogradError(message, "choose one with --board, or use the engine host")
    options = {"port": port} if getattr(factory, "needs_port", False) else {}
    return cast("Engine", factory(artefact, board, time_limit_s=time_limit_s, **options))
