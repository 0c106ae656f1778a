# SPDX-License-Identifier: Apache-2.0
"""The firmware's end of the link, spoken to frame by frame: order, limits, damage."""

from __future__ import annotations

import math
import random
import re
import struct
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kilograd import paths
from kilograd.link import protocol
from kilograd.link.protocol import Kind, Status
from link.twin import (
    CLASSES,
    INPUT_BYTES,
    SMALL_BUFFER,
    SMALL_PAYLOAD,
    STATE_BYTES,
    Model,
    build,
    frame,
    intact_frames,
    talk,
)

if TYPE_CHECKING:
    from pathlib import Path

VERSION = bytes([protocol.VERSION])
HELLO = frame(Kind.HELLO, 0, VERSION)
CONFIGURE = struct.pack("<IIIfI", 7, 0, 2, 0.5, 1)
FIRST_STATE = frame(Kind.READ, 1, struct.pack("<II", 0, SMALL_PAYLOAD))
RANGES = {Kind.READ: STATE_BYTES, Kind.WRITE: STATE_BYTES, Kind.INPUT: INPUT_BYTES, Kind.PROFILE: 3}
RANGES[Kind.OUTPUT] = 4 * CLASSES


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the stand-in's twin with the smallest buffer that the link allows."""
    executable = tmp_path_factory.mktemp("twin") / "twin"
    return build(executable, f"-DKG_LINK_BUFFER_BYTES={SMALL_BUFFER}", "-O1")


