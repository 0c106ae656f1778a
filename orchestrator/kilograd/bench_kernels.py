# SPDX-License-Identifier: Apache-2.0
"""
Measures what kernels and whole training steps cost on a virtual board: instructions, cycles, code, scratch memory.

Every case is a model that is lowered, built and trained as any other, on dense noise; its steps are counted one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from kilograd import bench_cases, graph, toolchain
from kilograd.build import TooLargeError, build_firmware, build_kernels
from kilograd.code_size import CodeSize
from kilograd.elf import memory_use
from kilograd.engines.builtin import BuiltinEngine
from kilograd.errors import KilogradError
from kilograd.link.session import Session
from kilograd.lower import Settings, lower
from kilograd.platforms.timing import load_timing
from kilograd.quantise import store_input
from kilograd.types import PHASES, Array, Function, Sparsity
from kilograd.zoo import build_model, models

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from kilograd.console import Progress
    from kilograd.elf import MemoryUse
    from kilograd.engines.base import StepCount
    from kilograd.lower import Lowered
    from kilograd.platforms.board import Board
    from kilograd.types import Graph, Program, Step, Value

BATCH = 48
"""Training samples that share the cost of one update."""
SAMPLES = 4
"""Training samples that are measured: one minibatch."""
WARM_UP = 6
"""Minibatches before it: scales of errors, ranges of weights and units of gradients settle in the first ones."""
CALIBRATION = 64
RATE = 1e-3
MOST_RAM = 4 << 20
"""Bytes of RAM that a board gets when a case does not fit it."""
LAYER_ROLES = {"forward": "forward", "weight gradient": "wgrad", "input gradient": "igrad", "update": "update"}
"""What a layer's kernels are called in the results, by the role of their step."""


@dataclass(frozen=True)
class Case:
    """A model to train, and the layers of it to report: none for a whole step."""

    name: str
    graph: Graph
    trained: str | int | tuple[str, ...]
    layers: Mapping[str, str]
    """Names in the results, by layer."""


@dataclass(frozen=True)
class Row:
    """
    What one kernel costs for each call, or one part of a training step for each sample.

    Updates count once for each minibatch; only in "step" they are shared by its samples.
    """

    case: str
    phase: str
    configuration: str
    macs: int
    instructions: int
    cycles: int
    code_bytes: int
    scratch_bytes: int
    kernel: str = ""
    """The C function that does the work, where it is one."""


@dataclass(frozen=True)
class Memory:
    """What a case takes of a board, in bytes."""

    case: str
    configuration: str
    features: int
    trained: int
    """Trained weights and their gradients."""
    features_bound: int
    """What any plan needs: the largest set of feature maps that live at once."""
    weights: int
    """Flash of weights, the first values of trained ones included."""
    code: int


@dataclass(frozen=True)
class Bench:
    """All rows of one board."""

    board: str
    compiler: str
    rows: tuple[Row, ...]
    memory: tuple[Memory, ...] = ()
    enlarged_ram: tuple[str, ...] = ()
    """What does not fit the board's RAM, and was measured as if it had up to 4 MB."""


@dataclass(frozen=True)
class _Measured:
    """A case that has run: its program, its code, and what one execution of each step took."""

    lowered: Lowered
    memory: MemoryUse
    code: CodeSize
    counts: Mapping[int, StepCount]
    enlarged: bool


def layer_cases(pattern: str = "*") -> list[Case]:
    """Return the single layers whose names match."""
    names = [name for name in bench_cases.LAYERS if fnmatchcase(name, pattern)]
    return [Case(name, bench_cases.layer_graph(name), bench_cases.TRAINED, {bench_cases.LAYER: name}) for name in names]


def step_cases(names: Iterable[str], pattern: str = "*", layers: str | int = "all") -> list[Case]:
    """Return the built-in models whose names match, to be trained: all their layers, or the last ones."""
    return [Case(name, build_model(name, seed=1), layers, {}) for name in names if fnmatchcase(name, pattern)]


def net_cases(names: Iterable[str], pattern: str = "*") -> list[Case]:
    """Return built-in models with every layer that has weights as a case of its own."""
    cases = []
    for name in names:
        net = build_model(name, seed=1)
        layers = {node.name: f"{name}/{node.name}" for node in net.nodes if node.weight is not None}
        chosen = {layer: case for layer, case in layers.items() if fnmatchcase(case, pattern)}
        if chosen:
            cases.append(Case(name, net, "all", chosen))
    return cases


