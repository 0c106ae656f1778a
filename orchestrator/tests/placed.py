# SPDX-License-Identifier: Apache-2.0
"""A program whose code or tensors lie in one memory or another, and what training on it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kilograd import measure
from kilograd.build import build_firmware
from kilograd.engines.builtin import BuiltinEngine
from kilograd.link.session import Session
from kilograd.lower import Lowered, Settings, lower
from kilograd.schedule import train
from kilograd.zoo import build_model
from workshop import digits, steps, workshop

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from kilograd.platforms.board import Board
    from kilograd.report import Phases

SAMPLES, BATCH = 32, 16


class Placed(NamedTuple):
    """The same program, built for a board and for one with its code or tensors elsewhere."""

    lowered: Lowered
    flash: Path
    ram: Path


def place(board: Board, other: Board, temporary: pytest.TempPathFactory) -> Placed:
    """Build a model twice."""
    shop = workshop(temporary)
    graph, settings = build_model("digits_cnn", seed=1, classes=10), Settings("uint8", "best", layers=2)
    folder = shop.root / f"placed-{board.name}"
    lowered = lower(graph, settings, digits(SAMPLES)[0].x, board.core, shop.kernels, folder)
    elves = (build_firmware([lowered.source], chip, folder / f"{chip.code}-{chip.tensors}") for chip in (board, other))
    return Placed(lowered, *elves)


def trained(lowered: Lowered, path: Path, board: Board) -> tuple[bytes, Phases, Phases]:
    """Train on digits; return the state, and cycles and instructions per sample."""
    with BuiltinEngine(path, board) as chip:
        session = Session(chip)
        session.reset_profile()
        chip.reset_counts()
        train(session, digits(SAMPLES)[0], lowered.program.input_format, steps(SAMPLES, BATCH), lambda _: None)
        profile, counts = session.profile(), chip.step_counts()
        cycles = measure.cycles_by_phase(lowered.program, profile.cycles, SAMPLES)
        instructions = measure.instructions_by_phase(lowered.program, counts, profile, None, SAMPLES)
        return session.read_state(), cycles, instructions
