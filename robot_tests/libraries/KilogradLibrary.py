# SPDX-License-Identifier: Apache-2.0
"""Keywords about boards that train: build firmware, run it on an engine, and speak the link with it."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from robot.api import SkipExecution
from robot.api.deco import keyword, library

from kilograd import __version__, flow, measure, paths, toolchain
from kilograd.build import build_firmware, build_twin
from kilograd.console import SilentProgress
from kilograd.engines import open_engine
from kilograd.engines.host import HostEngine
from kilograd.errors import KilogradError
from kilograd.experiment import load_experiment
from kilograd.gate.baseline import measured, path_of, read_baseline
from kilograd.gate.show import sentence
from kilograd.gate.verdict import judge
from kilograd.link import protocol
from kilograd.link.frames import Splitter
from kilograd.link.session import Session
from kilograd.material import load_material, teach
from kilograd.platforms.board import load_board
from kilograd.quantise import store_input
from kilograd.report import BoardReport
from kilograd.schedule import train

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilograd.engines.base import Engine
    from kilograd.link.session import Results
    from kilograd.lower import Lowered
    from kilograd.material import Material

MISBEHAVING = paths.share() / "firmware" / "tests" / "misbehaving_model.c"
DEEDS = ("behave", "loop forever", "stand still", "write to flash", "call nothing", "overflow the stack", "undefined")
"""What the misbehaving model does, in the order of its enum."""
T = TypeVar("T")
NEW_SAMPLES = 50
HANGS_AFTER_S = 1.0


@library(scope="GLOBAL")
class KilogradLibrary:
    """Lets one board learn; its firmware is built once, in a folder that later runs may use again."""

    def __init__(self) -> None:
        self._folder = Path()
        self._built: tuple[Lowered, Path] | None = None
        self._chip: Engine | None = None
        self._open: Session | None = None
        self._report: BoardReport | None = None
        self._trained = 0
        self._host_state = b""
        self._host_answers = b""

    @keyword
    def prepare_firmware(self, experiment: str, board: str, engine: str, folder: str) -> None:
        """Let the model of an experiment learn what it knows before, and build the board's firmware, once."""
        if self._built is not None:
            return
        with _told():
            self._experiment, self._board, self._engine = load_experiment(experiment, {}), load_board(board), engine
            self._folder = Path(folder).absolute() / self._experiment.name
            self._material = _taught(experiment, self._folder)
            place = self._folder / self._board.name
            lowered = flow.lower_for(self._material, self._board.core, place)
            self._built = lowered, build_firmware([lowered.source], self._board, place / "build")

    @keyword
    def start_board(self) -> None:
        """Boot the firmware."""
        self._start(self._firmware[1], 60.0)

    @keyword
    def stop_board(self) -> None:
        """End the run, if there is one."""
        if self._chip is not None:
            self._chip.close()
        self._chip = self._open = None

    @keyword
    def boot_line_should_name_model_and_version(self) -> None:
        """Check the firmware's first words."""
        model = self._material.graph.name
        expected, lines = f"kilograd {model} {__version__} ready", self._session.log
        if lines != [expected]:
            message = f"the firmware said {lines}, not {expected}"
            raise AssertionError(message)

    @keyword
    def train_on_samples(self, samples: int) -> None:
        """Train on so many samples at most, the first of the experiment's order, and measure."""
        session, (lowered, elf) = self._session, self._firmware
        session.reset_profile()
        self._running.reset_counts()
        self._trained = trained = self._train(session, lowered, samples)
        profile, counts = session.profile(), self._running.step_counts()
        ticks = self._running.ticks_per_instruction
        ram, flash = measure.memory_of(elf, self._board, profile.stack_peak)
        program = lowered.program
        self._report = BoardReport(
            self._board.name,
            self._engine,
            fits=True,
            ram=ram,
            flash=flash,
            cycles=None if ticks else measure.cycles_by_phase(program, profile.cycles, trained),
            layer_cycles=None if ticks else measure.cycles_by_layer(program, profile.cycles, trained),
            instructions=measure.instructions_by_phase(program, counts, profile, ticks, trained),
        )

    @keyword
    def train_as_the_experiment_does(self) -> None:
        """Train on all its samples, and measure: costs depend on data, as nothing is done for what is zero."""
        self.train_on_samples(self._experiment.train.steps)

    @keyword
    def loss_on_new_samples(self) -> float:
        """Return the mean loss on samples that are never trained on."""
        return float(self._answers(self._session, self._firmware[0]).losses.mean())

    @keyword
    def train_the_host_on_the_same_samples(self) -> None:
        """Train the host twin as the board was trained last."""
        with _told():
            lowered = flow.lower_for(self._material, "host", self._folder / "host")
            twin = build_twin([lowered.source], self._folder / "host" / "build")
        with HostEngine(twin) as engine:
            session = Session(engine)
            self._train(session, lowered, self._trained)
            self._host_state = session.read_state()
            self._host_answers = self._answers(session, lowered).logits.tobytes()

    @keyword
    def state(self) -> bytes:
        """Return everything that training changes."""
        return self._session.read_state()

    @keyword
    def state_should_equal_that_of_the_host(self) -> None:
        """Compare all bytes."""
        self.state_should_be(self._host_state)

    @keyword
    def state_should_be(self, expected: bytes) -> None:
        """Compare all bytes."""
        state = self.state()
        different = sum(a != b for a, b in zip(state, expected, strict=True))
        if different:
            message = f"{different} of {len(state)} bytes of the state are different"
            raise AssertionError(message)

    @keyword
    def answers_to_new_samples_should_equal_those_of_the_host(self) -> None:
        """Compare the scores of all classes."""
        if self._answers(self._session, self._firmware[0]).logits.tobytes() != self._host_answers:
            message = "the board scores new samples differently than the host"
            raise AssertionError(message)

    @keyword
    def ram_and_flash_should_be_below_their_limits(self) -> None:
        """Check what the firmware takes against what the board has, and what the experiment allows."""
        limits = self._experiment.limits.get(self._board.name)
        allowed = {"RAM": limits and limits.ram_bytes, "flash": limits and limits.flash_bytes}
        for name, memory in (("RAM", self._measured.ram), ("flash", self._measured.flash)):
            limit = min(filter(None, (memory.limit, allowed[name])))
            if not 0 < memory.total <= limit:
                message = f"{name}: {memory.total:,} of {limit:,} bytes"
                raise AssertionError(message)

    @keyword
    def stack_should_have_stayed_within_its_reserve(self) -> None:
        """Check the high-water mark that the firmware tells."""
        peak, reserve = self._measured.ram.stack or 0, self._board.stack_bytes
        if not 0 < peak < reserve:
            message = f"the stack was {peak} bytes deep, {reserve} are reserved"
            raise AssertionError(message)

    @keyword
    def counts(self) -> dict[str, int]:
        """Return cycles and instructions per sample, by phase and layer."""
        return dict(measured(self._measured, "").metrics)

    @keyword
    def counts_should_be(self, expected: dict[str, int]) -> None:
        """Compare all numbers; a counter that ticks beside instructions, QEMU's, may round them differently."""
        slack = 1 if self._running.ticks_per_instruction else 0
        now = self.counts()
        different = [name for name in expected if abs(now[name] - expected[name]) > slack]
        if different:
            lines = (f"{name} was {expected[name]:,} and is {now[name]:,}" for name in different)
            raise AssertionError("\n".join(lines))

    @keyword
    def counts_should_be_within_the_baseline(self, folder: str, tolerance_percent: float) -> None:
        """Compare with what is committed; skip where there is nothing to compare with."""
        path = path_of(Path(folder), self._experiment.name, self._board.name)
        with _told():
            old = read_baseline(path)
            now = measured(self._measured, toolchain.describe(toolchain.arm_compiler()))
        verdict = judge(self._experiment.name, now, old, (), tolerance_percent)
        if verdict.not_judged:
            raise SkipExecution(verdict.not_judged)
        if verdict.worse:
            raise AssertionError("\n".join(map(sentence, verdict.worse)))

    @keyword
    def send_a_damaged_training_request(self) -> None:
        """Send the frames of one training sample, with one bit of the last one changed on the way."""
        session, data = self._session, self._material.train
        x = store_input(data.x[:1], self._firmware[0].program.input_format)
        rows = x.reshape(1, -1).view(np.uint8)
        requests = list(protocol.samples(protocol.Kind.TRAIN, 0, session.hello, rows, data.y[:1]))
        wire = bytearray(requests[-1].wire)
        wire[len(wire) // 2] ^= 0x10
        self._running.write(bytes(wire))

    @keyword
    def answer_should_be_a_refusal(self) -> None:
        """Read the answer to the damaged request."""
        splitter, frames = Splitter(), list[bytes]()
        while not frames:
            frames = list(splitter.feed(self._running.read()))
        status = protocol.parse_answer(frames[0]).status
        if status != protocol.Status.FRAME:
            message = f"the firmware answered with status {status}, not {protocol.Status.FRAME} (damaged frame)"
            raise AssertionError(message)

    @keyword
    def report_of_firmware_that_does(self, deed: str) -> str:
        """Boot a firmware that does what it must not, and return what the engine says."""
        self.stop_board()
        with _told():
            elf = build_firmware([MISBEHAVING], self._board, self._folder / self._board.name / "misbehaving")
        self._start(elf, HANGS_AFTER_S)
        try:
            self._session.evaluate(np.zeros((1, 4), np.uint8), np.array([DEEDS.index(deed)]))
        except KilogradError as error:
            return f"{error.message}\n{error.hint}"
        message = f"the firmware did what it must not ({deed}), and nothing was reported"
        raise AssertionError(message)

    @property
    def _firmware(self) -> tuple[Lowered, Path]:
        return _there(self._built, "no firmware is built")

    @property
    def _running(self) -> Engine:
        return _there(self._chip, "no board is running")

    @property
    def _session(self) -> Session:
        return _there(self._open, "no board is running")

    @property
    def _measured(self) -> BoardReport:
        return _there(self._report, "nothing was trained")

    def _start(self, elf: Path, time_limit_s: float) -> None:
        self._report = None
        with _told():
            self._chip = open_engine(self._engine, elf, self._board, time_limit_s=time_limit_s)
            self._open = Session(self._chip)

    def _train(self, session: Session, lowered: Lowered, samples: int) -> int:
        """Return how many it were."""
        schedule = flow.schedule_for(self._experiment, self._material, most=samples)
        train(session, self._material.train, lowered.program.input_format, schedule, lambda _: None)
        return len(schedule.order)

    def _answers(self, session: Session, lowered: Lowered) -> Results:
        new, form = self._material.test, lowered.program.input_format
        return session.evaluate(store_input(new.x[:NEW_SAMPLES], form), new.y[:NEW_SAMPLES])


@cache
def _taught(experiment: str, folder: Path) -> Material:
    """Return the model as boards start with it; all boards of one process share it."""
    loaded, said = load_experiment(experiment, {}), SilentProgress()
    return teach(load_material(loaded, folder, said), loaded, folder, said)


def _there(thing: T | None, otherwise: str) -> T:
    if thing is None:
        raise AssertionError(otherwise)
    return thing


@contextmanager
def _told() -> Iterator[None]:
    """Let Robot show the way out, too."""
    try:
        yield
    except KilogradError as error:
        message = f"{error.message}\n{error.hint}"
        raise AssertionError(message) from error