def check_models(names: Iterable[str]) -> None:
    """Refuse names of models that kilograd does not bring."""
    for name in names:
        if name not in models():
            message = f"unknown model: {name}"
            raise KilogradError(message, f"built-in models: {', '.join(models())}")


def bench(
    cases: Sequence[Case],
    configurations: Sequence[str],
    board: Board,
    out: Path,
    progress: Progress,
    *,
    lambda_min: float = 1.0,
) -> Bench:
    """
    Train every case in every configuration on a virtual board, and return what its steps cost.

    Args:
        cases: what to train.
        configurations: number formats: uint8, mixed, float32.
        board: what to train on; its RAM grows for a case that does not fit.
        out: folder for the firmware; what is there already compiles no more.
        progress: is told what goes on.
        lambda_min: the share of rows that each sample trains (the largest share, too).

    """
    if not cases:
        known = ", ".join((*bench_cases.LAYERS, *bench_cases.NETS))
        message = "no case has such a name"
        raise KilogradError(message, f"cases: {known}; with --net NAME: NAME/LAYER")
    with progress.task("building the kernels"):
        kernels = build_kernels(out / "kernels")
    rows: list[Row] = []
    memory: list[Memory] = []
    enlarged: list[str] = []
    for case in cases:
        for configuration in configurations:
            settings = Settings(configuration, "best", case.trained, sparsity=Sparsity(lambda_min, lambda_min))
            with progress.task(f"measuring {case.name} in {configuration} on {board.name}"):
                measured = _measure(case, settings, board, kernels, out)
            rows += (
                _layer_rows(case, measured, configuration) if case.layers else _step_rows(case, measured, configuration)
            )
            memory += [] if case.layers else [_memory(case, measured, configuration)]
            enlarged += [f"{case.name} in {configuration}"] if measured.enlarged else []
    return Bench(board.name, toolchain.describe(toolchain.arm_compiler()), tuple(rows), tuple(memory), tuple(enlarged))


def usual_configurations(board: Board) -> tuple[str, ...]:
    """Return the configurations that a board's core has instructions for: float32 wants an FPU."""
    return ("uint8", "float32") if load_timing(board.core).core.fpu else ("uint8",)


def with_more_ram(board: Board) -> Board:
    """Return a board whose RAM reaches as far as it can: 4 MB, or to what lies behind it."""
    starts = [memory.base for memory in board.memories] + [peripheral.base for peripheral in board.peripherals]
    ends = [start for start in starts if start > board.ram.base]
    ram = replace(board.ram, size=min([MOST_RAM, *(end - board.ram.base for end in ends)]))
    memories = tuple(ram if memory == board.ram else memory for memory in board.memories)
    return replace(board, ram=ram, memories=memories)


def noise(case: Graph, samples: int) -> NDArray[np.float32]:
    """Return dense samples of a model: uniform noise in [-1, 1], the same in every run."""
    rng = np.random.default_rng([*case.name.encode(), samples])
    return rng.uniform(-1, 1, (samples, *case.shapes[case.input])).astype(np.float32)


def _measure(case: Case, settings: Settings, board: Board, kernels: Path, out: Path) -> _Measured:
    """Build and train a case, and return what its steps took once scales have settled."""
    folder = out / board.name
    lowered = lower(case.graph, settings, noise(case.graph, CALIBRATION), board.core, kernels, folder)
    chip = board
    try:
        elf = build_firmware([lowered.source], board, folder / "build")
    except TooLargeError:
        chip = with_more_ram(board)
        elf = build_firmware([lowered.source], chip, folder / "build-enlarged")
    x = store_input(noise(case.graph, SAMPLES), lowered.program.input_format)
    labels = np.arange(SAMPLES) % lowered.program.classes
    with BuiltinEngine(elf, chip) as engine:
        session = Session(engine)
        session.configure(1, 0, SAMPLES, RATE)
        for _ in range(WARM_UP):
            session.train(x, labels)
        engine.reset_counts()
        session.train(x, labels)
        return _Measured(lowered, memory_use(elf, chip), CodeSize(elf), engine.step_counts(), chip is not board)


def _memory(case: Case, measured: _Measured, configuration: str) -> Memory:
    ram, flash = measured.memory.ram, measured.memory.flash
    bound = measured.lowered.plan.features_bound
    return Memory(case.name, configuration, ram.features, ram.trained, bound, flash.weights, flash.code)


