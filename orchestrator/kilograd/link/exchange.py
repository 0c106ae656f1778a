# SPDX-License-Identifier: Apache-2.0
"""Requests out, answers in: keeps an engine busy, and notices what got lost on the way."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from kilograd.errors import KilogradError
from kilograd.link.frames import Splitter
from kilograd.link.protocol import (
    ANSWER_BIT,
    SEQUENCES,
    Answer,
    Kind,
    Request,
    Status,
    parse_answer,
    version_error,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kilograd.engines.base import Engine

BYTES_UNDER_WAY = 1 << 15
"""Request bytes that may wait for their answers, unless a single request is larger."""

WITHOUT_RESULT = frozenset({Kind.CONFIGURE, Kind.INPUT, Kind.WRITE, Kind.RESET_PROFILE})
"""Requests whose answer only says that they were carried out."""

REFUSALS: dict[int, tuple[str, str]] = {
    Status.FRAME: ("it arrived damaged", "check the connection, then open a new session"),
    Status.SEQUENCE: ("it is out of turn", "a request was lost or repeated: open a new session"),
    Status.REQUEST: ("it does not know this request", "rebuild the firmware with this kilograd"),
    Status.RANGE: (
        "a value is out of range",
        "a batch is at least 1, a rate is finite, and training starts with configure",
    ),
}
UNKNOWN_REFUSAL = ("for an unknown reason", "rebuild the firmware with this kilograd")


class _LostError(Exception):
    """A request or its answer did not arrive in one piece."""


class Exchange:
    """
    Moves requests to an engine and answers back, in order.

    Requests travel in bursts, at most two at a time, so that both ends always have work. On an engine that takes
    one request at a time (a wire) a lost request is repeated once: the firmware refuses to run it twice.
    """

    def __init__(self, engine: Engine) -> None:
        self.sequence = 0
        """Number of the next request."""
        self.repeated = 0
        """Requests sent a second time."""
        self.splitter = Splitter()
        self._engine = engine
        self._pipelined = engine.window > 1
        self._answers = deque[Answer]()

    def run(self, requests: Iterable[Request]) -> Iterator[list[bytes]]:
        """
        Send requests and yield the payloads of their answers, burst by burst.

        Raises:
            KilogradError: the firmware refused a request (then all sent ones are answered, and the exchange can go
                on), or a request or an answer was lost.

        """
        under_way = deque[list[Request]]()
        for burst in self._bursts(requests):
            self._engine.write(b"".join(request.wire for request in burst))
            self.sequence = (burst[-1].sequence + 1) % SEQUENCES
            under_way.append(burst)
            if len(under_way) > self._pipelined:
                yield self._collect(under_way)
        while under_way:
            yield self._collect(under_way)

    def _bursts(self, requests: Iterable[Request]) -> Iterator[list[Request]]:
        """Cut requests into bursts of half of what may be under way, or all where only one may."""
        parts = 1 + self._pipelined
        burst: list[Request] = []
        size = 0
        for request in requests:
            full = len(burst) >= self._engine.window // parts
            if burst and (full or size + len(request.wire) > BYTES_UNDER_WAY // parts):
                yield burst
                burst, size = [], 0
            burst.append(request)
            size += len(request.wire)
        if burst:
            yield burst

    def _collect(self, under_way: deque[list[Request]]) -> list[bytes]:
        """Return the payloads of the oldest burst; take in the other answers too before a refusal is raised."""
        burst = under_way.popleft()
        answers = [self._answer(request) for request in burst]
        for request, answer in zip(burst, answers, strict=True):
            if answer.status != Status.OK:
                for later in [request for burst in under_way for request in burst]:
                    self._answer(later)
                raise self._refusal(request, answer)
        return [answer.payload for answer in answers]

    def _answer(self, request: Request) -> Answer:
        try:
            return self._matching_answer(request)
        except _LostError as error:
            if self._pipelined:
                raise self._lost(request, f"was lost: {error}") from error
        self._engine.write(request.wire)
        self.repeated += 1
        try:
            answer = self._matching_answer(request)
        except _LostError as error:
            raise self._lost(request, f"was lost twice: {error}") from error
        if answer.status != Status.SEQUENCE:
            return answer
        if request.what not in WITHOUT_RESULT:
            raise self._lost(request, "was lost, but the firmware has carried the request out")
        return answer._replace(status=Status.OK)

    def _matching_answer(self, request: Request) -> Answer:
        while True:
            answer = self._next_answer()
            if answer.sequence == request.sequence and answer.kind == request.what | ANSWER_BIT:
                return answer
            if answer.status == Status.FRAME:
                message = "the firmware received a damaged frame"
                raise _LostError(message)
            if self._pipelined:
                message = f"an answer with sequence number {answer.sequence} came in its place"
                raise _LostError(message)
            # Else the late answer to a request that was repeated.

    def _next_answer(self) -> Answer:
        while not self._answers:
            damaged = self.splitter.damaged
            self._answers.extend(map(parse_answer, self.splitter.feed(self._read())))
            if self.splitter.damaged > damaged and (self._pipelined or not self._answers):
                message = "a damaged frame came back"
                raise _LostError(message)
        return self._answers.popleft()

    def _read(self) -> bytes:
        try:
            return self._engine.read()
        except TimeoutError as error:
            message = "nothing came back in time"
            raise _LostError(message) from error
        except KilogradError:
            self.splitter.finish()
            raise

    def _lost(self, request: Request, fate: str) -> KilogradError:
        message = f"the answer of {self._engine.name} to {_title(request)} {fate}"
        return KilogradError(message, "check the connection, then open a new session")

    def _refusal(self, request: Request, answer: Answer) -> KilogradError:
        if answer.status == Status.VERSION:
            return version_error(answer.payload)
        reason, hint = REFUSALS.get(answer.status, UNKNOWN_REFUSAL)
        message = f"{self._engine.name} refused {_title(request)}: {reason} (status {answer.status})"
        return KilogradError(message, hint)


def _title(request: Request) -> str:
    return f"{request.what.name.lower()} request {request.sequence}"
