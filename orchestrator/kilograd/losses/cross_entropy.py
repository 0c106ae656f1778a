# SPDX-License-Identifier: Apache-2.0
"""Softmax cross-entropy with the class of the sample, in float."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.lowering import Error
from kilograd.types import Address, Array, Record

if TYPE_CHECKING:
    from kilograd.lowering import Lowering
    from kilograd.types import Format, Graph, Value

MANY_CLASSES = 20  # from here on errors are rounded stochastically
LARGEST_ERROR = 127
OUTPUT_FORMAT: Format | None = None  # logits grow while a net learns: a static range would saturate


def reported(graph: Graph) -> str:
    """Return the logits."""
    return graph.output


def add_steps(low: Lowering) -> None:
    """Add softmax cross-entropy after the logits, and the output error before all backward steps."""
    logits, classes = low.tensor(low.graph.output), low.count(low.graph.output)
    p = low.feature("loss_p", "float", classes)
    args: dict[str, Value] = {"classes": classes, "logits": Array(logits), "p": Array(p)}
    softmax = Record("loss_softmax", "kg_softmax_t", args)
    low.step(low.forward, "loss", "forward", "softmax", softmax, reads=[logits], writes=[p])
    if not low.trained:
        return
    integer = low.takes_integers(low.graph.output)
    error = low.feature("loss_error", "uint8_t" if integer else "float", classes)
    scale = low.new_scale("loss_error", follows=False) if integer else None
    suffix = "u8" if integer else "f32"
    args = {"classes": classes, "p": Array(p), "e": Array(error)}
    if scale is not None:
        args["scale"] = Address(scale)
    record = Record("loss_output_error", f"kg_output_error_{suffix}_t", args)
    dithered = "_dithered" if integer and classes >= MANY_CLASSES else ""
    low.step(
        low.backward, "loss", "output error", f"output_error{dithered}_{suffix}", record,
        reads=[p], writes=[error], inplace=None if integer else (error, p),
    )  # fmt: skip
    low.errors[low.source(low.graph.output)].append(Error(error, scale, 1.0, masked=True))