def _steps(program: Program) -> Iterator[tuple[int, str, Step]]:
    """Give number, phase and entry of every step."""
    numbered = enumerate((phase, step) for phase in PHASES for step in program.phases[phase])
    return ((number, phase, step) for number, (phase, step) in numbered)


def _layer_rows(case: Case, measured: _Measured, configuration: str) -> list[Row]:
    """Return the rows of single layers: one for each kernel, and their gradients together."""
    rows: list[Row] = []
    for layer, name in case.layers.items():
        own = [step for step in _steps(measured.lowered.program) if step[2].layer == layer]
        macs = layer_macs(case.graph, layer)
        parts = {LAYER_ROLES[step.role]: (number, step) for number, _, step in own if step.role in LAYER_ROLES}
        groups = {phase: [part] for phase, part in parts.items()}
        if gradients := [part for phase, part in parts.items() if phase in {"wgrad", "igrad"}]:
            groups["backward"] = gradients
        for phase in ("forward", "wgrad", "igrad", "backward", "update"):
            if phase in groups:
                work = 0 if phase == "update" else macs * len(groups[phase])
                rows.append(_row(measured, name, phase, configuration, work, groups[phase]))
    return rows


def _step_rows(case: Case, measured: _Measured, configuration: str) -> list[Row]:
    """Return the rows of a whole training step: its phases, the gradients and the selection in the backward pass."""
    steps = list(_steps(measured.lowered.program))
    macs = {node.name: layer_macs(case.graph, node.name) for node in case.graph.nodes if node.weight is not None}

    def rows(phase: str, chosen: list[tuple[int, Step]]) -> Row:
        weighted = [step for _, step in chosen if step.role in {"forward", "weight gradient", "input gradient"}]
        work = sum(macs.get(step.layer, 0) for step in weighted)
        return _row(measured, case.name, phase, configuration, work, chosen)

    made = [
        rows("forward", [(number, step) for number, phase, step in steps if phase == "forward"]),
        rows("wgrad", [(number, step) for number, _, step in steps if step.role == "weight gradient"]),
        rows("igrad", [(number, step) for number, _, step in steps if step.role == "input gradient"]),
        rows("selection", [(number, step) for number, _, step in steps if step.role == "selection"]),
        rows("backward", [(number, step) for number, phase, step in steps if phase == "backward"]),
        rows("update", [(number, step) for number, phase, step in steps if phase == "update"]),
    ]
    whole = rows("step", [(number, step) for number, _, step in steps])
    forward, backward, update = made[0], made[4], made[5]
    step = replace(
        whole,
        instructions=forward.instructions + backward.instructions + round(update.instructions / BATCH),
        cycles=forward.cycles + backward.cycles + round(update.cycles / BATCH),
    )
    return [row for row in (*made, step) if row.instructions]


def _row(
    measured: _Measured, case: str, phase: str, configuration: str, macs: int, steps: Sequence[tuple[int, Step]]
) -> Row:
    """Return the sum of some steps, each as it costs for one execution."""
    counts = [measured.counts[number] for number, _ in steps if number in measured.counts]
    functions = sorted({name for _, step in steps for name in (step.function, *_functions(step.args.values))})
    kernels = [value.name for _, step in steps if isinstance(value := step.args.values.get("kernel"), Function)]
    scratch = max((_scratch_bytes(measured.lowered.program, step) for _, step in steps), default=0)
    return Row(
        case,
        phase,
        configuration,
        macs,
        round(sum(count.instructions / count.runs for count in counts)),
        round(sum(count.cycles / count.runs for count in counts)),
        measured.code.of(*functions),
        scratch,
        kernels[0] if len(steps) == 1 and kernels else steps[0][1].function if len(steps) == 1 else "",
    )


def _functions(values: Mapping[str, Value]) -> Iterator[str]:
    """Give the functions that the arguments of a step name."""
    for value in values.values():
        if isinstance(value, Function):
            yield value.name
        elif isinstance(value, Mapping):
            yield from _functions(value)


def _scratch_bytes(program: Program, step: Step) -> int:
    """Return the bytes of the arena that a step has for itself."""
    own = [step.args.values.get(name) for name in ("scratch", "row")]
    return sum(program.buffers[value.name].bytes for value in own if isinstance(value, Array))


def layer_macs(net: Graph, layer: str) -> int:
    """Count the multiply-accumulates of one layer, padded taps included; each of its gradients has as many."""
    return graph.macs(replace(net, nodes=tuple(node for node in net.nodes if node.name == layer)))
