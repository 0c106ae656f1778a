# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of kernels and training steps as subjects of the gate, beside experiments."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kilograd import bench_cases, bench_kernels
from kilograd.gate.baseline import Baseline, path_of, read_baseline, write_baseline
from kilograd.gate.verdict import Verdict, judge
from kilograd.platforms.board import boards, load_board

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from kilograd.bench_kernels import Bench
    from kilograd.console import Progress
    from kilograd.platforms.board import Board

KERNELS, STEP = "bench_kernels", "bench_step"
SUBJECTS = (KERNELS, STEP)
"""Names of what is judged, and of the folders of its baselines."""

SPARSE = 0.1
"""Share of rows that sparse training steps are measured with, beside dense ones."""


def run_benches(
    subject: str,
    names: Sequence[str] | None,
    *,
    baselines: Path,
    out: Path,
    tolerance_percent: float,
    accept: bool,
    progress: Progress,
) -> list[Verdict]:
    """
    Measure a benchmark on boards, and compare each with its baseline.

    Args:
        subject: one of `SUBJECTS`.
        names: of the boards; without them, those that have a baseline, or all of silicon.
        baselines: folder of the committed baselines.
        out: folder for the firmware.
        tolerance_percent: how much a number may grow.
        accept: write what was measured as the new baseline.
        progress: is told what goes on.

    """
    verdicts = []
    known = sorted(file.stem for file in (baselines / subject).glob("*.json"))
    for board in map(load_board, names or known or _chips()):
        path = path_of(baselines, subject, board.name)
        old = read_baseline(path)
        now = _measured(subject, board, out, progress)
        if accept:
            write_baseline(path, now)
        verdicts.append(judge(subject, now, now if accept else old, (), tolerance_percent))
    return verdicts


def _chips() -> list[str]:
    return [name for name in boards() if load_board(name).qemu_machine is None]


def _measured(subject: str, board: Board, out: Path, progress: Progress) -> Baseline:
    configurations = bench_kernels.usual_configurations(board)
    if subject == KERNELS:
        made = bench_kernels.bench(bench_kernels.layer_cases(), configurations, board, out, progress)
        return Baseline(board.name, made.compiler, dict(_metrics(made)))
    cases = bench_kernels.step_cases(bench_cases.NETS)
    dense, sparse = (
        bench_kernels.bench(cases, ["uint8"], board, out, progress, lambda_min=share) for share in (1.0, SPARSE)
    )
    renamed = replace(sparse, rows=tuple(replace(row, case=f"{row.case}.sparse") for row in sparse.rows))
    return Baseline(board.name, dense.compiler, dict((*_metrics(dense), *_metrics(renamed))))


def _metrics(made: Bench) -> Iterator[tuple[str, int]]:
    """Give the numbers of all rows by dotted names."""
    for row in made.rows:
        name = f"{row.case}.{row.configuration}.{row.phase}"
        yield f"{name}.instructions", row.instructions
        yield f"{name}.cycles", row.cycles
        if row.phase not in {"backward", "step"}:  # sums of others
            yield f"{name}.code", row.code_bytes
            yield f"{name}.scratch", row.scratch_bytes
