# SPDX-License-Identifier: Apache-2.0
"""Lowering of sparse updates: the step that chooses which rows of a layer one sample trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.types import Address, Array, Function, Record

if TYPE_CHECKING:
    from kilograd.lowering import Error, Lowering
    from kilograd.types import Node, Value


def select_rows(node: Node, low: Lowering, error: Error) -> str | None:
    """
    Add the selection step of a sparse layer, and return the buffer of its list; None where the layer is dense.

    Where a pool has put off its backward step, rows are ranked by the error behind it, and only theirs goes on.
    """
    pooled = low.pooled.pop(low.source(node.output), None)
    if pooled is None:
        return _select(node, low, error, low.count(node.output))
    kept = _select(node, low, pooled.error, pooled.count)
    pooled.add_step(kept)
    return kept


def _select(node: Node, low: Lowering, error: Error, count: int) -> str | None:
    if not low.is_sparse(node):
        return None
    rows, suffix = low.weights(node).weight.shape[0], low.suffix(node)
    kept = low.feature(f"{node.name}_kept", "kg_kept_t", rows)
    scratch = [low.feature(f"{node.name}_norms", "int32_t", rows)]
    how: dict[str, Value] = {
        "rows": rows,
        "positions": count // rows,
        "stream": low.stream(),
        "lambda_min": low.sparsity.lambda_min,
        "lambda_max": low.sparsity.lambda_max,
        "choose": Function(f"kg_select_{low.sparsity.selection}"),
        "norms": Array(scratch[0]),
        "kept": Array(kept),
        "tally": Address(f"kept_tallies[{len(low.sparse)}]"),
    }
    args: dict[str, Value] = {"how": how, "e": Array(error.buffer)}
    if suffix == "u8":
        args["norm"] = low.kernels.choose("kg_norm_u8")
    else:
        scratch.append(low.feature(f"{node.name}_norm_sums", "float", rows))
        args["sums"] = Array(scratch[1])
    low.sparse.append(node.name)
    record = Record(f"{node.name}_select", f"kg_select_{suffix}_t", args)
    low.step(
        low.backward, node, "selection", f"select_{suffix}", record,
        reads=[error.buffer, *scratch], writes=[kept, *scratch],
    )  # fmt: skip
    return kept
