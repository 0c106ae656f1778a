# SPDX-License-Identifier: Apache-2.0
"""Limits of tables: absolute ones, and those against the row beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kilograd.errors import KilogradError
from kilograd.reproduce.definition import load_table
from kilograd.reproduce.job import Outcome
from kilograd.reproduce.limits import limits_of, shortfalls
from kilograd.reproduce.run import FilledRow

if TYPE_CHECKING:
    from pathlib import Path

TABLE = """
title = "limits"
[[rows]]
experiment = "digits"
lambda_mins = [1.0, 0.1]
at_least = { uint8 = 90.0 }
within = { uint8 = 1.0, mixed = 1.0 }
within_dense = { uint8 = 1.5 }
"""
BOUNDS = """
title = "bounds"
[[rows]]
experiment = "vae_mnist"
configurations = ["uint8", "float32"]
labels_per_class = [10, 100]
within = { uint8 = 0.5 }
bound_at_most = { uint8 = 113.0 }
bound_within = { uint8 = 3.0 }
"""
ADAM = """
title = "Adam"
[[rows]]
experiment = "fashion_mnist"
adam = true
lambda_mins = [1.0, 0.1]
configurations = ["uint8", "mixed"]
within_adam = { uint8 = 1.0 }
[[rows]]
experiment = "fashion_mnist"
configurations = ["uint8"]
set = { "train.epochs" = 3 }
within_adam = { uint8 = 1.0 }
"""


def fill(folder: Path, text: str, found: dict[tuple[str, float], float], bound: float | None = None) -> list[FilledRow]:
    """Return a table's rows with these accuracies in per cent, by configuration and share (or labels)."""
    path = folder / "table.toml"
    path.write_text(text, encoding="utf-8")
    rows = []
    for row in load_table(str(path)).rows:
        share = found[row.configuration, row.lambda_min if row.labels is None else row.labels] / 100
        nats = None if bound is None else bound if row.configuration == "uint8" else 108.0
        made = Outcome(share, (), (), (), (), {}, {}, nats, {str(row.labels): share})
        rows.append(FilledRow(row, (made,)))
    return rows


def test_rows_are_judged_by_themselves_and_by_those_beside(tmp_path: Path) -> None:
    """uint8 against float32 and 90 %, the sparse row against the dense one; whoever has no limit is not judged."""
    rows = fill(
        tmp_path, TABLE,
        {("uint8", 1.0): 91.2, ("uint8", 0.1): 89.6, ("mixed", 1.0): 92.4, ("mixed", 0.1): 50,
         ("float32", 1.0): 92.3, ("float32", 0.1): 20},
    )  # fmt: skip

    assert shortfalls(rows) == [
        "digits_shifted uint8 best 1: 91.20 % is less than 91.3 % (float32 less 1)",
        "digits_shifted uint8 best 0.1: 89.60 % is less than 89.7 % (dense less 1.5)",
    ]
    assert [str(limit) for limit in limits_of(rows[0], rows)] == [">= 90.0 %", ">= 91.3 % missed"]


def test_exactly_at_the_limit_is_enough(tmp_path: Path) -> None:
    """A limit is what may be reached."""
    found = {(form, share): 91.3 for form in ("uint8", "mixed") for share in (1.0, 0.1)}
    rows = fill(tmp_path, TABLE, found | {("float32", 1.0): 92.3, ("float32", 0.1): 92.3})

    assert shortfalls(rows) == []


def test_a_row_that_was_not_run_judges_nobody(tmp_path: Path) -> None:
    """Where only uint8 was chosen, its own limits still hold."""
    found = {(form, share): 80.0 for form in ("uint8", "mixed", "float32") for share in (1.0, 0.1)}
    rows = [filled for filled in fill(tmp_path, TABLE, found) if filled.row.configuration == "uint8"]

    assert [text.split(": ")[1] for text in shortfalls(rows)] == ["80.00 % is less than 90 % (at least)"]


@pytest.mark.parametrize(("bound", "missed"), [(111.0, 0), (112.0, 2), (114.0, 4)])
def test_bounds_of_autoencoders_are_limited_from_above(tmp_path: Path, bound: float, missed: int) -> None:
    """In nats, and against float32; each of the rows for a number of labels says so."""
    found = {(form, labels): 92.0 for form in ("uint8", "float32") for labels in (10, 100)}
    rows = fill(tmp_path, BOUNDS, found, bound)

    assert len(shortfalls(rows)) == missed
    if missed:
        assert f"{bound:.2f} nats are more than 111.24 (float32 and 3 %)" in shortfalls(rows)[-1]


def test_rows_are_judged_by_what_adam_reaches(tmp_path: Path) -> None:
    """Dense uint8 with Adam's data and epochs is; sparse rows, other configurations and other epochs are not."""
    found = {(form, share): 88.5 for form in ("uint8", "mixed") for share in (1.0, 0.1)}
    rows = fill(tmp_path, ADAM, found | {("float32", 1.0): 89.6})

    assert [(filled.row.configuration, filled.row.recipe, filled.row.adam) for filled in rows[:2]] == [
        ("float32", "adam", True),
        ("uint8", "best", False),
    ]
    assert shortfalls(rows) == [
        "fashion_mnist uint8 best 1: 88.50 % is less than 88.6 % (Adam in float32 less 1)",
    ]


def test_adam_trains_whole_models(tmp_path: Path) -> None:
    """Where an experiment trains the last layers, a row of Adam would compare something else."""
    path = tmp_path / "table.toml"
    path.write_text('title = "x"\n[[rows]]\nexperiment = "cwru_transfer"\nadam = true\n', encoding="utf-8")

    with pytest.raises(KilogradError, match="adam: cwru_transfer trains only some layers"):
        load_table(str(path))
