# SPDX-License-Identifier: Apache-2.0
"""What the rows of a table must reach, some of it compared with other rows, and which of them do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilograd.reproduce.definition import Row
    from kilograd.reproduce.run import FilledRow


@dataclass(frozen=True)
class Limit:
    """A limit of a row in per cent, or of an autoencoder's bound in nats, and what there is instead."""

    value: float
    found: float
    bound: bool
    reason: str

    @property
    def missed(self) -> bool:
        """Tell whether the row is on the wrong side; a hundredth of a point is nothing."""
        past = self.found - self.value if self.bound else self.value - self.found
        return past > 1e-9  # noqa: PLR2004 - what sums of floats may lose

    def __str__(self) -> str:
        """Return the limit as a table shows it."""
        sign, unit, digits = ("<=", "nats", 2) if self.bound else (">=", "%", 1)
        return f"{sign} {self.value:.{digits}f} {unit}{' missed' if self.missed else ''}"


def limits_of(filled: FilledRow, rows: Sequence[FilledRow]) -> list[Limit]:
    """Return the limits of a row; those against a row that has not been run are left out."""
    return [*_accuracies(filled, rows), *_bounds(filled, rows)]


def shortfalls(rows: Sequence[FilledRow]) -> list[str]:
    """Return a sentence for each limit that is missed."""
    return [
        f"{filled.row.data} {filled.row.configuration} {filled.row.recipe} {filled.row.lambda_min:g}: "
        + _sentence(limit)
        for filled in rows
        for limit in limits_of(filled, rows)
        if limit.missed
    ]


def _sentence(limit: Limit) -> str:
    if limit.bound:
        return f"{limit.found:.2f} nats are more than {limit.value:.2f} ({limit.reason})"
    return f"{limit.found:.2f} % is less than {limit.value:g} % ({limit.reason})"


def _accuracies(filled: FilledRow, rows: Sequence[FilledRow]) -> Iterator[Limit]:
    wanted, found = filled.row.limits, 100 * filled.mean
    dense = filled.row.lambda_min >= 1
    if wanted.at_least is not None and dense:
        yield Limit(wanted.at_least, found, bound=False, reason="at least")
    if wanted.within is not None and dense:
        for other in _beside(filled, rows, "train.configuration", "float32"):
            reason = f"float32 less {wanted.within:g}"
            yield Limit(round(100 * other.mean - wanted.within, 2), found, bound=False, reason=reason)
    if wanted.within_adam is not None and dense:
        for other in _adam(filled, rows):
            reason = f"Adam in float32 less {wanted.within_adam:g}"
            yield Limit(round(100 * other.mean - wanted.within_adam, 2), found, bound=False, reason=reason)
    if wanted.within_dense is not None and not dense:
        for other in _beside(filled, rows, "train.lambda_min", None):
            reason = f"dense less {wanted.within_dense:g}"
            yield Limit(round(100 * other.mean - wanted.within_dense, 2), found, bound=False, reason=reason)


def _bounds(filled: FilledRow, rows: Sequence[FilledRow]) -> Iterator[Limit]:
    wanted = filled.row.limits
    if filled.bound is None:
        return
    if wanted.bound_at_most is not None:
        yield Limit(wanted.bound_at_most, filled.bound, bound=True, reason="at most")
    if wanted.bound_within is not None:
        for other in _beside(filled, rows, "train.configuration", "float32"):
            most = (other.bound or 0) * (1 + wanted.bound_within / 100)
            yield Limit(most, filled.bound, bound=True, reason=f"float32 and {wanted.bound_within:g} %")


def _beside(filled: FilledRow, rows: Sequence[FilledRow], key: str, value: object) -> list[FilledRow]:
    """Return the row that differs in this setting only and has this value there, if it has been run."""
    found = [other for other in rows if filled.row.beside(other.row, key) and other.row.changes.get(key) == value]
    return found[:1]


def _adam(filled: FilledRow, rows: Sequence[FilledRow]) -> list[FilledRow]:
    """Return Adam's row for the same model, data and epochs, if it has been run."""

    def settings(row: Row) -> dict[str, object]:
        return {**row.changes, "train.configuration": None, "train.recipe": None}

    row = filled.row
    same = (o for o in rows if o.row.adam and o.row.source == row.source and settings(o.row) == settings(row))
    return list(same)[:1]
