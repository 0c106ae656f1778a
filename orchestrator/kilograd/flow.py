# SPDX-License-Identifier: Apache-2.0
"""The flow from a model and data to numbers: every step once, in one direction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kilograd import measure
from kilograd.autoencoder import Features, classify, few_labels, latent_means
from kilograd.build import TooLargeError, build_firmware, build_twin
from kilograd.engines import open_engine
from kilograd.engines.host import HostEngine
from kilograd.errors import KilogradError
from kilograd.generate import model_id
from kilograd.link.session import Session, hash_state
from kilograd.lower import Lowered, lower, make_program
from kilograd.material import Material, load_material, sized, teach
from kilograd.platforms.places import as_run
from kilograd.quantise import store_input
from kilograd.report import Accuracy, BoardReport, Bound, PlanReport, Report, does_not_fit
from kilograd.schedule import Schedule, accuracy, make_schedule, mean_loss, train
from kilograd.suggest import suggestions
from kilograd.toolchain import arm_compiler
from kilograd.types import Samples
from kilograd.workers import workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from kilograd.console import Progress
    from kilograd.experiment import Experiment
    from kilograd.platforms.board import Board
    from kilograd.types import Format

STEPS = (
    "load",
    "pretrain",
    "prune",
    "quantise",
    "differentiate",
    "plan",
    "generate",
    "build",
    "run",
    "measure",
    "report",
)
"""What happens, in this order."""

CHECKED_SAMPLES = 8  # test samples whose logits a board and the host must agree on, besides the trained state
BOARDS_AT_ONCE = 2


@dataclass(frozen=True)
class Reference:
    """What the host twin says: what the untrained model reaches, and the program they were found with."""

    lowered: Lowered
    twin: Path
    before_shift: float | None
    after_shift: float


@dataclass(frozen=True)
class Trained:
    """A trained firmware: its state, and the logits of a few test samples."""

    state: bytes
    state_hash: str
    logits: bytes
    kept: Mapping[str, float]
    """By sparse layer, the first one first: the share of rows that was kept."""


def run_experiment(
    experiment: Experiment, *, out: Path, boards: Sequence[str], engine: str, progress: Progress
) -> Report:
    """
    Do the whole flow: train on every board (or on the host), and measure.

    Args:
        experiment: what to do.
        out: folder for everything that is made.
        boards: names of boards, or folders of boards.
        engine: "builtin" runs each board's firmware on its virtual chip, "host" the twin on this machine.
        progress: is told what goes on.

    """
    chips = [] if engine == "host" else _load_boards(experiment, boards)
    material = load_material(experiment, out, progress)
    small = sized(material, experiment)
    if chips and not any(_may_fit(small, board) for board in chips):
        plans = (_plan(small, board, out / board.name)[1] for board in chips)
        return Report(tuple(_without_room(plan, engine) for plan in plans))
    material = teach(material, experiment, out, progress)
    reference = make_reference(material, out, progress)
    if engine == "host":
        return Report((_run_on_host(experiment, material, reference, out, progress),), material.pruned)
    schedule = schedule_for(experiment, material, most=experiment.train.steps)
    with workers(BOARDS_AT_ONCE, progress) as (pool, shown):
        twin = pool.submit(_train_twin, reference, material, schedule, shown)
        runs = [
            pool.submit(_run_on_board, experiment, material, reference, board, engine, schedule, out, shown)
            for board in chips
        ]
        expected, reports = twin.result(), [run.result() for run in runs]
    return Report(tuple(_compare(report, trained, expected) for report, trained in reports), material.pruned)


def plan_experiment(
    experiment: Experiment, *, out: Path, boards: Sequence[str], progress: Progress
) -> list[PlanReport]:
    """Return whether and how the model fits each board; nothing is trained."""
    chips = _load_boards(experiment, boards)
    material = sized(load_material(experiment, out, progress), experiment)
    reports = []
    for board in chips:
        with progress.task(f"planning for {board.name}"):
            reports.append(_plan(material, board, out / board.name)[1])
    return reports


def build_boards(experiment: Experiment, *, out: Path, progress: Progress) -> Iterator[tuple[Board, Path]]:
    """Build the firmware of each board of an experiment, ready to be trained; one that does not fit is an error."""
    chips = _load_boards(experiment, experiment.run.boards)
    material = teach(load_material(experiment, out, progress), experiment, out, progress)
    for board in chips:
        with progress.task(f"building for {board.name}"):
            _, plan, elf = _plan(material, board, out / board.name)
        if elf is None:
            raise does_not_fit(plan)
        yield board, elf


def make_reference(material: Material, out: Path, progress: Progress) -> Reference:
    """Build the host twin, and find the accuracies before anything is trained."""
    with progress.task("building the host twin"):
        lowered = lower_for(material, "host", out / "host")
        twin = build_twin([lowered.source], out / "host" / "build")
    form = lowered.program.input_format
    with progress.task("testing the untrained model", len(material.test)) as task, HostEngine(twin) as engine:
        after = score(material, Session(engine), material.test, form, task.advance)
    before = None if material.before is None else _before(material, material.before, lowered, twin, out, progress)
    return Reference(lowered, twin, before, after)


def _before(material: Material, samples: Samples, lowered: Lowered, twin: Path, out: Path, progress: Progress) -> float:
    """Return the accuracy after pretraining: of the model as it starts, or as it was before it forgot layers."""
    if material.rehearsed is not None:
        lowered = lower_for(replace(material, graph=material.rehearsed, rehearsed=None), "host", out / "pretrained")
        twin = build_twin([lowered.source], out / "pretrained" / "build")
    with progress.task("testing the pretrained model", len(samples)) as task, HostEngine(twin) as engine:
        return score(material, Session(engine), samples, lowered.program.input_format, task.advance)


def _load_boards(experiment: Experiment, names: Sequence[str]) -> list[Board]:
    """Return the boards, and make sure that there is a compiler for them before anything long begins."""
    run = experiment.run
    if run.clock_hz is not None and run.engine == "renode":
        message = "run.clock_hz: Renode runs a board at the clock in its .repl"
        raise KilogradError(message, "leave it out, or choose the engine builtin or hardware")
    chips = [as_run(name, run) for name in names]
    arm_compiler()
    return chips


def lower_for(material: Material, core: str, out: Path) -> Lowered:
    """Return the program of a material for a core, with its plan and its tables as a C file in `out`."""
    m = material
    return lower(m.graph, m.settings, m.calibration, core, m.kernels, out, m.rehearsed)


def schedule_for(experiment: Experiment, material: Material, *, most: int | None) -> Schedule:
    """Return the experiment's schedule, cut to `most` training samples."""
    how = experiment.train
    return make_schedule(len(material.train), how.epochs, how.batch, how.rate, how.seed, most=most, decay=how.decay)


