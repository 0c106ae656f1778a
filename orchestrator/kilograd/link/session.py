# SPDX-License-Identifier: Apache-2.0
"""A conversation with a running firmware: train, evaluate, read and write its state."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import KilogradError
from kilograd.link import protocol
from kilograd.link.exchange import Exchange
from kilograd.link.protocol import Kind, Profile, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from kilograd.engines.base import Engine

    Inputs = NDArray[np.uint8] | NDArray[np.float32]
    Labels = NDArray[np.integer]
    Progress = Callable[[int], None]

HASH_DIGITS = 16


@dataclass(frozen=True)
class Results:
    """What the firmware answered for every sample, in order."""

    losses: NDArray[np.float32]
    """Cross-entropy in nats, (n)."""
    predicted: NDArray[np.int64]
    """Class with the largest logit, (n)."""
    labels: NDArray[np.int64]
    """The classes asked for, (n)."""
    logits: NDArray[np.float32]
    """(n, classes) from evaluate; (n, 0) from train, which sends none."""

    @property
    def accuracy(self) -> float:
        """Return the share of samples whose class was predicted; 0 without samples."""
        return float(np.count_nonzero(self.predicted == self.labels) / max(len(self.labels), 1))


def hash_state(state: bytes) -> str:
    """Return the first 16 hex digits of the SHA-256 of a state."""
    return hashlib.sha256(state).hexdigest()[:HASH_DIGITS]


class Session:
    """Speaks the link protocol with the firmware that an engine runs; the engine stays its owner's."""

    def __init__(self, engine: Engine) -> None:
        self._exchange = Exchange(engine)
        (answer,) = self._ask([protocol.hello(self._exchange.sequence)])
        self.hello = protocol.parse_hello(answer)
        """What the firmware says about itself."""

    @property
    def log(self) -> list[str]:
        """Return the text that the firmware printed so far: its boot line, a fault report."""
        return self._exchange.splitter.lines

    @property
    def damaged(self) -> int:
        """Return how many damaged frames have come back."""
        return self._exchange.splitter.damaged

    @property
    def repeated(self) -> int:
        """Return how many requests had to be sent a second time."""
        return self._exchange.repeated

    def configure(self, seed: int, planned_updates: int, batch: int, rate: float, decay: str = "cosine") -> None:
        """Start a run, counters at zero; the rate falls over the planned updates, and stays where they are 0."""
        sequence = self._exchange.sequence
        self._ask([protocol.configure(sequence, seed, planned_updates, batch, rate, decay)])

    def train(self, x: Inputs, labels: Labels, progress: Progress | None = None) -> Results:
        """
        Train on samples, in order.

        Args:
            x: (n, ...) in the type and layout of the model's input.
            labels: (n) classes.
            progress: is told the samples done so far, after every burst of answers.

        """
        return self._run_samples(Kind.TRAIN, x, labels, progress)

    def evaluate(self, x: Inputs, labels: Labels, progress: Progress | None = None) -> Results:
        """Run samples forward only, which changes no state; arguments as for `train`."""
        return self._run_samples(Kind.EVALUATE, x, labels, progress)

    def output(self, x: Inputs, size: int) -> bytes:
        """Run one sample (1, ...) forward, and return its output tensor, of `size` bytes."""
        self.evaluate(x, np.zeros(1, np.int64))
        return b"".join(self._ask(protocol.output(self._exchange.sequence, self.hello, size)))

    def read_state(self) -> bytes:
        """Return everything that training changes."""
        return b"".join(self._ask(protocol.read(self._exchange.sequence, self.hello)))

    def write_state(self, state: bytes) -> None:
        """Replace everything that training changes."""
        expected = self.hello.state_bytes
        if len(state) != expected:
            message = f"the state of {self.hello.model} has {expected} bytes, not {len(state)}"
            raise KilogradError(message, "write a state that was read from the same model")
        self._ask(protocol.write(self._exchange.sequence, self.hello, state))

    def state_hash(self) -> str:
        """Return the first 16 hex digits of the SHA-256 of the state."""
        return hash_state(self.read_state())

    def profile(self) -> Profile:
        """Return what the firmware has measured about itself."""
        answers = self._ask(protocol.profile(self._exchange.sequence, self.hello))
        return protocol.parse_profile(answers)

    def kept(self) -> list[tuple[int, int]]:
        """Return (rows kept, rows seen) of every sparse layer since the last reset of the profile."""
        layers: list[tuple[int, int]] = []
        while True:
            (answer,) = self._ask([protocol.kept(self._exchange.sequence, len(layers))])
            count, some = protocol.parse_kept(answer)
            layers += some
            if len(layers) >= count:
                return layers

    def reset_profile(self) -> None:
        """Clear the cycles of all steps, and the counts of kept rows."""
        self._ask([protocol.reset_profile(self._exchange.sequence)])

    def _ask(self, requests: Iterable[Request]) -> list[bytes]:
        return [payload for burst in self._exchange.run(requests) for payload in burst]

    def _run_samples(self, what: Kind, x: Inputs, labels: Labels, progress: Progress | None) -> Results:
        inputs = self._input_bytes(x)
        self._check_labels(labels, len(inputs))
        requests = protocol.samples(what, self._exchange.sequence, self.hello, inputs, labels)
        answers: list[bytes] = []
        for burst in self._exchange.run(requests):
            answers += filter(None, burst)  # those to input requests are empty
            if progress is not None:
                progress(len(answers))
        logits = self.hello.classes if what is Kind.EVALUATE else 0
        table = protocol.parse_samples(answers, logits)
        return Results(
            losses=table["loss"].astype(np.float32),
            predicted=table["predicted"].astype(np.int64),
            labels=labels.astype(np.int64),
            logits=table["logits"].astype(np.float32),
        )

    def _input_bytes(self, x: Inputs) -> NDArray[np.uint8]:
        """Return samples as rows of bytes, as the firmware stores them."""
        size = int(np.prod(x.shape[1:])) * x.itemsize
        if size != self.hello.input_bytes:
            message = (
                f"a sample of {x.dtype.name} {x.shape[1:]} has {size} bytes, "
                f"{self.hello.model} takes {self.hello.input_bytes}"
            )
            raise KilogradError(message, "give samples in the type and shape of the model's input")
        stored = np.ascontiguousarray(x, dtype=x.dtype.newbyteorder("<"))
        return stored.reshape(-1).view(np.uint8).reshape(len(x), size)

    def _check_labels(self, labels: Labels, count: int) -> None:
        if labels.shape != (count,):
            message = f"{count} samples came with labels of shape {labels.shape}"
            raise KilogradError(message, "give one label for each sample")
        wrong = np.flatnonzero((labels < 0) | (labels >= self.hello.classes))
        if wrong.size:
            first = int(wrong[0])
            message = f"label {labels[first]} of sample {first} is no class of {self.hello.model}"
            raise KilogradError(message, f"its classes are 0 to {self.hello.classes - 1}")
