# SPDX-License-Identifier: Apache-2.0
"""The session: training through it gives what the model's arithmetic says, and faults do not pass silently."""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilograd.engines.host import HostEngine
from kilograd.errors import KilogradError
from kilograd.link import frames, protocol
from kilograd.link.protocol import Kind
from kilograd.link.session import Session
from link.twin import CLASSES, INPUT_BYTES, SMALL_BUFFER, SMALL_PAYLOAD, STATE_BYTES, Model, build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

LARGE_BUFFER = 1 << 20


@pytest.fixture(scope="module", params=[SMALL_BUFFER, LARGE_BUFFER])
def twin(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the stand-in's twin with a buffer for a sixth of a sample, and for many samples."""
    executable = tmp_path_factory.mktemp("twin") / "twin"
    return build(executable, f"-DKG_LINK_BUFFER_BYTES={request.param}", "-O1")


@pytest.fixture
def engine(twin: Path) -> Iterator[HostEngine]:
    """Return a fresh twin."""
    with HostEngine(twin) as engine:
        yield engine


@pytest.fixture
def session(engine: HostEngine) -> Session:
    """Return a session with a fresh twin."""
    return Session(engine)


class Wire:
    """
    A serial line in front of an engine: one request at a time, and it loses or breaks what the test says.

    The fault hits the first request of a kind, or the first two (its repeat is the second): "request lost",
    "request broken", "answer lost", "answer broken", "answer late" (it arrives with the next one).
    """

    name = "wire"
    window = 1

    def __init__(self, engine: HostEngine, kind: Kind, fault: str, times: int = 1) -> None:
        self._engine = engine
        self._kind = kind
        self._planned = [fault] * times
        self._fault = ""
        self._late = b""

    def write(self, data: bytes) -> None:
        """Pass a request on, or do not."""
        hit = self._planned and frames.decode(data[1:-1])[0] == self._kind
        self._fault = self._planned.pop() if hit else ""
        if self._fault == "request broken":
            data = data[:3] + bytes([data[3] ^ 0x10]) + data[4:]
        if self._fault != "request lost":
            self._engine.write(data)

    def read(self) -> bytes:
        """Pass an answer on, or do not."""
        if self._fault == "request lost":
            raise TimeoutError
        data = b""
        while not data.endswith(frames.DELIMITER):
            data += self._engine.read()
        if self._fault == "answer broken":
            return data[:-5] + b"\xff" + data[-4:]
        if self._fault == "answer late":
            self._late = data
        if self._fault in {"answer lost", "answer late"}:
            raise TimeoutError
        data, self._late = self._late + data, b""
        return data


def samples(count: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images with runs of zeros and without, and labels."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (count, 1, 28, 28), dtype=np.uint8)
    x[::3, :, 5:20] = 0
    x[1::3] |= 1
    return x, rng.integers(0, CLASSES, count)


def refusal(action: Callable[[], object]) -> KilogradError:
    """Return the error of an action that must fail."""
    with pytest.raises(KilogradError) as caught:
        action()
    assert caught.value.hint
    return caught.value


def test_hello_says_what_runs(session: Session) -> None:
    """Callers size and name things from it."""
    hello = session.hello

    assert ("standin", 0xFEDCBA98) == (hello.model, hello.model_id)
    assert (INPUT_BYTES, STATE_BYTES, CLASSES, 3) == (
        hello.input_bytes,
        hello.state_bytes,
        hello.classes,
        hello.steps,
    )
    assert hello.max_payload in {SMALL_PAYLOAD, LARGE_BUFFER - 8}


def test_boot_line_is_in_the_log(session: Session) -> None:
    """What the firmware prints for people reaches people."""
    assert ["kilograd standin development ready"] == session.log


def test_training_gives_the_models_arithmetic(session: Session) -> None:
    """Every sample arrives whole, once and in order, through bursts and pieces."""
    x, labels = samples(300)
    model = Model()
    model.batch = 7
    expected = [model.train(image, int(label)) for image, label in zip(x, labels, strict=True)]
    session.configure(seed=1, planned_updates=0, batch=7, rate=0.1)
    results = session.train(x, labels)

    assert [loss for loss, _ in expected] == results.losses.tolist()
    assert [predicted for _, predicted in expected] == results.predicted.tolist()
    assert model.state() == session.read_state()


def test_evaluation_gives_logits_and_changes_nothing(session: Session) -> None:
    """Accuracy is measured between epochs, on the weights being trained."""
    x, labels = samples(70)
    before = session.read_state()
    results = session.evaluate(x, labels)
    expected = [Model().evaluate(image, int(label)) for image, label in zip(x, labels, strict=True)]
    right = [predicted == label for (_, predicted, _), label in zip(expected, labels, strict=True)]

    assert [logits for _, _, logits in expected] == results.logits.tolist()
    assert [loss for loss, _, _ in expected] == results.losses.tolist()
    assert sum(right) / 70 == results.accuracy
    assert before == session.read_state()


def test_float_samples_arrive_bit_for_bit(session: Session) -> None:
    """A float32 model takes four bytes per value, little-endian."""
    x = np.random.default_rng(1).normal(size=(9, 196)).astype(np.float32)
    in_bytes = x.astype("<f4").view(np.uint8)
    labels = np.zeros(9, np.int64)

    assert session.evaluate(in_bytes, labels).losses.tolist() == session.evaluate(x, labels).losses.tolist()
    assert [Model().evaluate(row, 0)[0] for row in in_bytes] == session.evaluate(x, labels).losses.tolist()


def test_no_samples_give_empty_results(session: Session) -> None:
    """An empty test split is no crash."""
    results = session.evaluate(np.empty((0, 28, 28), np.uint8), np.empty(0, np.int64))

    assert (0, (0, CLASSES), 0.0) == (len(results.losses), results.logits.shape, results.accuracy)


def test_sequence_wraps_in_a_long_training(session: Session) -> None:
    """After 65 536 requests the count starts again."""
    x, labels = samples(10)
    pieces = -(-INPUT_BYTES // min(session.hello.max_payload - 4, INPUT_BYTES))
    count = 66_000 // (pieces + 1)
    model = Model()
    for i in range(count):
        model.train(x[i % 10], int(labels[i % 10]))
    session.configure(1, 0, 1, 0.1)
    session.train(np.resize(x, (count, *x.shape[1:])), np.resize(labels, count))

    assert model.state() == session.read_state()


def test_progress_counts_samples(session: Session) -> None:
    """Progress bars move while an epoch runs, and end at its end."""
    x, labels = samples(200)
    seen: list[int] = []
    session.evaluate(x, labels, seen.append)

    assert sorted(seen) == seen
    assert seen[-1] == 200
    assert len(seen) > 5


def test_state_goes_back_and_forth(session: Session) -> None:
    """A checkpoint is restored whole, and the hash is over all of it."""
    state = np.random.default_rng(2).bytes(STATE_BYTES)
    session.write_state(state)

    assert state == session.read_state()
    assert hashlib.sha256(state).hexdigest()[:16] == session.state_hash()


def test_state_of_another_size_is_refused(session: Session) -> None:
    """A checkpoint of another model must not be written over this one."""
    error = refusal(lambda: session.write_state(b"short"))

    assert error.message == f"the state of standin has {STATE_BYTES} bytes, not 5"


def test_profile_reads_and_resets(session: Session) -> None:
    """Cycles of every step, and where the stack was."""
    before = session.profile()
    session.reset_profile()

    assert (0, (1, 0x1122334455667788, 3)) == (before.stack_peak, before.cycles)
    assert session.profile().cycles == (0, 0, 0)


def test_wrong_inputs_are_named(session: Session) -> None:
    """Shape, label and count mistakes are found before anything is sent."""
    x, labels = samples(4)
    size = refusal(lambda: session.train(x[:, :, :27], labels))
    label = refusal(lambda: session.train(x, np.array([0, 1, CLASSES, 0])))
    negative = refusal(lambda: session.train(x, np.array([0, -1, 0, 0])))
    count = refusal(lambda: session.train(x, labels[:3]))

    assert size.message == "a sample of uint8 (1, 27, 28) has 756 bytes, standin takes 784"
    assert label.message == "label 10 of sample 2 is no class of standin"
    assert negative.message == "label -1 of sample 1 is no class of standin"
    assert count.message == "4 samples came with labels of shape (3,)"
    assert Model().state() == session.read_state()


def test_refused_request_is_named_and_the_session_goes_on(session: Session) -> None:
    """Training before configure is refused; afterwards the same session works."""
    x, labels = samples(100)
    error = refusal(lambda: session.train(x, labels))
    session.configure(1, 0, 1, 0.1)

    assert "host refused train request" in error.message
    assert "configure" in error.hint
    assert len(session.train(x, labels).losses) == 100


def test_settings_beyond_32_bits_are_refused(session: Session) -> None:
    """A seed that would be cut off is a mistake."""
    error = refusal(lambda: session.configure(1 << 32, 0, 1, 0.1))

    assert "seed 4294967296" in error.message


def test_other_version_says_both(engine: HostEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old firmware on the board is the most likely mistake of all."""
    ours = protocol.VERSION
    monkeypatch.setattr(protocol, "VERSION", 77)
    error = refusal(lambda: Session(engine))

    assert error.message == f"the firmware speaks link version {ours}, this kilograd speaks version 77"
    assert "rebuild" in error.hint


class Replay:
    """An engine that answers with what the test has prepared."""

    name = "replay"
    window = 64

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)

    def write(self, data: bytes) -> None:
        """Ignore what is asked."""

    def read(self) -> bytes:
        """Give the next prepared answer; die after the last."""
        if not self._answers:
            message = "the firmware stopped: HardFault"
            raise KilogradError(message, "see the log")
        return self._answers.pop(0)


HELLO_ANSWER = frames.encode(struct.pack("<BbHB3x6I", 0x81, 0, 0, protocol.VERSION, 7, 4, 8, 2, 0, 64) + b"m")


def test_older_firmware_that_accepts_us_is_refused() -> None:
    """A firmware may accept a newer hello and still speak its own version."""
    answer = frames.encode(struct.pack("<BbHB", 0x81, 0, 0, 0))

    assert "link version 0" in refusal(lambda: Session(Replay(answer))).message


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"\0\x05\x87\0", "a damaged frame came back"),
        (frames.encode(b"\x80\xff\0\0"), "the firmware received a damaged frame"),
        (frames.encode(b"\x86\0\x02\0state"), "sequence number 2"),
        (frames.encode(b"\x86"), "the firmware received a damaged frame"),
    ],
)
def test_lost_answer_in_a_pipeline_ends_it(answer: bytes, reason: str) -> None:
    """With many requests under way nobody can say which one was lost, so nothing is repeated."""
    session = Session(Replay(HELLO_ANSWER, answer))
    error = refusal(session.read_state)

    assert error.message.startswith("the answer of replay to read request 1 was lost: ")
    assert reason in error.message


def test_unknown_status_is_shown() -> None:
    """A newer firmware may know more reasons."""
    session = Session(Replay(HELLO_ANSWER, frames.encode(b"\x86\xce\x01\0")))

    assert "(status -50)" in refusal(session.read_state).message


def test_last_words_of_a_dead_firmware_are_in_the_log() -> None:
    """A fault report has no delimiter behind it."""
    session = Session(Replay(HELLO_ANSWER, b"HardFault at 0x1234\nR0 = 7\n"))
    error = refusal(session.read_state)

    assert error.message == "the firmware stopped: HardFault"
    assert ["HardFault at 0x1234", "R0 = 7"] == session.log


LOST_ANSWERS = ["answer lost", "answer broken", "answer late"]
LOST_REQUESTS = ["request lost", "request broken"]


@pytest.mark.parametrize("fault", LOST_REQUESTS + LOST_ANSWERS)
@pytest.mark.parametrize("kind", [Kind.HELLO, Kind.CONFIGURE, Kind.INPUT, Kind.WRITE, Kind.RESET_PROFILE])
def test_wire_repeats_what_was_lost(engine: HostEngine, kind: Kind, fault: str) -> None:
    """A request that answers nothing but "done" may get lost in either direction, and no trace remains."""
    x, labels = samples(3)
    session = Session(Wire(engine, kind, fault))
    session.configure(1, 0, 1, 0.1)
    session.train(x, labels)
    trained = session.read_state()
    session.write_state(trained[::-1])
    session.reset_profile()
    model = Model()
    for image, label in zip(x, labels, strict=True):
        model.train(image, int(label))

    assert model.state() == trained
    assert trained[::-1] == session.read_state()
    assert (1, fault == "answer broken") == (session.repeated, session.damaged)


@pytest.mark.parametrize("fault", LOST_REQUESTS)
@pytest.mark.parametrize("kind", [Kind.TRAIN, Kind.READ])
def test_wire_repeats_a_request_that_never_arrived(engine: HostEngine, kind: Kind, fault: str) -> None:
    """The firmware has not seen it, so the repeat is the one that counts."""
    x, labels = samples(2)
    session = Session(Wire(engine, kind, fault))
    session.configure(1, 0, 1, 0.1)
    results = session.train(x, labels)
    model = Model()

    assert [model.train(x[i], int(labels[i]))[0] for i in range(2)] == results.losses.tolist()
    assert model.state() == session.read_state()
    assert session.repeated == 1


@pytest.mark.parametrize("fault", ["answer lost", "answer broken"])
def test_wire_never_trains_a_sample_twice(engine: HostEngine, fault: str) -> None:
    """The loss is gone with its answer, but the state is that of one step; the session can go on."""
    x, labels = samples(1)
    session = Session(Wire(engine, Kind.TRAIN, fault))
    session.configure(1, 0, 1, 0.1)
    error = refusal(lambda: session.train(x, labels))
    model = Model()
    model.train(x[0], int(labels[0]))

    assert "the firmware has carried the request out" in error.message
    assert model.state() == session.read_state()


def test_late_answer_is_as_good_as_one_in_time(engine: HostEngine) -> None:
    """It belongs to the request that was repeated; the refusal of the repeat is no news."""
    x, labels = samples(2)
    session = Session(Wire(engine, Kind.TRAIN, "answer late"))
    session.configure(1, 0, 1, 0.1)
    results = session.train(x, labels)
    model = Model()

    assert [model.train(x[i], int(labels[i]))[0] for i in range(2)] == results.losses.tolist()
    assert model.state() == session.read_state()


@pytest.mark.parametrize("fault", LOST_REQUESTS + LOST_ANSWERS)
def test_wire_gives_up_after_one_repeat(engine: HostEngine, fault: str) -> None:
    """A cable that loses everything must end the session, not hang it."""
    session = Session(Wire(engine, Kind.READ, fault, times=2))
    error = refusal(session.read_state)

    assert "was lost twice" in error.message
    assert session.repeated == 1