def _may_fit(material: Material, board: Board) -> bool:
    """Tell whether a board's memories hold the plan: sizes do not depend on what the model has learned."""
    m = material
    program, plan = make_program(m.graph, m.settings, m.calibration[:1], board.core, m.kernels)
    return measure.plan_report(program, plan, board, None).fits


def _without_room(plan: PlanReport, engine: str) -> BoardReport:
    """Return the report of a board that nothing was run on: its plan says why."""
    return BoardReport(plan.board, engine, plan.fits, plan.ram, plan.flash, plan=plan)


def _plan(material: Material, board: Board, out: Path) -> tuple[Lowered, PlanReport, Path | None]:
    """Plan for a board and build its firmware: where it does not fit, there is none, but the change that would."""
    lowered = lower_for(material, board.core, out)
    plan = measure.plan_report(lowered.program, lowered.plan, board, None)
    elf = None
    if plan.fits:
        try:
            elf = build_firmware([lowered.source], board, out / "build")
        except TooLargeError as error:  # by its code, or by what else is not in the plan
            plan = measure.with_rest(plan, error.needed)
        else:
            memory = measure.memory_of(elf, board, board.stack_bytes)
            plan = measure.plan_report(lowered.program, lowered.plan, board, memory)
    if elf is None:
        needs = suggestions(material.graph, material.settings, material.calibration, board, material.kernels)
        plan = replace(plan, suggestions=needs)
    return lowered, plan, elf


def _train_twin(reference: Reference, material: Material, schedule: Schedule, progress: Progress) -> Trained:
    """Train the host twin: what boards with the same schedule must agree with."""
    lowered = reference.lowered
    with HostEngine(reference.twin) as engine, progress.task("training on host", len(schedule.order)) as task:
        session = Session(engine)
        train(session, material.train, lowered.program.input_format, schedule, task.advance)
        return _result(session, lowered, material)


def _result(session: Session, lowered: Lowered, material: Material) -> Trained:
    x = store_input(material.test.x[:CHECKED_SAMPLES], lowered.program.input_format)
    logits = session.evaluate(x, material.test.y[:CHECKED_SAMPLES]).logits.tobytes()
    state = session.read_state()
    kept = dict(zip(reversed(lowered.program.sparse), map(measure.share, reversed(session.kept())), strict=True))
    return Trained(state, hash_state(state), logits, kept)


