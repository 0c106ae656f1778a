# SPDX-License-Identifier: Apache-2.0
"""The verb `bench kernels`: what single layers cost on a virtual board."""

from __future__ import annotations

from typing import Annotated

import typer

from kilograd import console
from kilograd.commands import _common
from kilograd.commands._bench import Configurations, Nets, configurations_for, show
from kilograd.commands._options import Board, Json, Out, Quiet

Pattern = Annotated[str, typer.Option("--case", metavar="GLOB", help="Only cases with such a name.")]
Zoo = Annotated[bool, typer.Option("--zoo", help="The layers of all built-in models.")]


def kernels(
    board: Board = "nrf52840",
    case: Pattern = "*",
    nets: Nets = None,
    zoo: Zoo = False,
    configurations: Configurations = None,
    out: Out = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """
    Count what kernels cost: instructions, cycles, bytes of code and scratch memory.

    Each case is trained on dense noise on the virtual board. Layers have a row for each kernel and call, whole models
    one for each part of a training step. --net and --zoo show the layers of built-in models instead.
    """
    from kilograd import bench_cases, bench_kernels
    from kilograd.platforms.board import load_board
    from kilograd.zoo import models

    chip = load_board(board)
    named = models() if zoo else tuple(nets or ())
    bench_kernels.check_models(named)
    cases = bench_kernels.net_cases(named, case)
    if not named:
        cases = bench_kernels.layer_cases(case) + bench_kernels.step_cases(bench_cases.NETS, case)
    made = bench_kernels.bench(
        cases, configurations_for(chip, configurations), chip, _common.bench_folder(out), console.progress(quiet=quiet)
    )
    show(made, as_json=as_json)
