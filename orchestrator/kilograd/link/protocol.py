# SPDX-License-Identifier: Apache-2.0
"""Requests and answers of the link, as `firmware/runtime/link.h` defines them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kilograd.errors import KilogradError
from kilograd.link import frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

VERSION = 2
ANSWER_BIT = 0x80
SEQUENCES = 1 << 16
LARGEST_CHUNK = 1 << 14
"""Bytes of one request or answer at most, even where the firmware takes more: keeps the pipeline moving."""
CHUNK_SAMPLES = 64
"""Samples encoded at once: enough to make numpy worthwhile, few enough to start sending early."""


DECAYS = ("constant", "cosine", "linear", "step")
"""Learning-rate schedules, by number (`kg_decay_t`)."""


class Kind(IntEnum):
    """What a request asks for."""

    HELLO = 1
    CONFIGURE = 2
    INPUT = 3
    TRAIN = 4
    EVALUATE = 5
    READ = 6
    WRITE = 7
    PROFILE = 8
    RESET_PROFILE = 9
    OUTPUT = 10
    KEPT = 11


class Status(IntEnum):
    """How the firmware answers (`kilograd/types.h`)."""

    OK = 0
    FRAME = -1
    SEQUENCE = -2
    REQUEST = -3
    RANGE = -4
    VERSION = -5


REQUEST_HEADER = struct.Struct("<BBH")
ANSWER_HEADER = struct.Struct("<BbH")
_HELLO = struct.Struct("<B3x6I")
_CONFIGURE = struct.Struct("<IIIfI")
_RANGE = struct.Struct("<II")
_OFFSET = struct.Struct("<I")
_STACK = struct.Struct("<I")


class Request(NamedTuple):
    """One request, encoded; `what` is what it asks for."""

    what: Kind
    sequence: int
    wire: bytes


class Answer(NamedTuple):
    """One answer; an unknown kind or status stays a number."""

    kind: int
    status: int
    sequence: int
    payload: bytes


@dataclass(frozen=True)
class Hello:
    """What the firmware says about itself."""

    model: str
    model_id: int
    input_bytes: int
    state_bytes: int
    classes: int
    steps: int
    max_payload: int


@dataclass(frozen=True)
class Profile:
    """Deepest stack in bytes, and the cycles that each step has cost since the last reset of the profile."""

    stack_peak: int
    cycles: tuple[int, ...]


def _request(what: Kind, sequence: int, payload: bytes = b"") -> Request:
    sequence %= SEQUENCES
    return Request(what, sequence, frames.encode(REQUEST_HEADER.pack(what, 0, sequence) + payload))


def parse_answer(frame: bytes) -> Answer:
    """Take a frame apart."""
    if len(frame) < ANSWER_HEADER.size:
        return Answer(0, Status.FRAME, 0, b"")
    kind, status, sequence = ANSWER_HEADER.unpack_from(frame)
    return Answer(kind, status, sequence, frame[ANSWER_HEADER.size :])


def hello(sequence: int) -> Request:
    """Ask who is there; starts the count of sequence numbers."""
    return _request(Kind.HELLO, sequence, bytes([VERSION]))


def parse_hello(payload: bytes) -> Hello:
    """Read the answer to hello."""
    if payload[:1] != bytes([VERSION]):
        raise version_error(payload)
    _, model_id, input_bytes, state_bytes, classes, steps, most = _HELLO.unpack_from(payload)
    name = payload[_HELLO.size :].decode("utf-8", "replace")
    return Hello(name, model_id, input_bytes, state_bytes, classes, steps, most)


def version_error(payload: bytes) -> KilogradError:
    """Name the version in an answer to hello, and ours."""
    theirs = payload[0] if payload else "unknown"
    message = f"the firmware speaks link version {theirs}, this kilograd speaks version {VERSION}"
    return KilogradError(message, "rebuild the firmware with this kilograd")


def configure(sequence: int, seed: int, planned_updates: int, batch: int, rate: float, decay: str) -> Request:
    """Start a run."""
    try:
        payload = _CONFIGURE.pack(seed, planned_updates, batch, rate, DECAYS.index(decay))
    except (struct.error, OverflowError) as error:
        settings = f"seed {seed}, planned updates {planned_updates}, batch {batch}, rate {rate}"
        message = f"the firmware cannot be configured with {settings}: {error}"
        raise KilogradError(message, "whole numbers go from 0 to 4294967295") from error
    return _request(Kind.CONFIGURE, sequence, payload)


def read(sequence: int, hello: Hello) -> Iterator[Request]:
    """Ask for the whole state, in pieces."""
    step = min(hello.max_payload, LARGEST_CHUNK)
    for count, offset in enumerate(range(0, hello.state_bytes, step)):
        payload = _RANGE.pack(offset, min(step, hello.state_bytes - offset))
        yield _request(Kind.READ, sequence + count, payload)


def write(sequence: int, hello: Hello, state: bytes) -> Iterator[Request]:
    """Replace the whole state, in pieces."""
    step = min(hello.max_payload - _OFFSET.size, LARGEST_CHUNK)
    for count, offset in enumerate(range(0, len(state), step)):
        payload = _OFFSET.pack(offset) + state[offset : offset + step]
        yield _request(Kind.WRITE, sequence + count, payload)


def profile(sequence: int, hello: Hello) -> Iterator[Request]:
    """Ask for the cycles of all steps, in pieces; at least one, for the stack."""
    step = (min(hello.max_payload, LARGEST_CHUNK) - _STACK.size) // 8
    for count, first in enumerate(range(0, max(hello.steps, 1), step)):
        payload = _RANGE.pack(first, min(step, hello.steps - first))
        yield _request(Kind.PROFILE, sequence + count, payload)


def parse_profile(payloads: list[bytes]) -> Profile:
    """Join the answers to profile."""
    cycles = np.frombuffer(b"".join(payload[_STACK.size :] for payload in payloads), "<u8")
    return Profile(_STACK.unpack_from(payloads[-1])[0], tuple(cycles.tolist()))


def reset_profile(sequence: int) -> Request:
    """Clear the cycles of all steps, and the counts of kept rows."""
    return _request(Kind.RESET_PROFILE, sequence)


def output(sequence: int, hello: Hello, size: int) -> Iterator[Request]:
    """Ask for the bytes of the output tensor, in pieces."""
    step = min(hello.max_payload, LARGEST_CHUNK)
    for count, offset in enumerate(range(0, size, step)):
        yield _request(Kind.OUTPUT, sequence + count, _RANGE.pack(offset, min(step, size - offset)))


def kept(sequence: int, first: int) -> Request:
    """Ask how many rows the sparse layers from `first` on have kept."""
    return _request(Kind.KEPT, sequence, _OFFSET.pack(first))


def parse_kept(payload: bytes) -> tuple[int, list[tuple[int, int]]]:
    """Read an answer to kept: the number of all sparse layers, and (rows kept, rows seen) of some of them."""
    pairs = np.frombuffer(payload[_OFFSET.size :], "<u8").reshape(-1, 2)
    return _OFFSET.unpack_from(payload)[0], [(int(kept), int(seen)) for kept, seen in pairs]


def samples(
    what: Kind, sequence: int, hello: Hello, inputs: NDArray[np.uint8], labels: NDArray[np.integer]
) -> Iterator[Request]:
    """
    Train on samples or evaluate them: for each its input in one or more pieces, then the request.

    Args:
        what: TRAIN or EVALUATE.
        sequence: of the first request.
        hello: of the firmware.
        inputs: (n, bytes of a sample).
        labels: (n).

    """
    piece = min(hello.max_payload - _OFFSET.size, LARGEST_CHUNK)
    offsets = range(0, hello.input_bytes, piece)
    kinds = [Kind.INPUT] * len(offsets) + [what]
    rows = max(1, min(CHUNK_SAMPLES, (1 << 20) // hello.input_bytes))
    for start in range(0, len(labels), rows):
        x, y = inputs[start : start + rows], labels[start : start + rows]
        payloads = [_with_offset(offset, x[:, offset : offset + piece]) for offset in offsets]
        payloads.append(y.astype("<u4").view(np.uint8).reshape(-1, _OFFSET.size))
        first = sequence + start * len(kinds)
        counted = np.arange(first, first + len(y) * len(kinds)) % SEQUENCES
        numbers = counted.astype(np.uint16).reshape(-1, len(kinds))
        columns = [_with_header(kind, numbers[:, i], payloads[i]) for i, kind in enumerate(kinds)]
        encoded = frames.encode_rows(columns)
        yield from map(Request, kinds * len(y), numbers.ravel().tolist(), encoded)


def parse_samples(payloads: list[bytes], logits: int) -> NDArray[np.void]:
    """Join the answers to train (no logits) or evaluate: a table with columns loss, predicted, logits."""
    row = np.dtype([("loss", "<f4"), ("predicted", "<u4"), ("logits", "<f4", (logits,))])
    return np.frombuffer(b"".join(payloads), row)


def _with_offset(offset: int, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    prefix = np.frombuffer(_OFFSET.pack(offset), np.uint8)
    return np.hstack((np.broadcast_to(prefix, (len(data), prefix.size)), data))


def _with_header(kind: Kind, numbers: NDArray[np.uint16], payload: NDArray[np.uint8]) -> NDArray[np.uint8]:
    header = np.zeros(len(numbers), dtype=[("kind", "u1"), ("flags", "u1"), ("sequence", "<u2")])
    header["kind"] = kind
    header["sequence"] = numbers
    return np.hstack((header.view(np.uint8).reshape(len(numbers), -1), payload))
