# SPDX-License-Identifier: Apache-2.0
"""Fill a table: every row with every seed, two runs at a time; what is done once stays done."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

from kilograd.reproduce.job import Outcome, run_job
from kilograd.workers import workers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kilograd.console import Progress
    from kilograd.experiment import Experiment
    from kilograd.reproduce.definition import Row, Table

RUNS_AT_ONCE = 2


@dataclass(frozen=True)
class FilledRow:
    """A row, and the outcomes of its seeds."""

    row: Row
    outcomes: tuple[Outcome, ...]

    @property
    def mean(self) -> float:
        """Return the mean accuracy, 0 to 1."""
        return statistics.fmean(outcome.accuracy for outcome in self.outcomes)

    @property
    def deviation(self) -> float | None:
        """Return the standard deviation over the seeds (of a sample); None for a single one."""
        shares = [outcome.accuracy for outcome in self.outcomes]
        return statistics.stdev(shares) if len(shares) > 1 else None

    @property
    def falls_short(self) -> bool:
        """Tell whether the row misses what it must reach."""
        return self.row.at_least is not None and 100 * self.mean < self.row.at_least


def fill(table: Table, seeds: int, out: Path, progress: Progress) -> list[FilledRow]:
    """Return the table's rows with the outcomes of the seeds 1 to `seeds`."""
    wanted = [[(row, row.experiment(seed), seed) for seed in range(1, seeds + 1)] for row in table.rows]
    folders: SimpleQueue[Path] = SimpleQueue()  # two builds must not share a folder; a warm one compiles tables only
    for folder in (out, out / "second"):
        folders.put(folder)

    def run(row: Row, experiment: Experiment, seed: int, shown: Progress) -> Outcome:
        folder = folders.get()
        try:
            outcome = run_job(experiment, f"{row.title} #{seed}", folder, shown)
        finally:
            folders.put(folder)
        shown.note(f"{row.title} #{seed}: {100 * outcome.accuracy:.2f} %")
        return outcome

    with workers(RUNS_AT_ONCE, progress) as (pool, shown):
        runs = [[pool.submit(run, *job, shown) for job in jobs] for jobs in wanted]
        outcomes = [tuple(run.result() for run in row) for row in runs]
    return [FilledRow(row, done) for row, done in zip(table.rows, outcomes, strict=True)]


def shortfalls(rows: Sequence[FilledRow]) -> list[str]:
    """Return a sentence for each row that misses what it must reach."""
    return [
        f"{filled.row.title}: {100 * filled.mean:.2f} % is less than {filled.row.at_least:g} %"
        for filled in rows
        if filled.falls_short
    ]