@pytest.fixture(scope="module")
def checked_twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same twin, built to stop at any access outside its arrays and any undefined operation."""
    executable = tmp_path_factory.mktemp("checked") / "twin"
    sanitizers = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    asserts = ("-DKG_ASSERT=assert", "-include", "assert.h")
    return build(executable, f"-DKG_LINK_BUFFER_BYTES={SMALL_BUFFER}", "-O1", *sanitizers, *asserts)


def whole_state(first_sequence: int) -> bytes:
    """Return the requests that greet and read the state in the pieces of the small buffer."""
    stream = frame(Kind.HELLO, first_sequence, VERSION)
    for count, offset in enumerate(range(0, STATE_BYTES, SMALL_PAYLOAD), start=1):
        size = min(SMALL_PAYLOAD, STATE_BYTES - offset)
        stream += frame(Kind.READ, first_sequence + count, struct.pack("<II", offset, size))
    return stream


def statuses(twin: Path, stream: bytes) -> list[int]:
    """Return the statuses of the answers to a stream."""
    return [answer.status for answer in talk(twin, stream)]


def ask(twin: Path, kind: int, payload: bytes) -> tuple[int, bytes]:
    """Return status and payload of the answer to one request in turn."""
    answer = talk(twin, HELLO + frame(kind, 1, payload))[1]
    assert (kind | 0x80, 1) == (answer.kind, answer.sequence)
    return answer.status, answer.payload


@pytest.mark.parametrize(
    ("header", "prefix", "ours"),
    [("runtime/link.h", "KG_LINK_", Kind), ("include/kilograd/types.h", "KG_", Status)],
)
def test_python_knows_the_numbers_of_the_header(header: str, prefix: str, ours: type[Kind | Status]) -> None:
    """Both ends must mean the same request and the same status by one number."""
    text = (paths.share() / "firmware" / header).read_text(encoding="utf-8")
    pairs = re.findall(rf"^ +{prefix}(?:ERROR_)?(\w+) = (-?\d+),", text, re.MULTILINE)

    assert {name: int(number) for name, number in pairs} == {member.name: member.value for member in ours}


def test_python_speaks_the_version_of_the_header() -> None:
    """A change of the protocol must change both ends."""
    text = (paths.share() / "firmware" / "runtime" / "link.h").read_text(encoding="utf-8")

    assert f"#define KG_LINK_VERSION {protocol.VERSION}\n" in text


def test_boot_line_names_the_model(twin: Path) -> None:
    """People who open the serial port see what runs."""
    done = subprocess.run([twin], input=b"", capture_output=True, check=True)

    assert done.stdout == b"kilograd standin development ready\n"


def test_hello_describes_the_model(twin: Path) -> None:
    """The session sizes everything from this answer."""
    (answer,) = talk(twin, frame(Kind.HELLO, 0xFFFF, VERSION))
    expected = struct.pack("<B3x6I", protocol.VERSION, 0xFEDCBA98, INPUT_BYTES, STATE_BYTES, CLASSES, 3, SMALL_PAYLOAD)

    assert (0x81, Status.OK, 0xFFFF, expected + b"standin") == answer


def test_other_version_is_named_and_not_greeted(twin: Path) -> None:
    """A peer of another version learns ours, and no request of it runs."""
    hello, after = talk(twin, frame(Kind.HELLO, 5, b"\xfflater") + frame(Kind.RESET_PROFILE, 6))

    assert (0x81, Status.VERSION, 5, VERSION) == hello
    assert after.status == Status.SEQUENCE


def test_requests_before_hello_are_refused(twin: Path) -> None:
    """Without a greeting there is no count to be in turn with."""
    assert [Status.SEQUENCE] * 2 == statuses(twin, FIRST_STATE + frame(Kind.RESET_PROFILE, 0))


def test_sequence_wraps(twin: Path) -> None:
    """The count has 16 bits and a training has more requests."""
    stream = frame(Kind.HELLO, 0xFFFE, VERSION) + frame(Kind.RESET_PROFILE, 0xFFFF) + frame(Kind.RESET_PROFILE, 0)

    assert [Status.OK] * 3 == statuses(twin, stream)


def test_refused_request_keeps_its_place_in_the_sequence(twin: Path) -> None:
    """The requests sent behind a wrong one are still in turn."""
    stream = HELLO + frame(99, 1) + frame(Kind.TRAIN, 2, b"\0\0\0\0") + frame(Kind.RESET_PROFILE, 3)

    assert [Status.OK, Status.REQUEST, Status.RANGE, Status.OK] == statuses(twin, stream)


@pytest.mark.parametrize("sequence", [0, 2, 0x101, 0xFFFF])
def test_request_out_of_turn_is_refused_by_its_number(twin: Path, sequence: int) -> None:
    """Late, early and repeated requests are told apart from the one expected."""
    answer = talk(twin, HELLO + frame(Kind.RESET_PROFILE, sequence))[1]

    assert (Kind.RESET_PROFILE | 0x80, Status.SEQUENCE, sequence, b"") == answer


@pytest.mark.parametrize("kind", [0, 11, 0x7F, 0x81, 0xFF])
def test_unknown_kind_is_refused(twin: Path, kind: int) -> None:
    """A newer orchestrator must hear that this firmware lacks a request."""
    assert (Status.REQUEST, b"") == ask(twin, kind, b"")


def test_flags_are_refused(twin: Path) -> None:
    """Flags mean nothing yet, so whoever sets one wants something this firmware cannot do."""
    assert statuses(twin, HELLO + frame(Kind.RESET_PROFILE, 1, flags=1))[1] == Status.REQUEST


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        (Kind.CONFIGURE, 19),
        (Kind.CONFIGURE, 21),
        (Kind.INPUT, 3),
        (Kind.TRAIN, 3),
        (Kind.TRAIN, 5),
        (Kind.EVALUATE, 0),
        (Kind.EVALUATE, 8),
        (Kind.READ, 7),
        (Kind.READ, 9),
        (Kind.WRITE, 0),
        (Kind.PROFILE, 4),
        (Kind.PROFILE, 12),
        (Kind.RESET_PROFILE, 1),
        (Kind.OUTPUT, 7),
        (Kind.OUTPUT, 9),
    ],
)
def test_payload_of_the_wrong_size_is_refused(twin: Path, kind: Kind, size: int) -> None:
    """No handler may read bytes that did not come."""
    assert (Status.REQUEST, b"") == ask(twin, kind, bytes(size))


def test_hello_without_version_is_refused(twin: Path) -> None:
    """It has no payload to read a version from."""
    assert [Status.REQUEST] == statuses(twin, frame(Kind.HELLO, 0))


@pytest.mark.parametrize(
    ("batch", "rate", "decay", "status"),
    [
        (1, 0.0, 0, Status.OK),
        (0x7FFFFFFF, -1e38, len(protocol.DECAYS) - 1, Status.OK),
        (0, 0.1, 0, Status.RANGE),
        (0x80000000, 0.1, 0, Status.RANGE),
        (1, math.inf, 0, Status.RANGE),
        (1, -math.inf, 0, Status.RANGE),
        (1, math.nan, 0, Status.RANGE),
        (1, 0.1, len(protocol.DECAYS), Status.RANGE),
        (1, 0.1, 0xFFFFFFFF, Status.RANGE),
    ],
)
def test_configure_checks_its_settings(twin: Path, batch: int, rate: float, decay: int, status: Status) -> None:
    """A batch of nothing or an infinite rate would ruin the weights."""
    assert (status, b"") == ask(twin, Kind.CONFIGURE, struct.pack("<IIIfI", 1, 2, batch, rate, decay))


@pytest.mark.parametrize("kind", [Kind.TRAIN, Kind.EVALUATE])
@pytest.mark.parametrize("label", [CLASSES, 0x80000000, 0xFFFFFFFF])
def test_label_that_is_no_class_is_refused(twin: Path, kind: Kind, label: int) -> None:
    """The loss would read beyond the logits."""
    stream = HELLO + frame(Kind.CONFIGURE, 1, CONFIGURE) + frame(kind, 2, struct.pack("<I", label))

    assert statuses(twin, stream + whole_state(3))[2] == Status.RANGE
    assert Model().state() == b"".join(a.payload for a in talk(twin, stream + whole_state(3))[4:])


def test_training_starts_with_configure(twin: Path) -> None:
    """Without a batch size there is no update to count towards."""
    stream = HELLO + frame(Kind.TRAIN, 1, b"\0\0\0\0") + frame(Kind.EVALUATE, 2, b"\0\0\0\0")

    assert [Status.OK, Status.RANGE, Status.OK] == statuses(twin, stream)


@pytest.mark.parametrize("kind", [Kind.READ, Kind.PROFILE, Kind.OUTPUT])
@pytest.mark.parametrize(
    ("from_end", "count", "status"),
    [
        (0, 0, Status.OK),
        (1, 1, Status.OK),
        (0, 1, Status.RANGE),
        (1, 2, Status.RANGE),
        (-1, 0, Status.RANGE),
        (1, 0xFFFFFFFF, Status.RANGE),
    ],
)
def test_reads_stay_inside(twin: Path, kind: Kind, from_end: int, count: int, status: Status) -> None:
    """Offset plus count may also wrap around 32 bits."""
    payload = struct.pack("<II", RANGES[kind] - from_end, count)

    assert status == ask(twin, kind, payload)[0]


@pytest.mark.parametrize("kind", [Kind.INPUT, Kind.WRITE])
@pytest.mark.parametrize(
    ("from_end", "count", "status"),
    [(0, 0, Status.OK), (9, 9, Status.OK), (9, 10, Status.RANGE), (0, 1, Status.RANGE), (-1, 0, Status.RANGE)],
)
def test_writes_stay_inside_or_do_nothing(twin: Path, kind: Kind, from_end: int, count: int, status: Status) -> None:
    """A write over the end must not write its first part either."""
    request = frame(kind, 1, struct.pack("<I", RANGES[kind] - from_end) + b"\x11" * count)
    answers = talk(twin, HELLO + request + whole_state(2))
    state = b"".join(answer.payload for answer in answers[3:])
    written = count if kind == Kind.WRITE and status == Status.OK else 0

    assert status == answers[1].status
    assert Model().state()[: STATE_BYTES - written] + b"\x11" * written == state


def test_offset_at_the_top_of_32_bits_is_refused(twin: Path) -> None:
    """On a 32-bit core offset + size would wrap to a small number."""
    assert (Status.RANGE, b"") == ask(twin, Kind.WRITE, b"\xff\xff\xff\xffdata")


def test_largest_payload_passes_and_one_byte_more_is_damage(twin: Path) -> None:
    """The max payload of the hello is neither too small nor too large."""
    fits, too_long = (bytes(4) + b"\x22" * (SMALL_PAYLOAD - 4 + extra) for extra in (0, 1))
    stream = HELLO + frame(Kind.WRITE, 1, too_long) + frame(Kind.WRITE, 1, fits)

    assert [Status.OK, Status.FRAME, Status.OK] == statuses(twin, stream)
    assert (Status.RANGE, b"") == ask(twin, Kind.READ, struct.pack("<II", 0, SMALL_PAYLOAD + 1))
    assert ask(twin, Kind.READ, struct.pack("<II", 0, SMALL_PAYLOAD))[0] == Status.OK


def test_write_and_read_cross_regions(twin: Path) -> None:
    """The state is one range of bytes, wherever its regions lie."""
    data = bytes(range(100, 120))
    stream = HELLO + frame(Kind.WRITE, 1, struct.pack("<I", 2) + data) + whole_state(2)
    state = b"".join(answer.payload for answer in talk(twin, stream)[3:])

    assert bytes(2) + data + bytes(STATE_BYTES - 22) == state


def test_profile_reads_and_clears_cycles(twin: Path) -> None:
    """Cycles have 64 bits: an epoch passes 2^32 quickly."""
    ranges = [struct.pack("<II", *pair) for pair in ((0, 3), (1, 1))]
    stream = HELLO + frame(Kind.PROFILE, 1, ranges[0]) + frame(Kind.PROFILE, 2, ranges[1])
    stream += frame(Kind.RESET_PROFILE, 3) + frame(Kind.PROFILE, 4, ranges[0])
    answers = talk(twin, stream)

    assert struct.pack("<I3Q", 0, 1, 0x1122334455667788, 3) == answers[1].payload
    assert struct.pack("<IQ", 0, 0x1122334455667788) == answers[2].payload
    assert bytes(28) == answers[4].payload


def test_kept_rows_come_in_pieces_and_are_cleared_with_the_profile(twin: Path) -> None:
    """Each answer says how many layers there are, and holds as many as fit."""
    firsts = [struct.pack("<I", first) for first in (0, 3, 7, 8)]
    stream = HELLO + b"".join(frame(Kind.KEPT, 1 + i, first) for i, first in enumerate(firsts))
    stream += frame(Kind.RESET_PROFILE, 5) + frame(Kind.KEPT, 6, struct.pack("<I", 0))
    answers = talk(twin, stream)[1:]

    room = (SMALL_PAYLOAD - 4) // 16
    counts = [7, 0x1122334455667788, 1, 2, 0, 5, 4, 4, 3, 9, 6, 6, 8, 9]
    assert struct.pack("<I10Q", 7, *counts[: 2 * room]) == answers[0].payload
    assert struct.pack("<I8Q", 7, *counts[6:]) == answers[1].payload
    assert struct.pack("<I", 7) == answers[2].payload
    assert (Status.RANGE, b"") == (answers[3].status, answers[3].payload)
    assert struct.pack("<I10Q", 7, *[0] * 10) == answers[5].payload


@given(
    garbage=st.binary(max_size=60),
    bare=st.binary(max_size=8).map(lambda data: data.replace(b"\0", b"\1")),
)
@settings(deadline=None, max_examples=60)
def test_garbage_costs_no_request_behind_it(twin: Path, garbage: bytes, bare: bytes) -> None:
    """Whoever plugs in a cable sends noise first; the first whole frame must be heard all the same."""
    assume(not intact_frames(garbage))
    answers = talk(twin, bare + HELLO + garbage + frame(Kind.RESET_PROFILE, 1))

    assert (0x81, Status.OK) == answers[0][:2]
    assert {(0x80, Status.FRAME, 0, b"")} >= set(answers[1:-1])
    assert (0x80 | Kind.RESET_PROFILE, Status.OK, 1, b"") == answers[-1]


def test_input_before_the_first_delimiter_is_skipped(twin: Path) -> None:
    """Line noise at power-up is no frame and gets no answer."""
    assert [Status.OK] == statuses(twin, b"\xff\x12noise" + HELLO)


VALID = st.one_of(
    st.just(frame(Kind.CONFIGURE, 2, struct.pack("<IIIfI", 9, 9, 9, 9, 1))),
    st.integers(0, CLASSES - 1).map(lambda label: frame(Kind.TRAIN, 2, struct.pack("<I", label))),
    st.binary(min_size=1, max_size=40).map(lambda data: frame(Kind.WRITE, 2, bytes(4) + data)),
    st.just(frame(Kind.RESET_PROFILE, 2)),
)
PLACE = st.integers(0, 10_000)
DAMAGE = st.one_of(
    st.tuples(st.just("flip"), PLACE, st.integers(0, 7)),
    st.tuples(st.just("insert"), PLACE, st.integers(0, 255)),
    st.tuples(st.just("remove"), PLACE, st.integers(1, 9)),
    st.tuples(st.just("truncate"), PLACE, st.just(0)),
    st.tuples(st.just("duplicate"), PLACE, st.integers(1, 9)),
)


def damage(wire: bytes, how: str, place: int, value: int) -> bytes:
    """Break a frame on the wire."""
    at = place % max(len(wire), 1)
    head, tail = wire[:at], wire[at:]
    broken = {
        "flip": head + bytes(byte ^ (1 << value % 8) for byte in tail[:1]) + tail[1:],
        "insert": head + bytes([value % 256]) + tail,
        "remove": head + tail[value:],
        "truncate": head,
        "duplicate": head + tail[:value] + tail,
    }
    return broken[how]


@given(request=VALID, how=st.lists(DAMAGE, min_size=1, max_size=4))
@settings(deadline=None, max_examples=200)
def test_damaged_frame_changes_nothing(twin: Path, request: bytes, how: list[tuple[str, int, int]]) -> None:
    """Whatever happened to a frame on its way, it must not train, write or configure."""
    broken = request
    for step in how:
        broken = damage(broken, *step)
    assume(not intact_frames(b"\0" + broken + b"\0"))
    train = frame(Kind.HELLO, 8, VERSION) + frame(Kind.TRAIN, 9, bytes(4)) + frame(Kind.TRAIN, 10, bytes(4))
    profile = HELLO + frame(Kind.PROFILE, 1, struct.pack("<II", 0, 3))
    intact, behind = HELLO + frame(Kind.CONFIGURE, 1, CONFIGURE), train + profile + whole_state(50)
    answers = talk(twin, intact + broken + behind)
    expected = talk(twin, intact + behind)

    assert {Status.OK} == {answer.status for answer in expected}
    assert expected[:2] == answers[:2]
    assert {(0x80, Status.FRAME, 0, b"")} >= set(answers[2 : 2 - len(expected)])
    assert expected[2:] == answers[2 - len(expected) :]


@given(
    labels=st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=6),
    repeats=st.lists(st.tuples(PLACE, PLACE), max_size=6),
)
@settings(deadline=None, max_examples=60)
def test_repeated_frames_run_once(twin: Path, labels: list[int], repeats: list[tuple[int, int]]) -> None:
    """A sender that is not sure may send again; a sample must not be trained twice."""
    once = [frame(Kind.CONFIGURE, 1, CONFIGURE)]
    once += [frame(Kind.TRAIN, 2 + i, struct.pack("<I", label)) for i, label in enumerate(labels)]
    stream = list(enumerate(once))
    for which, where in repeats:
        copy = which % len(once)
        first = next(i for i, (number, _) in enumerate(stream) if number == copy)
        stream.insert(first + 1 + where % (len(stream) - first), (copy, once[copy]))
    answers = talk(twin, HELLO + b"".join(wire for _, wire in stream) + whole_state(99))
    model = Model()
    model.batch = 2
    for label in labels:
        model.train(np.zeros(INPUT_BYTES, np.uint8), label)

    refused = [answer for answer in answers if answer.status != Status.OK]
    assert [Status.SEQUENCE] * len(repeats) == [answer.status for answer in refused]
    assert model.state() == b"".join(answer.payload for answer in answers[len(stream) + 2 :])


def random_stream(rng: random.Random) -> bytes:
    """Return noise, frames with random content, most of them in turn, and frames with a few bytes broken."""
    edges = [0, 1, 4, CLASSES, SMALL_PAYLOAD, INPUT_BYTES, STATE_BYTES, 0x7FFFFFFF, 0xFFFFFFFF]
    stream = bytearray(HELLO)
    for sequence in range(1, 3000):
        numbers = [max(0, rng.choice(edges) + rng.randint(-2, 2)) & 0xFFFFFFFF for _ in range(4)]
        size = rng.choice([0, 1, 4, 8, 16, rng.randint(0, SMALL_BUFFER + 20)])
        payload = (struct.pack("<4I", *numbers) + rng.randbytes(size))[:size]
        wire = frame(rng.choice([*range(2, 10), rng.randint(0, 255)]), sequence, payload)
        if rng.random() < 0.3:
            stream += frame(Kind.HELLO, sequence - 1, VERSION)
        stream += wire
        if rng.random() < 0.2:
            stream += rng.randbytes(rng.randint(1, 300))
        if rng.random() < 0.2:
            stream += damage(wire, rng.choice(["flip", "insert", "remove"]), rng.randrange(999), 3)
        stream += b"\0"
    return bytes(stream)


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_never_leave_the_buffer(checked_twin: Path, seed: int) -> None:
    """Under the sanitizers, thousands of random frames are answered and nothing else happens."""
    answers = talk(checked_twin, random_stream(random.Random(seed)))
    seen = {answer.status for answer in answers}

    assert {Status.OK, Status.FRAME, Status.SEQUENCE, Status.REQUEST, Status.RANGE} <= seen
    assert len(answers) >= 3000
