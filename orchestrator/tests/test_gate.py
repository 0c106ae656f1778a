# SPDX-License-Identifier: Apache-2.0
"""The gate: what fails a change, what does not, and what cannot be judged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from kilograd.errors import KilogradError
from kilograd.gate import show
from kilograd.gate.baseline import Baseline, path_of, read_baseline, write_baseline
from kilograd.gate.verdict import judge

if TYPE_CHECKING:
    from pathlib import Path

    from command_line import Cli
    from kilograd.gate.verdict import Verdict

OLD = Baseline("rp2040", "gcc 12", {"cycles.total": 1000, "ram.total": 200, "flash.code": 0})


def verdict_on(tolerance: float = 1.0, *, compiler: str = "gcc 12", **changed: int) -> Verdict:
    """Judge the old numbers with some of them changed; dots are written as underscores."""
    metrics = {**OLD.metrics, **{name.replace("_", "."): value for name, value in changed.items()}}
    return judge("digits", Baseline("rp2040", compiler, metrics), OLD, (), tolerance)


@pytest.mark.parametrize(
    ("tolerance", "cycles", "judgement"),
    [(1.0, 1010, "same"), (1.0, 1011, "worse"), (0.0, 1001, "worse"), (1.0, 999, "better")],
)
def test_growth_beyond_the_tolerance_is_worse(tolerance: float, cycles: int, judgement: str) -> None:
    """Exactly the limit passes."""
    verdict = verdict_on(tolerance, cycles_total=cycles)

    assert judgement == verdict.rows[0].judgement
    assert (judgement == "worse") == verdict.failed


def test_new_and_vanished_numbers_do_not_fail() -> None:
    """A layer that comes or goes is a change of the model, which the totals judge."""
    now = Baseline("rp2040", "gcc 12", {"cycles.total": 1000, "ram.total": 200, "cycles.layer.fc": 5})

    verdict = judge("digits", now, OLD, (), 1.0)

    assert ["same", "same", "gone", "new"] == [row.judgement for row in verdict.rows]
    assert not verdict.failed


def test_another_compiler_is_not_judged_but_hard_limits_are() -> None:
    """Its numbers say nothing about the change; too much RAM is too much with any compiler."""
    verdict = judge("digits", Baseline("rp2040", "gcc 13", {}), OLD, ("RAM is over its limit",), 1.0)

    assert "gcc 12, this is gcc 13" in verdict.not_judged
    assert verdict.failed


def test_reports_for_machines_say_the_same_as_the_verdict(tmp_path: Path) -> None:
    """JUnit, JSON and GitHub's annotations name the number, before, now and the limit."""
    verdict = verdict_on(cycles_total=1100)
    show.write_junit([verdict], tmp_path / "gate.xml")
    (suite,) = ET.parse(tmp_path / "gate.xml").getroot()  # noqa: S314 - our own file
    (line,) = show.github_lines([verdict])
    row = show.as_json([verdict])["verdicts"][0]["rows"][0]

    assert ("3", "1") == (suite.get("tests"), suite.get("failures"))
    assert "cycles.total went from 1,000 to 1,100, the limit is 1,010" in suite[0][0].get("message")
    assert line.startswith("::error title=kilograd gate::digits on rp2040: cycles.total went from 1,000")
    assert {"metric": "cycles.total", "old": 1000, "new": 1100, "difference": 100, "limit": 1010} == {
        key: row[key] for key in ("metric", "old", "new", "difference", "limit")
    }


def test_baseline_survives_its_file(tmp_path: Path) -> None:
    """Sorted, so that a diff shows what changed."""
    path = path_of(tmp_path, "digits", "rp2040")
    write_baseline(path, OLD)

    assert read_baseline(path) == OLD
    assert list(json.loads(path.read_text())["metrics"]) == sorted(OLD.metrics)
    assert [path] == list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"schema": 99}', "has schema 99, this kilograd reads 1"),
        ("[]", "has schema"),
        ("{", "cannot be read"),
        ('{"schema": 1, "board": "x", "compiler": "y", "metrics": {"ram.total": "much"}}', "is damaged"),
    ],
)
def test_baseline_of_another_form_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """A wrong comparison is worse than none."""
    path = tmp_path / "rp2040.json"
    path.write_text(text)

    with pytest.raises(KilogradError, match=words) as caught:
        read_baseline(path)

    assert "--accept" in caught.value.hint


def test_gate_accepts_then_passes_then_fails(cli: Cli) -> None:
    """The whole way on a real run: no baseline, a new one, the same again, and one that was better."""
    experiment = cli.experiment(
        """
        name = "gated"
        model = {source = "digits_cnn"}
        data = {name = "digits", samples = 96, test_samples = 20}
        train = {configuration = "float32", layers = 1, steps = 48, epochs = 1}
        run = {boards = ["nrf52840"]}
        """
    )
    arguments = ("gate", str(experiment), "--quiet", "--json", "--baseline", "baselines")
    path = path_of(cli.place.here / "baselines", "gated", "nrf52840")

    without = cli._run(*arguments)
    accepted = cli._run(*arguments, "--accept")
    same = cli._run(*arguments)
    old = read_baseline(path)
    write_baseline(path, Baseline(old.board, old.compiler, {**old.metrics, "cycles.total": 1}))
    worse = cli._run(*arguments)

    assert [2, 0, 0, 1] == [done.returncode for done in (without, accepted, same, worse)]
    assert "error: could not judge gated on nrf52840: there is no baseline" in without.stderr
    assert "error: 1 numbers got worse" in worse.stderr
    assert "--baseline baselines --accept" in worse.stderr
    assert {"cycles.layer.fc2", "instructions.backward", "ram.stack", "flash.code"} <= set(old.metrics)


def test_without_baselines_the_first_step_is_shown(cli: Cli) -> None:
    """Somebody begins with an empty folder."""
    done = cli._run("gate", "--json")

    assert 2 == done.returncode
    assert "there are no baselines in baselines" in done.stderr
    assert "--accept" in done.stderr
