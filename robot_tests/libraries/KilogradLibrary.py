# SPDX-License-Identifier: Apache-2.0
"""Keywords about boards that train: build firmware, run it on an engine, and speak the link with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from robot.api.deco import keyword, library
from robot.libraries.BuiltIn import BuiltIn

from kilograd import __version__, paths
from kilograd.build import build_firmware, build_kernels, build_twin
from kilograd.console import SilentProgress
from kilograd.data import load_dataset
from kilograd.elf import memory_use
from kilograd.engines import open_engine
from kilograd.engines.host import HostEngine
from kilograd.errors import KilogradError
from kilograd.link import protocol
from kilograd.link.frames import Splitter
from kilograd.link.session import Session
from kilograd.lower import Lowered, Settings, lower
from kilograd.platforms.board import boards, load_board
from kilograd.pretrain import Pretraining, pretrain
from kilograd.quantise import store_input
from kilograd.schedule import make_schedule, train
from kilograd.zoo import build_model

if TYPE_CHECKING:
    from kilograd.engines.base import Engine
    from kilograd.link.session import Results
    from kilograd.platforms.board import Board
    from kilograd.types import Dataset, Graph

MISBEHAVING = paths.share() / "firmware" / "tests" / "misbehaving_model.c"
WRITE_TO_FLASH = 3  # of its enum
SETTINGS = Settings(configuration="uint8", recipe="best", layers="all")
BATCH, RATE, SEED = 16, 3e-3, 1
NEW_DIGITS = 50


@dataclass
class Running:
    """A firmware that runs, and what it was built from."""

    board: Board
    engine_name: str
    elf: Path
    lowered: Lowered
    engine: Engine
    session: Session


@library(scope="GLOBAL")
class KilogradLibrary:
    """Lets boards learn handwritten digits; every firmware is built once, in a folder beside Robot's output."""

    def __init__(self) -> None:
        self._folder = Path()
        self._kernels = Path()
        self._firmware: dict[str, tuple[Lowered, Path]] = {}
        self._running: Running | None = None
        self._trained = 0
        self._host_state = b""
        self._host_answers = b""

    @keyword
    def board_should_be_known(self, name: str) -> None:
        """Fail for what is neither a board nor "all"."""
        if name not in {"all", *boards()}:
            message = f"{name} is no board; there are all, {', '.join(boards())}"
            raise AssertionError(message)

    @keyword
    def prepare_a_model_that_knows_digits(self) -> None:
        """Pretrain on digits as they are; what boards learn are digits that a changed sensor sees."""
        self._folder = Path(BuiltIn().get_variable_value("${OUTPUT_DIR}")) / "firmware"
        self._kernels = build_kernels(self._folder / "kernels")
        fresh, known = build_model("digits_cnn", seed=SEED, classes=10), load_dataset("digits").train
        how = Pretraining("digits", epochs=10, rate=2e-3, seed=SEED)
        self._graph: Graph = pretrain(fresh, known, how, self._folder / "pretrain", self._kernels, SilentProgress())
        self._digits: Dataset = load_dataset("digits_shifted")

    @keyword
    def start_board(self, name: str, engine: str) -> None:
        """Boot the firmware of a board."""
        board = load_board(name)
        if name not in self._firmware:
            lowered = self._lower(board.core, name)
            self._firmware[name] = lowered, build_firmware([lowered.source], board, self._folder / name / "build")
        lowered, elf = self._firmware[name]
        chip = open_engine(engine, elf, board)
        self._trained = 0
        self._running = Running(board, engine, elf, lowered, chip, Session(chip))

    @keyword
    def stop_board(self) -> None:
        """End the run; what a board was is still known."""
        if self._running is not None:
            self._running.engine.close()

    @keyword
    def boot_line_should_name_model_and_version(self) -> None:
        """Check the firmware's first words."""
        lines = self._board.session.log
        expected = f"kilograd digits_cnn {__version__} ready"
        if lines != [expected]:
            message = f"the firmware said {lines}, not {expected}"
            raise AssertionError(message)

    @keyword
    def train_on_digits(self, samples: int) -> None:
        """Train on so many digits, the first of a seeded order."""
        self._train(self._board.session, self._board.lowered, samples)
        self._trained = samples

    @keyword
    def loss_on_new_digits(self) -> float:
        """Return the mean cross-entropy on digits that are never trained on."""
        return float(self._answers(self._board.session, self._board.lowered).losses.mean())

    @keyword
    def train_the_host_on_the_same_digits(self) -> None:
        """Train the host twin as the board was trained last."""
        lowered = self._lower("host", "host")
        with HostEngine(build_twin([lowered.source], self._folder / "host" / "build")) as twin:
            session = Session(twin)
            self._train(session, lowered, self._trained)
            self._host_state = session.read_state()
            self._host_answers = self._answers(session, lowered).logits.tobytes()

    @keyword
    def state(self) -> bytes:
        """Return everything that training changes."""
        return self._board.session.read_state()

    @keyword
    def state_should_equal_that_of_the_host(self) -> None:
        """Compare all bytes."""
        self.state_should_still_be(self._host_state)

    @keyword
    def state_should_still_be(self, expected: bytes) -> None:
        """Compare all bytes."""
        state = self.state()
        different = sum(a != b for a, b in zip(state, expected, strict=True))
        if different:
            message = f"{different} of {len(state)} bytes of the state are different"
            raise AssertionError(message)

    @keyword
    def answers_to_new_digits_should_equal_those_of_the_host(self) -> None:
        """Compare the scores of all classes."""
        if self._answers(self._board.session, self._board.lowered).logits.tobytes() != self._host_answers:
            message = "the board scores new digits differently than the host"
            raise AssertionError(message)

    @keyword
    def ram_and_flash_should_be_below_their_limits(self) -> None:
        """Check what the firmware takes against what the board has."""
        use = memory_use(self._board.elf, self._board.board)
        for name, memory in (("RAM", use.ram), ("flash", use.flash)):
            if not 0 < memory.total <= memory.limit:
                message = f"{name}: {memory.total} of {memory.limit} bytes"
                raise AssertionError(message)

    @keyword
    def stack_should_have_stayed_within_its_reserve(self) -> None:
        """Check the high-water mark that the firmware tells."""
        peak, reserve = self._board.session.profile().stack_peak, self._board.board.stack_bytes
        if not 0 < peak < reserve:
            message = f"the stack was {peak} bytes deep, {reserve} are reserved"
            raise AssertionError(message)

    @keyword
    def send_a_damaged_training_request(self) -> None:
        """Send the frames of one training sample, with one bit of the last one changed on the way."""
        session = self._board.session
        x = store_input(self._digits.train.x[:1], self._board.lowered.program.input_format)
        rows = x.reshape(1, -1).view(np.uint8)
        requests = list(protocol.samples(protocol.Kind.TRAIN, 0, session.hello, rows, self._digits.train.y[:1]))
        wire = bytearray(requests[-1].wire)
        wire[len(wire) // 2] ^= 0x10
        self._board.engine.write(bytes(wire))

    @keyword
    def answer_should_be_a_refusal(self) -> None:
        """Read the answer to the damaged request."""
        splitter, frames = Splitter(), list[bytes]()
        while not frames:
            frames = list(splitter.feed(self._board.engine.read()))
        status = protocol.parse_answer(frames[0]).status
        if status != protocol.Status.FRAME:
            message = f"the firmware answered with status {status}, not {protocol.Status.FRAME} (damaged frame)"
            raise AssertionError(message)

    @keyword
    def start_misbehaving_firmware(self) -> None:
        """Boot a firmware, on the same board and engine, that does what it must not."""
        was = self._board
        elf = build_firmware([MISBEHAVING], was.board, self._folder / was.board.name / "misbehaving")
        chip = open_engine(was.engine_name, elf, was.board, time_limit_s=1.0)
        self._running = Running(was.board, was.engine_name, elf, was.lowered, chip, Session(chip))

    @keyword
    def report_of_a_write_to_flash(self) -> str:
        """Let the firmware write to flash, and return what the engine says."""
        try:
            self._board.session.evaluate(np.zeros((1, 4), np.uint8), np.array([WRITE_TO_FLASH]))
        except KilogradError as error:
            return f"{error.message}\n{error.hint}"
        message = "the firmware wrote to flash, and nothing was reported"
        raise AssertionError(message)

    @property
    def _board(self) -> Running:
        if self._running is None:
            message = "no board is running"
            raise AssertionError(message)
        return self._running

    def _lower(self, core: str, name: str) -> Lowered:
        calibration = self._digits.train.x[:64]
        return lower(self._graph, SETTINGS, calibration, core, self._kernels, self._folder / name)

    def _train(self, session: Session, lowered: Lowered, samples: int) -> None:
        schedule = make_schedule(len(self._digits.train), 1, BATCH, RATE, SEED, most=samples)
        train(session, self._digits.train, lowered.program.input_format, schedule, lambda _: None)

    def _answers(self, session: Session, lowered: Lowered) -> Results:
        new = self._digits.test
        return session.evaluate(store_input(new.x[:NEW_DIGITS], lowered.program.input_format), new.y[:NEW_DIGITS])
