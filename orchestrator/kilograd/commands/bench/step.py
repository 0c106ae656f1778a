# SPDX-License-Identifier: Apache-2.0
"""The verb `bench step`: what whole training steps cost on a virtual board."""

from __future__ import annotations

from typing import Annotated

import typer

from kilograd import console
from kilograd.commands import _common
from kilograd.commands._bench import Configurations, Nets, configurations_for, show
from kilograd.commands._options import Board, Json, Out, Quiet

Layers = Annotated[int | None, typer.Option("--layers", min=1, help="Train only so many of the last layers.")]
Lambda = Annotated[
    float, typer.Option("--lambda-min", metavar="SHARE", min=0.0, max=1.0, help="Share of rows that a sample trains.")
]


def step(
    board: Board = "nrf52840",
    nets: Nets = None,
    layers: Layers = None,
    lambda_min: Lambda = 1.0,
    configurations: Configurations = None,
    out: Out = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """
    Count what training steps cost: forward, gradients, selection, update; RAM and flash.

    Models are trained on dense noise. An update is counted once for a minibatch; a step has its share of a minibatch of
    48. A model that does not fit the board is measured as if the board had 4 MB of RAM, and says so. Beside time and
    memory stands what the method's authors published for the same model and board.
    """
    from kilograd import bench_cases, bench_kernels
    from kilograd.platforms.board import load_board

    chip = load_board(board)
    named = nets or bench_cases.NETS
    bench_kernels.check_models(named)
    made = bench_kernels.bench(
        bench_kernels.step_cases(named, layers=layers or "all"),
        configurations_for(chip, configurations),
        chip,
        _common.bench_folder(out),
        console.progress(quiet=quiet),
        lambda_min=lambda_min,
    )
    show(made, as_json=as_json)
