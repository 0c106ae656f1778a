# SPDX-License-Identifier: Apache-2.0
"""The oracle's gates: functions of one number, and products of a map with a number for each channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oracle_numbers import ONE, Array, Error, F, Refresh, requant, stopped_above

if TYPE_CHECKING:
    from kilograd.types import Format, Node
    from oracle import Oracle


def height(node: Node, x: Array) -> Array:
    """Return the straight line under a hard function."""
    return F(node.attributes.get("slope", 1 / 6)) * x + F(node.attributes.get("offset", 0.5))  # type: ignore[arg-type]


def value(node: Node, x: Array) -> Array:
    """Return f(x)."""
    if node.op == "exp":
        return np.exp(x)
    if node.op == "sigmoid":
        return 1 / (1 + np.exp(-x))
    gate = np.minimum(np.maximum(height(node, x), 0), 1)
    return x * gate if node.op == "hard_swish" else gate


def slope(node: Node, x: Array) -> Array:
    """Return f'(x)."""
    if node.op == "exp":
        return np.exp(x)
    if node.op == "sigmoid":
        return value(node, x) * (1 - value(node, x))
    inside = (height(node, x) > 0) & (height(node, x) < 1)
    rise = np.where(inside, F(node.attributes.get("slope", 1 / 6)), F(0))  # type: ignore[arg-type]
    return np.minimum(np.maximum(height(node, x), 0), 1) + x * rise if node.op == "hard_swish" else rise


def numbers(form: Format) -> Array:
    """Return what all stored numbers stand for."""
    return (np.arange(256) - form.zero).astype(F) * F(form.scale)


def forward(oracle: Oracle, node: Node, *inputs: Array) -> Array:
    """Return the stored output of a gate."""
    forms = [oracle.quantised.formats[tensor] for tensor in (*node.inputs, node.output)]
    if node.op == "mul":
        (x, gate), scales = inputs, [F(form.scale) for form in forms]
        product = (x - forms[0].zero) * (gate - forms[1].zero)
        return np.clip(forms[2].zero + requant(product, scales[0] * scales[1] / scales[2]), 0, 255)
    table = np.rint(value(node, numbers(forms[0])) / F(forms[1].scale)) + forms[1].zero
    return np.clip(table, 0, 255).astype(np.int64)[inputs[0]]


def backward(oracle: Oracle, node: Node, error: Error) -> None:
    """Give the inputs of a gate their errors."""
    if node.op != "mul":
        _give(oracle, node, error, node.inputs[0], *_chain(oracle, node, error))
        return
    x, gate = node.inputs
    forms = [oracle.quantised.formats[tensor] for tensor in node.inputs]
    real = [oracle.values[tensor] - form.zero for tensor, form in zip(node.inputs, forms, strict=True)]
    if gate in oracle.needs_error:
        product = error.values * real[0]
        axes = tuple(range(1, product.ndim)) if real[1].shape != product.shape else ()
        sums = product.sum(axis=axes, keepdims=True) if axes else product
        _give(oracle, node, error, gate, sums, F(forms[0].scale), "gate_factor")
    if x in oracle.needs_error:
        _give(oracle, node, error, x, error.values * real[1], F(forms[1].scale), "map_factor")


def _chain(oracle: Oracle, node: Node, error: Error) -> tuple[Array, F, str]:
    """Return the error times the stored slopes, the unit of these, and the name of their factor."""
    tensor = node.inputs[0]
    form, q = oracle.quantised.formats[tensor], np.arange(256)
    slopes = slope(node, numbers(form)).astype(np.float64)
    rectifier = oracle.rectifier(tensor)
    if rectifier is not None and oracle.readers(tensor) == 1:
        slopes[(q <= form.zero) | (q >= stopped_above(rectifier, form))] = 0
    unit = F(np.abs(slopes).max() / 32767)
    whole = np.rint(slopes / unit).astype(np.int64)
    return error.values * whole[oracle.values[tensor]], unit, "slope_factor"


def _give(oracle: Oracle, node: Node, error: Error, tensor: str, sums: Array, unit: F, kind: str) -> None:
    """Bring sums to the scale of a tensor's error, masked where its only reader masks."""
    tensor = oracle.source(tensor)
    name = f"{tensor}_error_{node.name}" if oracle.readers(tensor) > 1 else f"{tensor}_error"
    scale, factor = oracle.scale(name), f"{node.name}_{kind}"
    refresh = Refresh("factor", factor, ((error.scale, error.factor),), name, unit)
    oracle.refreshes.setdefault(("factor", factor), refresh)
    oracle.factors.setdefault(factor, unit * error.factor)
    off = oracle.early_mask(tensor)
    sums = sums.reshape(oracle.graph.shapes[tensor])
    kept = sums if off is None else np.where(off, 0, sums)
    scale.peak = max(scale.peak, F(np.abs(kept).max()) * (unit * oracle.step(error)))
    quanta = np.clip(requant(kept, oracle.factors[factor]), -128, 127)
    oracle.give(tensor, Error(quanta, name, ONE, masked=off is not None or not oracle.rectified(tensor)))
