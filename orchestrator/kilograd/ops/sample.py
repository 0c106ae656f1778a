# SPDX-License-Identifier: Apache-2.0
"""The latent variables of a variational autoencoder: drawn from means and log-variances, in float."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.lowering import Error, error_ref
from kilograd.ops import _checks
from kilograd.types import Address, Array, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kilograd.lowering import Lowering
    from kilograd.types import Node, Shape, Value

LARGEST_LOG_VARIANCE = 8
FIRST_STREAM = 1 << 16  # of random numbers: behind those of the layers


def shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Return (latent variables,): half of the input, which holds all means and then all log-variances."""
    source = _checks.only(node, inputs)
    if len(source) != 1 or source[0] % 2:
        raise _checks.misfit(node, f"needs as many means as log-variances in one row, got {source}")
    return (source[0] // 2,)


def evaluate(_: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Draw z with seeded numbers; they are others than on a chip, of the same distribution."""
    means, log_variances = np.split(inputs[0], 2, axis=1)
    sigma = np.exp(np.clip(log_variances, -LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE) / 2)
    eps = np.random.default_rng(0).standard_normal(means.shape)
    return (means + sigma * eps).astype(np.float32)


def forward_steps(node: Node, low: Lowering) -> None:
    """Add the step that draws z; what it was drawn with is kept for the way back, and its divergence for the loss."""
    heads, z, form = low.tensor(node.inputs[0]), low.tensor(node.output), low.format(node.output)
    noise = low.feature(f"{node.name}_noise", "float", low.count(node.inputs[0]))
    divergence = low.feature(divergence_of(node), "float", 1)
    args: dict[str, Value] = {
        "latent": _latent(node, low),
        "stream": FIRST_STREAM + low.graph.nodes.index(node),
        "divergence": Array(divergence),
        "z": Array(z),
    }
    if form.dtype == "uint8":
        args |= {"scale": form.scale, "zero": form.zero}
    suffix = _suffix(node, low)
    record = Record(f"{node.name}_forward", f"kg_sample_{suffix}_t", args)
    low.step(low.forward, node, "forward", f"sample_{suffix}", record, reads=[heads], writes=[noise, divergence, z])


def backward_steps(node: Node, low: Lowering, error: Error) -> None:
    """Add the step from the error of z to that of means and log-variances: uint8 where their layer computes in it."""
    heads, noise = low.tensor(node.inputs[0]), f"{node.name}_noise"
    real = low.feature(f"{heads}_gradient", "float", low.count(heads))
    args: dict[str, Value] = {"latent": _latent(node, low), "e": Array(error.buffer), "dheads": Array(real)}
    suffix = _suffix(node, low)
    if suffix == "u8":
        args["e_scale"] = error_ref(error)
    record = Record(f"{node.name}_backward", f"kg_sample_backward_{suffix}_t", args)
    low.step(
        low.backward, node, "input gradient", f"sample_backward_{suffix}", record,
        reads=[error.buffer, heads, noise], writes=[real], inplace=(real, noise),
    )  # fmt: skip
    below = Error(real, None, 1.0, masked=not low.rectified(heads))
    low.errors[heads].append(_quantised(node, low, below) if low.takes_integers(heads) else below)


def divergence_of(node: Node) -> str:
    """Return the buffer of the divergence that a node adds to the loss."""
    return f"{node.name}_divergence"


def _quantised(node: Node, low: Lowering, real: Error) -> Error:
    """Add the step that brings a float error into uint8, with a scale of its own."""
    heads = low.source(node.inputs[0])
    buffer = low.feature(f"{heads}_error", "uint8_t", low.count(heads))
    scale = low.new_scale(buffer)
    args: dict[str, Value] = {
        "count": low.count(heads),
        "e": Array(real.buffer),
        "mask": None,
        "mask_zero": 0,
        "dx": Array(buffer),
        "scale": Address(scale),
    }
    record = Record(f"{node.name}_quantise_error", "kg_dequantise_backward_t", args)
    low.step(low.backward, node, "input gradient", "dequantise_backward", record, reads=[real.buffer], writes=[buffer])
    return Error(buffer, scale, 1.0, real.masked)


def _latent(node: Node, low: Lowering) -> dict[str, Value]:
    heads = low.tensor(node.inputs[0])
    return {"count": low.count(node.output), "heads": Array(heads), "noise": Array(f"{node.name}_noise")}


def _suffix(node: Node, low: Lowering) -> str:
    return "u8" if low.format(node.output).dtype == "uint8" else "f32"