def _run_on_board(
    experiment: Experiment,
    material: Material,
    reference: Reference,
    board: Board,
    engine: str,
    schedule: Schedule,
    out: Path,
    progress: Progress,
) -> tuple[BoardReport, Trained | None]:
    """Build, train and measure on one board; test with the host twin, which has the same bits and more speed."""
    with progress.task(f"building for {board.name}"):
        lowered, plan, elf = _plan(material, board, out / board.name)
    if elf is None:
        return _without_room(plan, engine), None
    samples, form = len(schedule.order), lowered.program.input_format
    with (
        open_engine(engine, elf, board, time_limit_s=experiment.run.time_limit_s, port=experiment.run.port) as chip,
        progress.task(f"training on {board.name}", samples) as task,
    ):
        session = Session(chip)
        _check_identity(session, lowered, board)
        session.reset_profile()
        chip.reset_counts()
        train(session, material.train, form, schedule, task.advance)
        profile, counts = session.profile(), chip.step_counts()
        trained = _result(session, lowered, material)
        ticks = chip.ticks_per_instruction
    cycles = measure.cycles_by_phase(lowered.program, profile.cycles, samples) if ticks is None else None
    instructions = measure.instructions_by_phase(lowered.program, counts, profile, ticks, samples)
    ram, flash = measure.memory_of(elf, board, profile.stack_peak)
    milliseconds = measure.time_ms(board, cycles)
    report = BoardReport(
        board.name, engine, plan.fits, ram, flash,
        **_tested(experiment, material, reference, trained.state, out / board.name, progress, board.name),
        cycles=cycles,
        layer_cycles=measure.cycles_by_layer(lowered.program, profile.cycles, samples) if ticks is None else None,
        instructions=instructions,
        time_ms=milliseconds,
        energy_mj=measure.energy_mj(board, milliseconds),
        steps=samples,
        kept=trained.kept,
        state_hash=trained.state_hash,
    )  # fmt: skip
    return report, trained


def _check_identity(session: Session, lowered: Lowered, board: Board) -> None:
    """Make sure that a board runs what was built for it, and not what was flashed before."""
    if session.hello.model_id != model_id(lowered.source):
        message = f"{board.name} runs another firmware: {session.hello.model}, id {session.hello.model_id:#010x}"
        raise KilogradError(message, "flash it first: kilograd flash, with the same experiment and options")


def score(
    material: Material, session: Session, samples: Samples, form: Format, advance: Callable[[int], None]
) -> float:
    """Return the share of right answers, or what an autoencoder has instead: its negative ELBO in nats."""
    test = accuracy if material.labels is None else mean_loss
    return test(session, samples, form, advance)


def _tested(
    experiment: Experiment,
    material: Material,
    reference: Reference,
    state: bytes,
    out: Path,
    progress: Progress,
    where: str,
) -> dict[str, Any]:
    """Test a trained state on the host twin: return the accuracy for the report, or what an autoencoder has instead."""
    form, classifiers = reference.lowered.program.input_format, {}
    with progress.task(f"testing {where}", len(material.test)) as task, HostEngine(reference.twin) as engine:
        session = Session(engine)
        session.write_state(state)
        trained = score(material, session, material.test, form, task.advance)
        if material.labels is not None and experiment.classifier.labels_per_class:
            features = latent_features(experiment, material, material.labels, session, form)
            classifiers = classify_features(experiment, material, features, out / "classifier", progress)
    if material.labels is None:
        return {"accuracy": Accuracy(reference.before_shift, reference.after_shift, trained)}
    return {"elbo": Bound(reference.before_shift, reference.after_shift, trained, classifiers)}


def latent_features(
    experiment: Experiment,
    material: Material,
    labels: tuple[NDArray[np.int64], NDArray[np.int64]],
    session: Session,
    form: Format,
) -> Features:
    """Return the latent means of as many labelled samples as classifiers want, and of all test samples."""
    most, seed = max(experiment.classifier.labels_per_class), experiment.train.seed
    known = few_labels(Samples(material.train.x, labels[0]), most, seed)
    sets = (known, Samples(material.test.x, labels[1]))
    return Features(*(Samples(latent_means(session, part.x, form, lambda _: None), part.y) for part in sets))


def classify_features(
    experiment: Experiment, material: Material, features: Features, out: Path, progress: Progress
) -> dict[int, float]:
    """Return the accuracy of the experiment's classifiers on an autoencoder's features, by labels per class."""
    how, seed = experiment.classifier, experiment.train.seed
    return {
        count: classify(features, count, how, seed, material.kernels, out, progress) for count in how.labels_per_class
    }


def _run_on_host(
    experiment: Experiment, material: Material, reference: Reference, out: Path, progress: Progress
) -> BoardReport:
    schedule = schedule_for(experiment, material, most=None)
    trained = _train_twin(reference, material, schedule, progress)
    ram, flash = measure.memory_of_twin(reference.lowered)
    return BoardReport(
        "host", "host", fits=True, ram=ram, flash=flash,
        **_tested(experiment, material, reference, trained.state, out / "host", progress, "host"),
        steps=len(schedule.order),
        kept=trained.kept,
        state_hash=trained.state_hash,
    )  # fmt: skip


def _compare(report: BoardReport, trained: Trained | None, expected: Trained) -> BoardReport:
    return report if trained is None else replace(report, same_bits=trained == expected)
