# SPDX-License-Identifier: Apache-2.0
"""Fill a table: every row with every seed, two runs at a time; what is done once stays done."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from itertools import chain
from queue import SimpleQueue
from typing import TYPE_CHECKING

from kilograd import pretrain_torch
from kilograd.reproduce.job import Outcome, run_job
from kilograd.workers import workers

if TYPE_CHECKING:
    from concurrent.futures import Future
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
    def shares(self) -> list[float]:
        """Return the accuracy of each seed, 0 to 1."""
        if self.row.labels is None:
            return [outcome.accuracy for outcome in self.outcomes]
        return [outcome.classifiers[str(self.row.labels)] for outcome in self.outcomes]

    @property
    def mean(self) -> float:
        """Return the mean accuracy, 0 to 1."""
        return statistics.fmean(self.shares)

    @property
    def bound(self) -> float | None:
        """Return an autoencoder's mean negative ELBO in nats."""
        bounds = [outcome.bound for outcome in self.outcomes if outcome.bound is not None]
        return statistics.fmean(bounds) if bounds else None

    @property
    def deviation(self) -> float | None:
        """Return the standard deviation over the seeds (of a sample); None for a single one."""
        return statistics.stdev(self.shares) if len(self.shares) > 1 else None


def fill(table: Table, seeds: int, out: Path, progress: Progress) -> list[FilledRow]:
    """Return the table's rows with the outcomes of the seeds 1 to `seeds`."""
    wanted = [[(row, row.experiment(seed), seed) for seed in range(1, seeds + 1)] for row in table.rows]
    if any(experiment.pretrain.batch_norm for jobs in wanted for _, experiment, _ in jobs):
        pretrain_torch.check_installed()  # before hours of other rows
    folders: SimpleQueue[Path] = SimpleQueue()  # two builds must not share a folder; a warm one compiles tables only
    for folder in (out, out / "second"):
        folders.put(folder)

    def run(row: Row, experiment: Experiment, seed: int, shown: Progress) -> Outcome:
        folder = folders.get()
        try:
            outcome = run_job(experiment, f"{row.title} #{seed}", folder, shown)
        finally:
            folders.put(folder)
        what = f"{100 * outcome.accuracy:.2f} %" if outcome.bound is None else f"{outcome.bound:.2f} nats"
        shown.note(f"{row.title} #{seed}: {what}")
        return outcome

    with workers(RUNS_AT_ONCE, progress) as (pool, shown):
        runs: dict[str, Future[Outcome]] = {}  # rows may share a run: an autoencoder has several classifiers
        for job in chain.from_iterable(wanted):
            if (key := job[1].model_dump_json()) not in runs:
                runs[key] = pool.submit(run, *job, shown)
        outcomes = [tuple(runs[job[1].model_dump_json()].result() for job in jobs) for jobs in wanted]
    return [FilledRow(row, done) for row, done in zip(table.rows, outcomes, strict=True)]
