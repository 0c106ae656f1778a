# SPDX-License-Identifier: Apache-2.0
"""The state of the oracle as bytes, object by object, with the names of the generated tables."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from oracle_numbers import F, Join, requant_pair
from oracle_update import Layer, Scale

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilograd.types import Graph, Node

Parts = dict[str, bytes]

QUANT = struct.Struct("<9i")
PARAMETER = struct.Struct("<fii")
SCALE = struct.Struct("<fiff")
ADD_QUANT = struct.Struct("<8i")
FACTOR = struct.Struct("<2i")


class StateBytes:
    """What the oracle inherits: its own members, and how they are stored."""

    graph: Graph
    trained: frozenset[str]
    needs_error: set[str]
    recipe: str
    parameters: str
    bits: int
    layers: dict[str, Layer]
    scales: dict[str, Scale]
    joins: dict[str, Join]
    factors: dict[str, F]

    def refresh(self) -> None:
        """Renew every fixed-point factor that depends on scales."""
        raise NotImplementedError

    @property
    def kind(self) -> type:
        """Return the type of gradients: exact, or what the runtime adds them in."""
        return {"best": np.int64, "paper": np.float64}.get(self.recipe, F)

    @property
    def stored(self) -> type:
        """Return the type of gradients in the state."""
        return {8: np.int8, 16: np.int16, 32: np.int32}[self.bits] if self.recipe == "best" else F

    def dump(self) -> Parts:
        """Return every object of the state."""
        parts: Parts = {}
        for node in self.graph.nodes:
            if node.weight is not None:
                parts |= self._dump_layer(node)
        for name, scale in self.scales.items():
            parts[f"{name}_scale"] = SCALE.pack(scale.scale, scale.exponent, scale.peak, scale.range)
        for name, join in self.joins.items():
            parts[f"{name}_quant"] = ADD_QUANT.pack(128, 128, 128, 0, 255, join.a_weight, join.b_weight, join.shift)
        for name, factor in self.factors.items():
            parts[name] = FACTOR.pack(*requant_pair(factor))
        return parts

    def _dump_layer(self, node: Node) -> Parts:
        layer, name = self.layers[node.name], node.name
        parts: Parts = {}
        if name in self.trained:
            if self.parameters == "all":
                parts[f"{name}_w"] = layer.w.astype(np.uint8).tobytes()
                parts[f"{name}_g"] = layer.g.astype(self.stored).tobytes()
            parts |= {
                f"{name}_b": layer.b.astype(np.int32).tobytes(),
                f"{name}_gb": layer.gb.astype(np.int32).tobytes(),
                f"{name}_state": PARAMETER.pack(layer.w_scale, layer.g_shift, layer.e_exponent),
            }
            if self.recipe == "paper":
                parts[f"{name}_statistics"] = layer.statistics.astype(np.float32).tobytes()
            if self.recipe.startswith("sgd"):
                parts[f"{name}_bias_momentum"] = layer.bias_momentum.tobytes()
        if name in self.trained or node.inputs[0] in self.needs_error:
            factors = (*requant_pair(layer.forward), *requant_pair(layer.backward))
            parts[f"{name}_quant"] = QUANT.pack(layer.x_zero, layer.w_zero, layer.y_zero, *layer.limits, *factors)
        return parts

    def load(self, parts: Mapping[str, bytes]) -> None:
        """Take over a state: of all that changes, except factors, which follow from it."""
        for name in self.trained:
            layer = self.layers[name]
            layer.w = np.frombuffer(parts[f"{name}_w"], np.uint8).astype(np.int64).reshape(layer.w.shape)
            layer.b = np.frombuffer(parts[f"{name}_b"], np.int32).astype(np.int64)
            layer.g = np.frombuffer(parts[f"{name}_g"], self.stored).astype(self.kind).reshape(layer.g.shape)
            layer.gb = np.frombuffer(parts[f"{name}_gb"], np.int32).astype(np.int64)
            scale, layer.g_shift, layer.e_exponent = PARAMETER.unpack(parts[f"{name}_state"])
            layer.w_scale = F(scale)
            layer.w_zero = QUANT.unpack(parts[f"{name}_quant"])[1]
            if self.recipe == "paper":
                statistics = np.frombuffer(parts[f"{name}_statistics"], np.float32)
                layer.statistics = statistics.astype(np.float64).reshape(-1, 4)
        for name in self.scales:
            scale, exponent, peak, largest = SCALE.unpack(parts[f"{name}_scale"])
            self.scales[name] = Scale(F(scale), exponent, F(peak), F(largest))
        self.refresh()
