# SPDX-License-Identifier: Apache-2.0
"""The oracle with sparse updates: rows chosen by equation 9, in exact integers, and what that changes in a sample."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from oracle import Error, Oracle, Refresh
from oracle_numbers import Array, F, dither, narrow, top_bits
from oracle_update import GRADIENT, Layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilograd.types import Node, QuantisedGraph, Sparsity

SELECT = 0x30000  # purpose of the dither
FRACTION = 3
LARGEST_FACTOR = 256


def rows_to_keep(sparsity: Sparsity, loss: F, largest: F, rows: int) -> int:
    """Return k of equation 9, with the loss over the largest one so far, in float32."""
    eps = F(loss) / F(largest) if largest > 0 else F(1)
    share = F(sparsity.lambda_min) + eps * (F(sparsity.lambda_max) - F(sparsity.lambda_min))
    return max(1, int(np.floor(min(share, F(1)) * F(rows))))


def proportional(norms: Array, keep: int, u: int) -> tuple[Array, Array]:
    """Return rows and their factors in eighths: kept with probability 8 / factor by systematic sampling."""
    sure = np.zeros(norms.shape, bool)
    while True:  # c = want / rest, of the rows that are not sure; sure are those with c n >= 1
        want, rest = keep - int(sure.sum()), int(norms[~sure].sum())
        found = norms * want >= rest
        if norms[~found].sum() == 0 or (found == sure).all():
            break
        sure = found
    want, rest = keep - int(sure.sum()), int(norms[~sure].sum())
    alive = np.flatnonzero(norms)
    factors = np.clip((8 * rest // want + norms[alive] // 2) // norms[alive], 8, LARGEST_FACTOR)
    teeth = ((u >> 4) + np.cumsum(2**31 // factors)) >> 28
    chosen = np.diff(teeth, prepend=0) > 0
    return alive[chosen], factors[chosen]


def top_k(norms: Array, keep: int) -> Array:
    """Return the rows with the largest norms above 0, in ascending order; of equal ones the first."""
    order = np.argsort(-norms, kind="stable")[:keep]
    return np.sort(order[norms[order] > 0])


class SparseOracle(Oracle):
    """A uint8 network with sparse updates in training."""

    def __init__(
        self, quantised: QuantisedGraph, trained: frozenset[str], sparsity: Sparsity, recipe: str = "best"
    ) -> None:
        self.sparsity = sparsity
        ordered = [node.name for node in quantised.graph.nodes if node.name in trained]
        self.sparse = set(ordered[:-1]) if sparsity.lambda_min < 1 else set()
        self.fractions = dict.fromkeys(self.sparse, 0)
        self.kept: dict[str, list[Array]] = {name: [] for name in self.sparse}
        """By layer: the rows kept for each sample so far."""
        self.largest_loss = F(0)
        super().__init__(quantised, trained, recipe)
        self.largest_loss = F(0)
        for name in self.sparse:
            self.kept[name].clear()
            self.layers[name].marks = np.zeros(len(self.layers[name].b), bool)

    def backward(self, values: Mapping[str, Array], label: int) -> None:
        """Add one sample's gradients of the rows that are kept."""
        z = values[self.graph.output].astype(np.float64)
        self.loss = F(np.log(np.exp(z - z.max()).sum()) - (z[label] - z.max()))
        self.largest_loss = max(self.largest_loss, self.loss)
        super().backward(values, label)

    def _selected(self, node: Node, error: Error) -> Error:
        """Return the error with dropped rows at zero and kept ones times their factor."""
        if node.name not in self.sparse:
            return error
        layer = self.layers[node.name]
        flat = error.values.reshape(len(layer.b), -1)
        norms = np.abs(flat).sum(axis=1)
        rows, factors, self.fractions[node.name] = self._choose(layer, norms)
        weights = np.zeros(len(norms), np.int64)
        weights[rows] = factors
        self.kept[node.name].append(rows)
        return replace(error, values=(flat * weights[:, None]).reshape(error.values.shape))

    def _choose(self, layer: Layer, norms: Array) -> tuple[Array, Array, int]:
        keep = rows_to_keep(self.sparsity, self.loss, self.largest_loss, len(norms))
        if keep == len(norms) or self.sparsity.selection == "top_k":
            rows = top_k(norms, keep)
            return rows, np.ones(len(rows), np.int64), 0
        u = int(dither(self.seed, layer.stream + SELECT, self.samples, 1)[0])
        return *proportional(norms, keep, u), FRACTION

    def _backward_linear(self, node: Node, error: Error) -> None:
        super()._backward_linear(node, self._selected(node, error))

    def _backward_conv2d(self, node: Node, error: Error) -> None:
        super()._backward_conv2d(node, self._selected(node, error))

    def _below(self, node: Node, sums: Array, error: Error) -> None:
        fraction = self.fractions.get(node.name, 0)
        super()._below(node, (sums + ((1 << fraction) >> 1)) >> fraction, error)

    def _weighted(self, node: Node, sums: Array, error: Error) -> None:
        if node.name not in self.sparse:
            super()._weighted(node, sums, error)
            return
        above = ((error.scale, error.factor),)
        self.refreshes.setdefault(("layer", node.name), Refresh("layer", node.name, above, None))
        layer, fraction = self.layers[node.name], self.fractions[node.name]
        errors = error.values.reshape(len(layer.b), -1)
        rows = (errors != 0).any(axis=1)
        u = dither(self.seed, layer.stream + GRADIENT, self.samples, layer.g.size + len(layer.b))
        layer.gb += (errors.sum(axis=1) + top_bits(u[layer.g.size :], fraction)) >> fraction
        if layer.marks is not None:
            layer.marks |= rows
        if self.recipe == "best":
            shift = layer.g_shift + fraction
            added = (sums + top_bits(u[: layer.g.size].reshape(layer.g.shape), shift)) >> shift
            layer.g[rows] = narrow(layer.g + added)[rows]
            return
        if self.recipe != "paper":
            layer.g += self.step(error) * layer.x_scale * F(2.0**-fraction) * sums.astype(F)
            return
        real = sums * (np.float64(self.step(error)) * np.float64(layer.x_scale) / 2**fraction)
        layer.g += real
        layer.statistics[:, 2] += real.mean(axis=1)
        layer.statistics[:, 3] += (real**2).mean(axis=1)

    def _dump_layer(self, node: Node) -> dict[str, bytes]:
        parts = super()._dump_layer(node)
        marks = self.layers[node.name].marks
        return parts if marks is None else parts | {f"{node.name}_marks": marks.astype(np.uint8).tobytes()}

    def load(self, parts: Mapping[str, bytes]) -> None:
        """Take over a state."""
        super().load(parts)
        for name in self.sparse:
            self.layers[name].marks = np.frombuffer(parts[f"{name}_marks"], np.uint8).astype(bool)
