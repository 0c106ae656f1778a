# SPDX-License-Identifier: Apache-2.0
"""Where a training step's cycles go on a virtual chip: by layer, by function, and by the calls that led there."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kilograd import flow, report
from kilograd.build import build_firmware
from kilograd.engines.builtin import BuiltinEngine
from kilograd.link.session import Session
from kilograd.material import load_material, teach
from kilograd.platforms.board import load_board, with_code_in
from kilograd.schedule import train
from kilograd.types import PHASES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from kilograd.console import Progress
    from kilograd.engines.base import StepCount
    from kilograd.engines.builtin import Call
    from kilograd.experiment import Experiment
    from kilograd.types import Program

SPEEDSCOPE = "https://www.speedscope.app/file-format-schema.json"


@dataclass(frozen=True)
class Function:
    """What a function took itself, and together with all that it called."""

    function: str
    cycles: int
    with_called: int
    instructions: int
    calls: int


@dataclass(frozen=True)
class LayerCost:
    """What one step of the program took."""

    phase: str
    layer: str
    role: str
    cycles: int
    instructions: int


@dataclass(frozen=True)
class Profile:
    """A profile of one minibatch."""

    board: str
    samples: int
    functions: tuple[Function, ...]
    layers: tuple[LayerCost, ...]
    files: tuple[Path, ...]

    @property
    def cycles(self) -> int:
        """Return the cycles of all functions."""
        return sum(function.cycles for function in self.functions)


def profile(experiment: Experiment, *, out: Path, board: str, progress: Progress) -> Profile:
    """Train one minibatch on a virtual board, and write its profile as collapsed stacks and for speedscope."""
    chip = with_code_in(load_board(board), experiment.run.code)
    material = teach(load_material(experiment, out, progress), experiment, out, progress)
    folder = out / chip.name
    with progress.task(f"building for {chip.name}"):
        lowered = flow.lower_for(material, chip.core, folder)
        elf = build_firmware([lowered.source], chip, folder / "build")
    schedule = flow.schedule_for(experiment, material, most=experiment.train.batch)
    samples = len(schedule.order)
    with (
        BuiltinEngine(elf, chip, time_limit_s=experiment.run.time_limit_s) as engine,
        progress.task(f"profiling on {chip.name}", samples) as task,
    ):
        engine.start_profile()
        session = Session(engine)
        engine.reset_counts()
        engine.start_profile()
        train(session, material.train, lowered.program.input_format, schedule, task.advance)
        calls, counts = engine.profile(), engine.step_counts()
    files = (folder / "profile.collapsed", folder / "profile.speedscope.json")
    files[0].write_text(collapsed(calls), encoding="utf-8")
    files[1].write_text(json.dumps(speedscope(calls, f"{experiment.name} on {chip.name}")), encoding="utf-8")
    return Profile(chip.name, samples, functions(calls), tuple(_layers(lowered.program, counts)), files)


def functions(calls: Sequence[Call]) -> tuple[Function, ...]:
    """Return what each function took, the most expensive first."""
    own, instructions, count, whole = (Counter[str]() for _ in range(4))
    for call in calls:
        name = call.stack[-1]
        own[name] += call.cycles
        instructions[name] += call.instructions
        count[name] += call.calls
        for outer in set(call.stack):
            whole[outer] += call.cycles
    names = sorted(whole, key=lambda name: (-own[name], name))
    return tuple(Function(name, own[name], whole[name], instructions[name], count[name]) for name in names)


def collapsed(calls: Sequence[Call]) -> str:
    """Return a line for each stack: functions from the outermost, and the cycles of the innermost."""
    return "".join(f"{';'.join(call.stack)} {call.cycles}\n" for call in sorted(calls, key=lambda call: call.stack))


def speedscope(calls: Sequence[Call], name: str) -> dict[str, Any]:
    """Return the same as a file for speedscope.app."""
    ordered = sorted(calls, key=lambda call: call.stack)
    frames = sorted({function for call in ordered for function in call.stack})
    numbers = {function: number for number, function in enumerate(frames)}
    total = sum(call.cycles for call in ordered)
    return {
        "$schema": SPEEDSCOPE,
        "exporter": "kilograd",
        "name": name,
        "shared": {"frames": [{"name": function} for function in frames]},
        "profiles": [
            {
                "type": "sampled",
                "name": name,
                "unit": "none",
                "startValue": 0,
                "endValue": total,
                "samples": [[numbers[function] for function in call.stack] for call in ordered],
                "weights": [call.cycles for call in ordered],
            }
        ],
    }


def to_json(made: Profile) -> str:
    """Return the profile for machines."""
    return report.to_json(
        {
            "schema": 1,
            "board": made.board,
            "samples": made.samples,
            "cycles": made.cycles,
            "functions": [asdict(function) for function in made.functions],
            "layers": [asdict(layer) for layer in made.layers],
            "files": [str(file) for file in made.files],
        }
    )


def _layers(program: Program, counts: dict[int, StepCount]) -> Iterator[LayerCost]:
    number = 0
    for phase in PHASES:
        for step in program.phases[phase]:
            if number in counts:
                count = counts[number]
                yield LayerCost(phase, step.layer, step.role, count.cycles, count.instructions)
            number += 1
