# SPDX-License-Identifier: Apache-2.0
"""The largest value of each window; padding never wins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kilograd.lowering import Error, Pooled
from kilograd.ops import _checks, _window
from kilograd.types import Address, Array, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kilograd.lowering import Lowering
    from kilograd.types import Node, Shape, Value

LARGEST_WINDOW = 256  # the runtime remembers the winner of a window in one byte


def shape(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Return (channels, rows, columns)."""
    out = _window.pooled(node, _checks.feature_map(node, inputs))
    kernel = _window.window(node).kernel
    if math.prod(kernel) > LARGEST_WINDOW:
        raise _checks.misfit(node, f"a window of {kernel} holds more than {LARGEST_WINDOW} elements")
    return out


def evaluate(node: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Take the maximum of each window."""
    (x,) = inputs
    largest: NDArray[np.float32] = _window.windows(node, x, fill=-np.inf).max(axis=(4, 5))
    return largest


def forward_steps(node: Node, low: Lowering) -> None:
    """Add the forward step; it remembers the winners for the backward pass."""
    dims = low.record(f"{node.name}_dims", "kg_pool_dims_t", _window.dims(node, low, ("channels",)))
    x, y = low.tensor(node.inputs[0]), low.tensor(node.output)
    argmax = low.feature(f"{node.name}_argmax", "uint8_t", low.count(node.output))
    suffix = low.suffix(node)
    args: dict[str, Value] = {"dims": Address(dims), "x": Array(x), "y": Array(y), "argmax": Array(argmax)}
    record = Record(f"{node.name}_forward", f"kg_max_pool_{suffix}_t", args)
    low.step(low.forward, node, "forward", f"max_pool_{suffix}", record, reads=[x], writes=[y, argmax])


def backward_steps(node: Node, low: Lowering, error: Error) -> None:
    """Route the error to the winners; its scale stays, and what was masked behind the pool is masked before it."""
    source = low.source(node.inputs[0])
    below = Error(low.error_buffer(node, source), error.scale, error.factor, error.masked)
    low.errors[source].append(below)
    if _waits(node, low, below):
        low.pooled[source] = Pooled(
            error, low.count(node.output), lambda kept: _add_step(node, low, error, below, kept)
        )
    else:
        _add_step(node, low, error, below, None)


def _waits(node: Node, low: Lowering, below: Error) -> bool:
    """
    Tell whether the step can wait for the selection of a sparse layer right before the pool.

    The layer's norms must be the same behind the pool. Windows that do not overlap keep every error, and integers have
    the same sum in any order.
    """
    source = low.source(node.inputs[0])
    layer, shape = low.producer.get(source), _window.window(node)
    apart = all(kernel <= stride for kernel, stride in zip(shape.kernel, shape.stride, strict=True))
    whole = low.readers[source] == 1 and (below.masked or not low.rectified(source))
    sparse = layer is not None and layer.weight is not None and low.is_sparse(layer)
    return low.suffix(node) == "u8" and apart and whole and sparse


def _add_step(node: Node, low: Lowering, error: Error, below: Error, kept: str | None) -> None:
    suffix, argmax = low.suffix(node), f"{node.name}_argmax"
    args: dict[str, Value] = {"dims": Address(f"{node.name}_dims"), "e": Array(error.buffer), "argmax": Array(argmax)}
    if suffix == "u8":
        args["kept"] = Array(kept) if kept else None
    args["dx"] = Array(below.buffer)
    record = Record(f"{node.name}_backward", f"kg_max_pool_backward_{suffix}_t", args)
    low.step(
        low.backward, node, "input gradient", f"max_pool_backward_{suffix}", record,
        reads=[error.buffer, argmax, *([kept] if kept else [])], writes=[below.buffer],
    )  # fmt: skip
