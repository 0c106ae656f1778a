# SPDX-License-Identifier: Apache-2.0
"""
The negative evidence lower bound of a variational autoencoder, in nats; the input is its own target.

Bernoulli reconstruction of inputs in [0, 1], plus the divergence of the latent variables from the standard normal
distribution. uint8 logits have a fixed range: where one is clamped, its error is either zero already or leads back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from kilograd.errors import KilogradError
from kilograd.fixed_point import requant
from kilograd.lowering import Error
from kilograd.ops.sample import divergence_of
from kilograd.types import Array, Format, Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilograd.lowering import Lowering
    from kilograd.types import Graph, Node, Value

LARGEST_LOGIT = 10  # an even background of 784 pixels costs 0.04 nats there
LARGEST_ERROR = 254  # most pixels are dark and have small errors: 127 rounds too many to zero, 508 diverges
OUTPUT_FORMAT: Format | None = Format("uint8", float(np.float32(2 * LARGEST_LOGIT / 255)), 128)
SIGMOID_BITS = 23  # as kg_elbo_error_u8_t has them
SOFTPLUS_BITS = 16


def reported(graph: Graph) -> str:
    """Return the means and log-variances."""
    return _sampling(graph).inputs[0]


def add_steps(low: Lowering) -> None:
    """Add the loss after the reconstruction, and its error, in place, before all backward steps."""
    graph = low.graph
    logits, x, count = low.tensor(graph.output), low.tensor(graph.input), low.count(graph.output)
    if count != low.count(graph.input):
        message = f"{graph.name} makes {count} numbers of {low.count(graph.input)}: an autoencoder gives its input back"
        raise KilogradError(message, "its last layer must have the size of its input")
    integer = low.format(graph.output).dtype == "uint8"
    suffix = "u8" if integer else "f32"
    divergence = divergence_of(_sampling(graph))
    args: dict[str, Value] = {"count": count, "logits": Array(logits), "divergence": Array(divergence)}
    args |= _loss_u8(low, x) if integer else _input_f32(low, x)
    record = Record("loss_elbo", f"kg_elbo_{suffix}_t", args)
    low.step(low.forward, "loss", "forward", f"elbo_{suffix}", record, reads=[logits, x, divergence])
    if low.trained:
        _output_error(low, logits, x)


def _sampling(graph: Graph) -> Node:
    """Return the node that draws the latent variables."""
    found = [node for node in graph.nodes if node.op == "sample"]
    if len(found) != 1:
        message = f"{graph.name} draws latent variables {len(found)} times"
        raise KilogradError(message, "a variational autoencoder has one sample node")
    return found[0]


def _output_error(low: Lowering, logits: str, x: str) -> None:
    graph = low.graph
    integer = low.format(graph.output).dtype == "uint8"
    suffix = "u8" if integer else "f32"
    error = low.feature("loss_error", "uint8_t" if integer else "float", low.count(graph.output))
    scale = low.new_scale("loss_error", follows=False) if integer else None
    args: dict[str, Value] = {"count": low.count(graph.output), "logits": Array(logits), "e": Array(error)}
    args |= _error_u8(low, x, scale) if scale is not None else _input_f32(low, x)
    record = Record("loss_output_error", f"kg_elbo_error_{suffix}_t", args)
    dithered = "_dithered" if integer and not low.rule.fixed_errors else ""
    low.step(
        low.backward, "loss", "output error", f"elbo_error{dithered}_{suffix}", record,
        reads=[logits, x], writes=[error], inplace=(error, logits),
    )  # fmt: skip
    low.errors[low.source(graph.output)].append(Error(error, scale, 1.0, masked=not low.rectified(graph.output)))


def _loss_u8(low: Lowering, x: str) -> dict[str, Value]:
    """Return what the loss of uint8 logits needs: softplus of all 256."""
    form, source = low.format(low.graph.output), low.format(low.graph.input)
    table = np.rint(np.logaddexp(0, _logits(form)) * 2**SOFTPLUS_BITS).astype(np.int32)
    return {
        "x": Array(x),
        "logit_zero": form.zero,
        "x_zero": source.zero,
        "unit": float(np.float32(form.scale) * np.float32(source.scale)),
        "softplus": Array(low.array("loss_softplus", "int32_t", len(table), "weights", table)),
    }


def _error_u8(low: Lowering, x: str, scale: str) -> dict[str, Value]:
    """Return what the error of uint8 logits needs: the sigmoid of all 256, and x in the same unit."""
    form, source = low.format(low.graph.output), low.format(low.graph.input)
    table = np.rint(2**SIGMOID_BITS / (1 + np.exp(-_logits(form)))).astype(np.int32)
    step = cast("float", low.records[scale].values["scale"])
    return {
        "x": Array(x),
        "x_zero": source.zero,
        "x_unit": round(source.scale * 2**SIGMOID_BITS),
        "sigmoid": Array(low.array("loss_sigmoid", "int32_t", len(table), "weights", table)),
        "factor": requant(np.float32(2.0**-SIGMOID_BITS / step)),
    }


def _logits(form: Format) -> NDArray[np.float64]:
    """Return the real values of all 256 logits."""
    return (np.arange(256, dtype=np.float64) - form.zero) * form.scale


def _input_f32(low: Lowering, x: str) -> dict[str, Value]:
    """Return the target for float logits: inputs in either format."""
    form = low.format(low.graph.input)
    integer = form.dtype == "uint8"
    return {
        "x": None if integer else Array(x),
        "x_u8": Array(x) if integer else None,
        "x_scale": form.scale,
        "x_zero": form.zero,
    }
