# SPDX-License-Identifier: Apache-2.0
"""What people see while kilograd works: progress and notes on stderr, results on stdout, NO_COLOR honoured."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from kilograd.errors import KilogradError

# Without a terminal, a long task says how far it is this often.
SECONDS_BETWEEN_LINES = 10.0
# Tables must not be cut where output goes into a file.
WIDTH_WITHOUT_TERMINAL = 120


class Task(Protocol):
    """A piece of work under way."""

    def advance(self, amount: int = 1) -> None:
        """Tell that so much more is done."""


class Progress(Protocol):
    """Where the steps of the flow tell what they do."""

    def task(self, description: str, total: int | None = None) -> AbstractContextManager[Task]:
        """Begin a piece of work; `total` is what its advances add up to, if known."""

    def note(self, text: str) -> None:
        """Say one line that stays."""


class SilentProgress:
    """Says nothing."""

    @contextmanager
    def task(self, description: str, total: int | None = None) -> Iterator[Task]:  # noqa: ARG002 - the protocol's
        """Begin a piece of work that nobody watches."""
        yield _Counter(lambda _: None)

    def note(self, text: str) -> None:
        """Drop the line."""


class LineProgress:
    """One line when a task begins and ends, and now and then between: for logs."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock

    @contextmanager
    def task(self, description: str, total: int | None = None) -> Iterator[Task]:
        """Begin a piece of work."""
        begin = said = self._clock()

        def show(done: int) -> None:
            nonlocal said
            if total and self._clock() - said >= SECONDS_BETWEEN_LINES:
                said = self._clock()
                self.note(f"{description}: {100 * done // total} %")

        self.note(f"{description} ...")
        yield _Counter(show)
        self.note(f"{description}: {self._clock() - begin:.1f} s")

    def note(self, text: str) -> None:
        """Print the line."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


class BarProgress:
    """A bar for each task: for terminals. Finished tasks become one line each."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()  # tasks begin and end in several threads
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )

    @contextmanager
    def task(self, description: str, total: int | None = None) -> Iterator[Task]:
        """Begin a piece of work."""
        begin = time.monotonic()
        with self._lock:
            self._bars.start()
            bar = self._bars.add_task(description, total=total)
        try:
            yield _Counter(lambda done: self._bars.update(bar, completed=done))
        finally:
            with self._lock:
                self._bars.remove_task(bar)
                if not self._bars.tasks:
                    self._bars.stop()
        self.note(f"{description}: {time.monotonic() - begin:.1f} s")

    def note(self, text: str) -> None:
        """Print the line above the bars."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


class _Counter:
    def __init__(self, show: Callable[[int], None]) -> None:
        self._done = 0
        self._show = show

    def advance(self, amount: int = 1) -> None:
        self._done += amount
        self._show(self._done)


def for_people() -> Console:
    """Return the console for progress, notes and errors: stderr."""
    return Console(stderr=True)


def for_results() -> Console:
    """Return the console for tables: stdout."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_WITHOUT_TERMINAL)


def progress(*, quiet: bool) -> Progress:
    """Return bars on a terminal, lines elsewhere, nothing if quiet."""
    if quiet:
        return SilentProgress()
    console = for_people()
    return BarProgress(console) if console.is_terminal else LineProgress(console)


def show_error(error: KilogradError) -> None:
    """Print what went wrong and the way out."""
    console = for_people()
    for style, label, text in (("bold red", "error: ", error.message), ("bold", "hint: ", error.hint)):
        if text:
            console.print(label, style=style, end="", highlight=False)
            console.print(text, highlight=False, markup=False, soft_wrap=True)
