# SPDX-License-Identifier: Apache-2.0
"""The verb `gate`: fail a change that makes training slower or larger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kilograd import console
from kilograd.commands import _common
from kilograd.commands._options import Boards, Json, Quiet

NOT_JUDGED = 2

if TYPE_CHECKING:
    from kilograd.gate.verdict import Verdict

Experiments = Annotated[
    list[str] | None,
    typer.Argument(metavar="[EXPERIMENT]...", help="What to measure [default: all that have baselines]."),
]
Folder = Annotated[Path, typer.Option("--baseline", metavar="DIR", help="Folder of the baselines.")]
Accept = Annotated[bool, typer.Option("--accept", help="Write what was measured as the new baselines.")]
Tolerance = Annotated[float, typer.Option("--tolerance", min=0.0, help="Per cent that a number may grow.")]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write a JUnit XML report.")]
Github = Annotated[bool, typer.Option("--github", help="Print annotations for GitHub on stderr.")]
Every = Annotated[bool, typer.Option("--all", help="Show numbers that are the same, too.")]


def gate(
    experiments: Experiments = None,
    boards: Boards = None,
    baseline: Folder = Path("baselines"),
    accept: Accept = False,
    tolerance: Tolerance = 1.0,
    junit: Junit = None,
    github: Github = False,
    every: Every = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """
    Compare cycles and bytes with committed baselines.

    Besides experiments there are bench_kernels and bench_step: what `kilograd bench` counts for uint8 and float32.

    Exit code 0: nothing is worse; 1: something is; 2: something could not be judged, for it has no baseline, or one
    of another compiler.
    """
    from kilograd import report
    from kilograd.errors import CheckFailedError, KilogradError
    from kilograd.gate import baseline as files
    from kilograd.gate import benches, run, show

    names = experiments or files.experiments_with_baselines(baseline)
    if not names:
        message = f"there are no baselines in {baseline}"
        raise KilogradError(message, f"name an experiment: kilograd gate digits --baseline {baseline} --accept")
    say = console.progress(quiet=quiet)
    verdicts: list[Verdict] = []
    for name in names:
        if name in benches.SUBJECTS:
            verdicts += benches.run_benches(
                name, boards, baselines=baseline, out=_common.bench_folder(None), tolerance_percent=tolerance,
                accept=accept, progress=say,
            )  # fmt: skip
            continue
        loaded = _common.load_experiment(name, boards, None, None, None)
        folder = _common.out_folder(None, loaded)
        verdicts += run.run_gate(
            loaded, baselines=baseline, out=folder, tolerance_percent=tolerance, accept=accept, progress=say
        )
    if junit is not None:
        show.write_junit(verdicts, junit)
    if github:
        for line in show.github_lines(verdicts):
            typer.echo(line, err=True)
    _common.show(report.to_json(show.as_json(verdicts)) if as_json else show.table(verdicts, every=every))
    again = f"kilograd gate {' '.join(names)} --baseline {baseline} --accept"
    failed = [verdict for verdict in verdicts if verdict.failed]
    if failed:
        reasons = [problem for verdict in failed for problem in verdict.problems]
        count = sum(len(verdict.worse) for verdict in failed)
        message = "; ".join([*([f"{count} numbers got worse"] if count else []), *reasons])
        raise CheckFailedError(message, f"make it better, or accept it: {again}")
    unknown = [verdict for verdict in verdicts if verdict.not_judged]
    if unknown:
        places = "; ".join(f"{verdict.experiment} on {verdict.board}: {verdict.not_judged}" for verdict in unknown)
        message = f"could not judge {places}"
        raise KilogradError(message, f"make a baseline with this compiler: {again}")
