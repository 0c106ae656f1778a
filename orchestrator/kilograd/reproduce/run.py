# SPDX-License-Identifier: Apache-2.0
"""Fill a table: every row with every seed, two runs at a time; what is done once stays done."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from itertools import chain
from queue import SimpleQueue
from typing import TYPE_CHECKING

from kilograd import pretrain_torch, torch_graph
from kilograd.load import TORCH_HINT
from kilograd.reproduce.adam import run_adam
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
    rows = _possible(table, progress)
    wanted = [[(row, row.experiment(seed), seed) for seed in range(1, seeds + 1)] for row in rows]
    if any(experiment.pretrain.batch_norm for jobs in wanted for _, experiment, _ in jobs):
        pretrain_torch.check_installed()  # before hours of other rows
    folders: SimpleQueue[Path] = SimpleQueue()  # two builds must not share a folder; a warm one compiles tables only
    for folder in (out, out / "second"):
        folders.put(folder)

    def run(row: Row, experiment: Experiment, seed: int, shown: Progress) -> Outcome:
        folder = folders.get()
        try:
            train = run_adam if row.adam else run_job
            outcome = train(experiment, f"{row.title} #{seed}", folder, shown)
        finally:
            folders.put(folder)
        what = f"{100 * outcome.accuracy:.2f} %" if outcome.bound is None else f"{outcome.bound:.2f} nats"
        shown.note(f"{row.title} #{seed}: {what}")
        return outcome

    with workers(RUNS_AT_ONCE, progress) as (pool, shown):
        runs: dict[str, Future[Outcome]] = {}  # rows may share a run: an autoencoder has several classifiers
        for job in chain.from_iterable(wanted):
            if (key := _key(*job[:2])) not in runs:
                runs[key] = pool.submit(run, *job, shown)
        outcomes = [tuple(runs[_key(*job[:2])].result() for job in jobs) for jobs in wanted]
    return [FilledRow(row, done) for row, done in zip(rows, outcomes, strict=True)]


def _possible(table: Table, progress: Progress) -> list[Row]:
    """Return the rows that can be filled here; Adam's are for comparison, and torch need not be there."""
    if any(row.adam for row in table.rows) and not torch_graph.installed():
        progress.note(f"the rows of Adam are left out: they need torch ({TORCH_HINT})")
        return [row for row in table.rows if not row.adam]
    return list(table.rows)


def _key(row: Row, experiment: Experiment) -> str:
    """Return what tells a run from others; the seed is part of the experiment."""
    return f"{row.adam} {experiment.model_dump_json()}"
