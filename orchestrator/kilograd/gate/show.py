# SPDX-License-Identifier: Apache-2.0
"""Verdicts as a table for people, JSON and JUnit XML for machines, and annotations for GitHub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from kilograd.gate.verdict import Row, Verdict


def table(verdicts: Sequence[Verdict], *, every: bool) -> Table:
    """Return old, new, difference and limit of what changed, or of every number."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("experiment", "board", "metric"):
        shown.add_column(column)
    for column in ("old", "new", "difference", "limit"):
        shown.add_column(column, justify="right")
    shown.add_column("verdict")
    for verdict in verdicts:
        where = (verdict.experiment, verdict.board)
        if verdict.not_judged:
            shown.add_row(*where, "-", "-", "-", "-", "-", "not judged")
        rows = [row for row in verdict.rows if every or row.judgement != "same"]
        for row in rows:
            shown.add_row(*where, *_cells(row))
        if not rows and not verdict.not_judged:
            shown.add_row(*where, f"all {len(verdict.rows)}", "", "", "", "", "same")
    return shown


def _cells(row: Row) -> Iterator[str]:
    yield row.metric
    yield _number(row.old)
    yield _number(row.new)
    yield "-" if row.difference is None else f"{row.difference:+,} ({_percent(row)})"
    yield _number(row.limit)
    yield row.judgement


def _percent(row: Row) -> str:
    return f"{100 * (row.difference or 0) / row.old:+.2f} %" if row.old else "from 0"


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def as_json(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return the content of the JSON report."""
    return {
        "passed": not any(verdict.failed for verdict in verdicts),
        "judged": not any(verdict.not_judged for verdict in verdicts),
        "verdicts": [
            {
                "experiment": verdict.experiment,
                "board": verdict.board,
                "failed": verdict.failed,
                "not_judged": verdict.not_judged or None,
                "problems": list(verdict.problems),
                "rows": [
                    {
                        "metric": row.metric,
                        "old": row.old,
                        "new": row.new,
                        "difference": row.difference,
                        "limit": row.limit,
                        "verdict": row.judgement,
                    }
                    for row in verdict.rows
                ],
            }
            for verdict in verdicts
        ],
    }


def write_junit(verdicts: Sequence[Verdict], path: Path) -> None:
    """Write a JUnit file: a suite for each experiment and board, a case for each number."""
    suites = ET.Element("testsuites", name="kilograd gate")
    for verdict in verdicts:
        suites.append(_suite(verdict))
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.tmp")
    ET.ElementTree(suites).write(fresh, encoding="utf-8", xml_declaration=True)
    fresh.replace(path)


def _suite(verdict: Verdict) -> ET.Element:
    name = f"{verdict.experiment}.{verdict.board}"
    cases = []
    for row in verdict.rows:
        case = ET.Element("testcase", classname=name, name=row.metric)
        if row.judgement == "worse":
            ET.SubElement(case, "failure", message=sentence(row))
        cases.append(case)
    for problem in verdict.problems:
        case = ET.Element("testcase", classname=name, name="limits")
        ET.SubElement(case, "failure", message=problem)
        cases.append(case)
    if verdict.not_judged:
        case = ET.Element("testcase", classname=name, name="baseline")
        ET.SubElement(case, "skipped", message=verdict.not_judged)
        cases.append(case)
    counts = {
        "tests": str(len(cases)),
        "failures": str(len(verdict.worse) + len(verdict.problems)),
        "skipped": str(int(bool(verdict.not_judged))),
    }
    suite = ET.Element("testsuite", {"name": name, **counts})
    suite.extend(cases)
    return suite


def github_lines(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Return workflow commands that GitHub shows beside the change."""
    for verdict in verdicts:
        where = f"{verdict.experiment} on {verdict.board}"
        for row in verdict.worse:
            yield f"::error title=kilograd gate::{where}: {sentence(row)}"
        for problem in verdict.problems:
            yield f"::error title=kilograd gate::{where}: {_one_line(problem)}"
        if verdict.not_judged:
            yield f"::warning title=kilograd gate::{where}: not judged, {_one_line(verdict.not_judged)}"


def _one_line(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def sentence(row: Row) -> str:
    """Return what happened to a number, for people."""
    return f"{row.metric} went from {_number(row.old)} to {_number(row.new)}, the limit is {_number(row.limit)}"
