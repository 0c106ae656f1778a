# SPDX-License-Identifier: Apache-2.0
"""Compares what was measured with a baseline and with hard limits: better, same, worse, or not to be judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilograd.gate.baseline import Baseline

Judgement = Literal["same", "better", "worse", "new", "gone"]


@dataclass(frozen=True)
class Row:
    """One number: before and now, and how far it may grow."""

    metric: str
    old: int | None
    new: int | None
    limit: int | None
    """The largest value that passes; None without a baseline for it."""
    judgement: Judgement

    @property
    def difference(self) -> int | None:
        """Return how much more it is now."""
        return None if self.old is None or self.new is None else self.new - self.old


@dataclass(frozen=True)
class Verdict:
    """What the gate says of one experiment on one board."""

    experiment: str
    board: str
    rows: tuple[Row, ...]
    problems: tuple[str, ...] = ()
    """Hard limits that are exceeded, bits that differ, a model that does not fit."""
    not_judged: str = ""
    """Why there is no comparison, if there is none."""

    @property
    def worse(self) -> tuple[Row, ...]:
        """Return the rows that fail."""
        return tuple(row for row in self.rows if row.judgement == "worse")

    @property
    def failed(self) -> bool:
        """Tell whether the thing under test got worse."""
        return bool(self.worse or self.problems)


def judge(
    experiment: str, now: Baseline, old: Baseline | None, problems: Sequence[str], tolerance_percent: float
) -> Verdict:
    """
    Compare two measurements of one experiment on one board.

    Args:
        experiment: its name.
        now: what was measured.
        old: the baseline; None if there is none.
        problems: what is wrong whatever the baseline says.
        tolerance_percent: how much a number may grow.

    """
    if old is None:
        return Verdict(experiment, now.board, (), tuple(problems), "there is no baseline")
    if old.compiler != now.compiler:
        why = f"the baseline was made with {old.compiler}, this is {now.compiler}"
        return Verdict(experiment, now.board, (), tuple(problems), why)
    names = [*old.metrics, *(name for name in now.metrics if name not in old.metrics)]
    rows = (_row(name, old.metrics.get(name), now.metrics.get(name), tolerance_percent) for name in names)
    return Verdict(experiment, now.board, tuple(rows), tuple(problems))


def _row(metric: str, old: int | None, new: int | None, tolerance_percent: float) -> Row:
    if old is None:
        return Row(metric, None, new, None, "new")
    limit = old + int(old * tolerance_percent / 100)
    if new is None:
        return Row(metric, old, None, limit, "gone")
    if new > limit:
        return Row(metric, old, new, limit, "worse")
    return Row(metric, old, new, limit, "better" if new < old else "same")
