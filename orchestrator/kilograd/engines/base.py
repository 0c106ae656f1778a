# SPDX-License-Identifier: Apache-2.0
"""What every engine offers: a byte stream to a running firmware, and what it counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


@dataclass(frozen=True)
class StepCount:
    """Exact instructions and modelled cycles that one step of the tables has cost so far, and how often it ran."""

    instructions: int
    cycles: int
    runs: int


class Engine(Protocol):
    """
    A running firmware, reset and ready to print its boot line.

    Engines are context managers; leaving one ends what it started.
    """

    name: str
    window: int
    """Requests that may be under way before their answers are read (1: wait for every answer)."""

    @property
    def ticks_per_instruction(self) -> float | None:
        """Return how far the firmware's counter moves with each instruction, where that is all it counts."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def write(self, data: bytes) -> None:
        """Send bytes to the firmware's UART; may return before they are consumed."""

    def read(self) -> bytes:
        """
        Run until the firmware has sent something, and return it (never empty).

        Raises:
            KilogradError: the firmware faulted, hung past its limit of virtual time, or ended.
            TimeoutError: nothing came for so long that something was lost (only where `window` is 1: a wire).

        """

    def step_counts(self) -> dict[int, StepCount]:
        """Return counts by step number since the last reset of counts; empty where an engine cannot count."""

    def reset_counts(self) -> None:
        """Forget the counts of all steps."""

    def close(self) -> None:
        """End the run and free everything."""


class EngineBase:
    """What engines have in common, unless they say otherwise: they end with their `with`, and count nothing."""

    ticks_per_instruction: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def step_counts(self) -> dict[int, StepCount]:
        """Return nothing: only the virtual chip sees steps; others have the firmware's own counter, if any."""
        return {}

    def reset_counts(self) -> None:
        """Do nothing: there are no counts."""

    def close(self) -> None:
        """End the run; every engine has its own way."""
        raise NotImplementedError
