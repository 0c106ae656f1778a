# SPDX-License-Identifier: Apache-2.0
"""Helpers of the link's tests: builds the stand-in model's twin, and does its arithmetic and its frames again."""

from __future__ import annotations

import struct
import subprocess
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kilograd import paths, tools

if TYPE_CHECKING:
    from numpy.typing import NDArray

HERE = Path(__file__).parent
RUNTIME = ("link", "cobs", "crc32", "trainer", "decay", "math")
FLAGS = ("-std=c11", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-g")
INPUT_BYTES = 784
STATE_BYTES = 5 + 1 + 2003
CLASSES = 10
SMALL_BUFFER = 64 + 4 * CLASSES
"""What the header of the link asks for at least."""
SMALL_PAYLOAD = SMALL_BUFFER - 8


def build(executable: Path, *flags: str) -> Path:
    """Compile the host twin of the stand-in model."""
    firmware = paths.share() / "firmware"
    sources = [firmware / "app" / "main.c", firmware / "port" / "host" / "port.c", HERE / "model.c"]
    sources += [firmware / "runtime" / f"{name}.c" for name in RUNTIME]
    includes = [f"-I{firmware}", f"-I{firmware / 'include'}"]
    compiler = tools.find("gcc", "install gcc")
    tools.run([compiler, *FLAGS, *flags, *includes, *sources, "-o", executable], what="the twin")
    return executable


def cobs(data: bytes) -> bytes:
    """Stuff one frame, byte by byte as the paper describes it (Cheshire and Baker 1997)."""
    out = bytearray([0])
    code_at, code = 0, 1
    for byte in data:
        if byte:
            out.append(byte)
            code += 1
        if not byte or code == 255:
            out[code_at] = code
            code_at, code = len(out), 1
            out.append(0)
    out[code_at] = code
    return bytes(out)


def uncobs(body: bytes) -> bytes | None:
    """Take the stuffing out again; None where it is broken."""
    out = bytearray()
    left, zero_follows = 0, False
    for byte in body:
        if left:
            out.append(byte)
            left -= 1
        else:
            out += b"\0" * zero_follows
            left, zero_follows = byte - 1, byte != 255
    return None if left else bytes(out)


def frame(kind: int, sequence: int, payload: bytes = b"", flags: int = 0) -> bytes:
    """Return one request as it goes over the wire."""
    content = struct.pack("<BBH", kind, flags, sequence & 0xFFFF) + payload
    return b"\0" + cobs(content + struct.pack("<I", zlib.crc32(content))) + b"\0"


def intact_frames(stream: bytes) -> list[bytes]:
    """Return the frames of a stream, without their CRCs, that have not been damaged."""
    contents = [uncobs(body) for body in stream.split(b"\0")]
    whole = [content for content in contents if content is not None and len(content) >= 8]
    return [c[:-4] for c in whole if struct.pack("<I", zlib.crc32(c[:-4])) == c[-4:]]


class Answer(NamedTuple):
    """One answer of the firmware."""

    kind: int
    status: int
    sequence: int
    payload: bytes


def talk(twin: Path, stream: bytes) -> list[Answer]:
    """Send a stream to a fresh twin and return its answers, all of which must be intact."""
    done = subprocess.run([twin], input=stream, capture_output=True, check=False, timeout=60)
    bodies = [body for body in done.stdout.partition(b"\n")[2].split(b"\0") if body]
    contents = intact_frames(done.stdout)

    assert (b"", 0) == (done.stderr, done.returncode)
    assert len(bodies) == len(contents)
    return [Answer(*struct.unpack("<BbH", content[:4]), content[4:]) for content in contents]


class Model:
    """The arithmetic of model.c."""

    def __init__(self) -> None:
        self.small = [0] * 5
        self.updates_seen = 0
        self.counters = bytearray(2003)
        self.samples = 0
        self.batch = 1

    def evaluate(self, x: NDArray[np.uint8], label: int) -> tuple[float, int, list[float]]:
        """Return loss, predicted class and logits."""
        total = int(x.sum(dtype=np.int64))
        logits = [(total + 7919 * i + self.small[i % 5]) % 101 - 50.5 for i in range(CLASSES)]
        return logits[label] / 8, int(np.argmax(logits)), logits

    def train(self, x: NDArray[np.uint8], label: int) -> tuple[float, int]:
        """Do one step."""
        loss, predicted, _ = self.evaluate(x, label)
        at = int(x.sum(dtype=np.int64)) % 500 * 4
        self.counters[at] = (self.counters[at] + label + 1) % 256
        self.small[self.samples % 5] = (self.small[self.samples % 5] + 1) % 256
        self.samples += 1
        if self.samples % self.batch == 0:
            self.updates_seen = self.samples // self.batch % 256
        return loss, predicted

    def state(self) -> bytes:
        """Return the state as the firmware stores it."""
        return bytes([*self.small, self.updates_seen, *self.counters])
