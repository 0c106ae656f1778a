# SPDX-License-Identifier: Apache-2.0
"""Where a training step's cycles go on a virtual chip: by layer, by function, and by the calls that led there."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kilograd import elf as elf_file
from kilograd import flow, report
from kilograd.build import build_firmware
from kilograd.engines.builtin import BuiltinEngine
from kilograd.errors import KilogradError
from kilograd.link.session import Session
from kilograd.material import load_material, teach
from kilograd.platforms.places import as_run
from kilograd.schedule import train
from kilograd.types import PHASES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from kilograd.console import Progress
    from kilograd.engines.base import StepCount
    from kilograd.engines.builtin import Call, Ran
    from kilograd.experiment import Experiment
    from kilograd.lower import Lowered
    from kilograd.platforms.board import Board
    from kilograd.schedule import Schedule
    from kilograd.types import Program, Samples

TRACED_BLOCKS = 100_000
"""A trace keeps so many blocks, the last ones: some megabytes of text."""
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


@dataclass(frozen=True)
class Minibatch:
    """One minibatch of an experiment, and the firmware that will train it."""

    board: Board
    folder: Path
    lowered: Lowered
    elf: Path
    samples: Samples
    schedule: Schedule


def prepare(experiment: Experiment, out: Path, board: str, progress: Progress) -> Minibatch:
    """Build the firmware of an experiment for a virtual board."""
    chip = as_run(board, experiment.run)
    material = teach(load_material(experiment, out, progress), experiment, out, progress)
    folder = out / chip.name
    with progress.task(f"building for {chip.name}"):
        lowered = flow.lower_for(material, chip.core, folder)
        elf = build_firmware([lowered.source], chip, folder / "build")
    schedule = flow.schedule_for(experiment, material, most=experiment.train.batch)
    return Minibatch(chip, folder, lowered, elf, material.train, schedule)


def profile(experiment: Experiment, *, out: Path, board: str, progress: Progress, trace: Path | None = None) -> Profile:
    """
    Train one minibatch on a virtual board, and write its profile as collapsed stacks and for speedscope.

    Args:
        experiment: whose minibatch.
        out: folder for everything that is made.
        board: its name, or its folder.
        progress: is told what goes on.
        trace: a file for the last blocks that ran.

    """
    ready = prepare(experiment, out, board, progress)
    samples, program = len(ready.schedule.order), ready.lowered.program
    with (
        BuiltinEngine(ready.elf, ready.board, time_limit_s=experiment.run.time_limit_s) as engine,
        progress.task(f"profiling on {ready.board.name}", samples) as task,
    ):
        engine.start_profile()
        session = Session(engine)
        engine.reset_counts()
        engine.start_profile()
        if trace is not None:
            engine.start_trace(TRACED_BLOCKS)
        train(session, ready.samples, program.input_format, ready.schedule, task.advance)
        calls, counts = engine.profile(), engine.step_counts()
        if trace is not None:
            write_trace(engine.trace(), ready.elf, trace)
    files = (ready.folder / "profile.collapsed", ready.folder / "profile.speedscope.json")
    files[0].write_text(collapsed(calls), encoding="utf-8")
    title = f"{experiment.name} on {ready.board.name}"
    files[1].write_text(json.dumps(speedscope(calls, title)), encoding="utf-8")
    written = files if trace is None else (*files, trace)
    return Profile(ready.board.name, samples, functions(calls), tuple(_layers(program, counts)), written)


def write_trace(ran: Sequence[Ran], elf: Path, path: Path) -> None:
    """Write blocks as lines, the whole file or nothing: the cycles before, instructions, address, function."""
    known = sorted(elf_file.functions(elf), key=lambda symbol: symbol.address)
    starts = [symbol.address for symbol in known]

    def line(block: Ran) -> str:
        at = bisect_right(starts, block.address) - 1
        offset = block.address - starts[at]
        place = known[at].name + (f"+{offset:#x}" if offset else "")
        return f"{block.cycles:>12} {block.instructions:>4} {block.address:#010x} {place}\n"

    fresh = path.with_name(f"{path.name}.tmp")
    try:
        fresh.write_text("".join(map(line, ran)), encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise KilogradError(message, "choose another file for --trace") from error


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
