# SPDX-License-Identifier: Apache-2.0
"""Builds and trains programs for tests; one build folder for each target, so that only the tables compile anew."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from kilograd.build import build_firmware, build_kernels, build_twin
from kilograd.data import load_dataset
from kilograd.engines.builtin import BuiltinEngine
from kilograd.engines.host import HostEngine
from kilograd.link.session import Session
from kilograd.lower import Lowered, Settings, lower
from kilograd.measure import instructions_by_phase
from kilograd.quantise import store_input
from kilograd.schedule import Schedule, make_schedule, train
from kilograd.types import Samples

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from kilograd.platforms.board import Board
    from kilograd.report import Phases
    from kilograd.types import Graph

CALIBRATION = 64
TESTED = 6


@dataclass(frozen=True)
class Trained:
    """What training has left behind: the whole state, and the logits of some test samples."""

    state: bytes
    logits: bytes


@dataclass(frozen=True)
class Task:
    """What is trained, and on what."""

    graph: Graph
    settings: Settings
    train: Samples
    test: Samples
    schedule: Schedule


class Workshop:
    """The folder of all builds of a run of the tests."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def kernels(self) -> Path:
        """Return the library of kernels."""
        return build_kernels(self.root / "kernels")

    def on_host(self, task: Task) -> tuple[Trained, Trained]:
        """Train the host twin: return what was before, and what is after."""
        lowered = self._lower(task, "host", "host")
        with HostEngine(build_twin([lowered.source], self.root / "host" / "build")) as twin:
            session = Session(twin)
            before = _result(session, lowered, task)
            train(session, task.train, lowered.program.input_format, task.schedule, _ignore)
            return before, _result(session, lowered, task)

    def on_board(self, task: Task, board: Board) -> Trained:
        """Train a board's firmware on its virtual chip."""
        lowered = self._lower(task, board.core, board.name)
        elf = build_firmware([lowered.source], board, self.root / board.name / "build")
        with BuiltinEngine(elf, board) as chip:
            session = Session(chip)
            train(session, task.train, lowered.program.input_format, task.schedule, _ignore)
            return _result(session, lowered, task)

    def instructions(self, task: Task, board: Board) -> Phases:
        """Return what one sample of a training costs on a board."""
        lowered = self._lower(task, board.core, board.name)
        elf = build_firmware([lowered.source], board, self.root / board.name / "build")
        with BuiltinEngine(elf, board) as chip:
            session = Session(chip)
            chip.reset_counts()
            train(session, task.train, lowered.program.input_format, task.schedule, _ignore)
            counts, samples = chip.step_counts(), len(task.schedule.order)
            counted = instructions_by_phase(lowered.program, counts, session.profile(), None, samples)
        assert counted is not None
        return counted

    def _lower(self, task: Task, core: str, folder: str) -> Lowered:
        calibration = task.train.x[:CALIBRATION]
        return lower(task.graph, task.settings, calibration, core, self.kernels, self.root / folder)


_workshops: dict[Path, Workshop] = {}


def workshop(temporary: pytest.TempPathFactory) -> Workshop:
    """Return the workshop of this run of the tests."""
    root = temporary.getbasetemp() / "workshop"
    return _workshops.setdefault(root, Workshop(root))


def digits(samples: int, *, size: int = 8) -> tuple[Samples, Samples]:
    """Return so many real digits to train on and some to test; size 28 shows each pixel as 3x3, with a border."""
    known = load_dataset("digits")
    train, test = known.train, known.test
    if size != train.x.shape[-1]:
        train, test = (Samples(_enlarge(part.x), part.y) for part in (train, test))
    return Samples(train.x[:samples], train.y[:samples]), Samples(test.x[:TESTED], test.y[:TESTED])


def unlabelled(samples: Samples) -> Samples:
    """Return the same samples for a model that knows no classes."""
    return Samples(samples.x, np.zeros_like(samples.y))


def steps(samples: int, batch: int, *, rate: float = 1e-3, seed: int = 1) -> Schedule:
    """Return a schedule of so many training steps, each sample once."""
    return make_schedule(samples, epochs=1, batch=batch, rate=rate, seed=seed)


def _enlarge(x: np.ndarray) -> np.ndarray:
    return np.pad(x.repeat(3, axis=2).repeat(3, axis=3), ((0, 0), (0, 0), (2, 2), (2, 2)))


def _result(session: Session, lowered: Lowered, task: Task) -> Trained:
    x = store_input(task.test.x, lowered.program.input_format)
    logits = session.evaluate(x, task.test.y).logits
    return Trained(session.read_state(), logits.tobytes())


def _ignore(_: int) -> None:
    """Nobody watches."""
