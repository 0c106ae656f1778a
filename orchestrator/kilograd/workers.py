# SPDX-License-Identifier: Apache-2.0
"""Several boards at once; when one fails or the user interrupts, the others stop instead of being waited for."""

from __future__ import annotations

from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilograd.console import Progress, Task


@contextmanager
def workers(count: int, progress: Progress) -> Iterator[tuple[ThreadPoolExecutor, Progress]]:
    """
    Give a pool of threads, and a progress for what they do.

    When the body ends with an error, work that waits never begins, and work under way ends at its next sign of
    progress.
    """
    stop = Event()
    with ThreadPoolExecutor(count) as pool:
        try:
            yield pool, _StoppableProgress(progress, stop)
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@dataclass(frozen=True)
class _StoppableProgress:
    inner: Progress
    stop: Event

    @contextmanager
    def task(self, description: str, total: int | None = None) -> Iterator[Task]:
        _check(self.stop)
        with self.inner.task(description, total) as task:
            yield _StoppableTask(task, self.stop)

    def note(self, text: str) -> None:
        self.inner.note(text)


@dataclass(frozen=True)
class _StoppableTask:
    inner: Task
    stop: Event

    def advance(self, amount: int = 1) -> None:
        _check(self.stop)
        self.inner.advance(amount)


def _check(stop: Event) -> None:
    if stop.is_set():
        raise CancelledError
