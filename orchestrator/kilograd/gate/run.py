# SPDX-License-Identifier: Apache-2.0
"""Measures experiments on their virtual boards, and judges or accepts the results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd import flow, report, toolchain
from kilograd.gate.baseline import Baseline, measured, path_of, read_baseline, write_baseline
from kilograd.gate.verdict import Verdict, judge

if TYPE_CHECKING:
    from pathlib import Path

    from kilograd.console import Progress
    from kilograd.experiment import Experiment
    from kilograd.report import Report


def run_gate(
    experiment: Experiment, *, baselines: Path, out: Path, tolerance_percent: float, accept: bool, progress: Progress
) -> list[Verdict]:
    """
    Build and run an experiment on all its boards, and compare each with its baseline.

    Args:
        experiment: what to measure.
        baselines: folder of the committed baselines.
        out: folder for everything that is made.
        tolerance_percent: how much a number may grow.
        accept: write what was measured as the new baseline, and judge nothing but hard limits.
        progress: is told what goes on.

    """
    olds = {name: read_baseline(path_of(baselines, experiment.name, name)) for name in _names(experiment)}
    result = flow.run_experiment(
        experiment, out=out, boards=experiment.run.boards, engine=experiment.run.engine, progress=progress
    )
    compiler = toolchain.describe(toolchain.arm_compiler())
    verdicts = []
    for board in result.boards:
        now = measured(board, compiler)
        problems = _problems(result, board.board, experiment)
        if accept and board.fits:
            write_baseline(path_of(baselines, experiment.name, board.board), now)
        old: Baseline | None = now if accept else olds.get(board.board)
        verdicts.append(judge(experiment.name, now, old, problems, tolerance_percent))
    return verdicts


def _names(experiment: Experiment) -> list[str]:
    return [name.rstrip("/").rpartition("/")[2] for name in experiment.run.boards]


def _problems(result: Report, board: str, experiment: Experiment) -> list[str]:
    alone = report.Report(tuple(item for item in result.boards if item.board == board))
    return [problem.message for problem in report.problems(alone, experiment.limits)]
