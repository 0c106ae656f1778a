# SPDX-License-Identifier: Apache-2.0
"""Watches every access to RAM while a virtual chip trains: reads before writes, misaligned ones, the deepest stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilograd import elf as elf_file
from kilograd.engines.builtin import BuiltinEngine
from kilograd.link.session import Session
from kilograd.profile import prepare
from kilograd.schedule import train

if TYPE_CHECKING:
    from pathlib import Path

    from kilograd.console import Progress
    from kilograd.engines.builtin import Finding
    from kilograd.experiment import Experiment

ARENA = ".kg_features"
"""Feature maps and errors: nothing in it survives a sample."""


@dataclass(frozen=True)
class Checked:
    """What a minibatch has done to memory."""

    board: str
    samples: int
    findings: tuple[Finding, ...]
    stack_bytes: int
    stack_reserved: int
    stack_where: str

    @property
    def unwritten(self) -> tuple[Finding, ...]:
        """Return the reads of what nothing had written: defects, whatever was there."""
        return tuple(finding for finding in self.findings if finding.kind == "unwritten")


def check_memory(experiment: Experiment, *, out: Path, board: str, progress: Progress) -> Checked:
    """Train one minibatch on a virtual board that watches its memory; the arena and the free stack start unwritten."""
    ready = prepare(experiment, out, board, progress)
    samples = len(ready.schedule.order)
    with (
        BuiltinEngine(ready.elf, ready.board, time_limit_s=experiment.run.time_limit_s) as engine,
        progress.task(f"watching {ready.board.name}", samples) as task,
    ):
        session = Session(engine)
        engine.start_watch([elf_file.section_range(ready.elf, ARENA)])
        train(session, ready.samples, ready.lowered.program.input_format, ready.schedule, task.advance)
        seen = engine.watched()
    reserved = ready.board.stack_bytes
    return Checked(ready.board.name, samples, seen.findings, seen.stack_bytes, reserved, seen.stack_where)
