# SPDX-License-Identifier: Apache-2.0
"""The verb `bench host`: the speed of training on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from kilograd.commands import _common
from kilograd.commands._options import Json

Model = Annotated[str, typer.Option("--model", metavar="MODEL", help="A built-in model, or the path of an .onnx file.")]
Configuration = Annotated[
    str, typer.Option("--configuration", metavar="CONFIGURATION", help="Number formats: uint8, mixed, float32.")
]
Seconds = Annotated[float, typer.Option("--seconds", help="How long each of five turns takes.")]


def host(
    model: Model = "mnist_cnn", configuration: Configuration = "uint8", seconds: Seconds = 2.0, as_json: Json = False
) -> None:
    """Measure how many samples a second the host twin trains, and torch where it is installed."""
    from kilograd import bench_host, report

    result = bench_host.bench(model, configuration, seconds)
    _common.show(report.to_json(result) if as_json else _common.pairs(result))
