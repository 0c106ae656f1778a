# SPDX-License-Identifier: Apache-2.0
"""Lowering of the operators with weights: conv2d and linear share their tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.fixed_point import requant
from kilograd.lowering import OUTPUT_EXPONENT, error_ref
from kilograd.ops import _rectifier
from kilograd.ops._select import select_rows
from kilograd.types import Address, Array, Function, Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilograd.lowering import Error, Lowering
    from kilograd.types import Node, Value

FIRST_SHIFTS = {8: 14, 16: 6, 32: 0}  # of a gradient buffer by its bits, before it has seen a gradient


def forward_steps(node: Node, low: Lowering, dims: Mapping[str, int]) -> None:
    """Add the layer's parameters and its forward step; a uint8 layer that ends the net gives float logits."""
    low.record(f"{node.name}_dims", "kg_conv_dims_t", dims)
    w, b = low.add_parameters(node)
    suffix = low.suffix(node)
    if suffix == "f32":
        _forward_f32(node, low, dims, w, b)
        return
    _quantisation(node, low)
    if low.format(node.output).dtype == "float32":
        _logits(node, low, w, b)
    else:
        _forward_u8(node, low, dims, w, b)


def backward_steps(node: Node, low: Lowering, dims: Mapping[str, int], error: Error) -> None:
    """Add the weight gradient where the layer trains, the input gradient where errors flow on, and the updates."""
    parameter = None
    kept = select_rows(node, low, error)
    if node.name in low.trained:
        parameter = _parameter(node, low, error)
        gradient = _bias_gradient if low.parameters == "biases" else _weight_gradient
        gradient(node, low, dims, error, parameter, kept)
    below = _input_gradient(node, low, dims, error, kept) if node.inputs[0] in low.needs_error else None
    if parameter is not None:
        dtype = low.suffix(node)
        verb = low.rule.update_biases if low.parameters == "biases" else "update"
        low.step(low.update, node, "update", low.function(low.rule.update, dtype, str(verb)), parameter)
    if low.suffix(node) == "u8":
        _refresh(node, low, error, below)


def participates(node: Node, low: Lowering) -> bool:
    """Tell whether the layer has a backward step, so that its quantisation may change."""
    return node.name in low.trained or node.inputs[0] in low.needs_error


def _forward_args(node: Node, low: Lowering, w: str, b: str) -> dict[str, Value]:
    return {
        "dims": Address(f"{node.name}_dims"),
        "x": Array(low.tensor(node.inputs[0])),
        "w": Array(w),
        "b": Array(b),
    }


def _scratch(node: Node, low: Lowering, role: str, kernel: Function, dims: Mapping[str, int]) -> list[str]:
    """Return the kernel's scratch buffer, in a list that is empty when it needs none."""
    size = low.kernels.scratch_bytes(kernel, dims)
    return [low.feature(f"{node.name}_{role}_scratch", "uint8_t", size)] if size else []


def _forward_f32(node: Node, low: Lowering, dims: Mapping[str, int], w: str, b: str) -> None:
    kernel = low.kernels.choose(f"kg_{node.op}_f32_forward", dims)
    scratch = _scratch(node, low, "forward", kernel, dims)
    x, y = low.tensor(node.inputs[0]), low.tensor(node.output)
    low_limit, high_limit = _rectifier.limits_f32(node)
    args = _forward_args(node, low, w, b) | {
        "kernel": kernel,
        "y_min": low_limit,
        "y_max": high_limit,
        "y": Array(y),
        "scratch": Array(scratch[0]) if scratch else None,
    }
    record = Record(f"{node.name}_forward", "kg_forward_f32_t", args)
    low.step(low.forward, node, "forward", "forward_f32", record, reads=[x, *scratch], writes=[y, *scratch])


def _forward_u8(node: Node, low: Lowering, dims: Mapping[str, int], w: str, b: str) -> None:
    kernel = low.kernels.choose(f"kg_{node.op}_u8_forward", dims)
    scratch = _scratch(node, low, "forward", kernel, dims)
    x, y = low.tensor(node.inputs[0]), low.tensor(node.output)
    args = _forward_args(node, low, w, b) | {
        "kernel": kernel,
        "quant": Address(f"{node.name}_quant"),
        "y": Array(y),
        "scratch": Array(scratch[0]) if scratch else None,
    }
    record = Record(f"{node.name}_forward", "kg_forward_u8_t", args)
    low.step(low.forward, node, "forward", "forward_u8", record, reads=[x, *scratch], writes=[y, *scratch])


def _logits(node: Node, low: Lowering, w: str, b: str) -> None:
    x, y = low.tensor(node.inputs[0]), low.tensor(node.output)
    args = _forward_args(node, low, w, b) | {
        "quant": Address(f"{node.name}_quant"),
        "w_scale": Address(_w_scale(node, low)),
        "x_scale": low.format(node.inputs[0]).scale,
        "logits": Array(y),
    }
    record = Record(f"{node.name}_forward", "kg_logits_u8_t", args)
    low.step(low.forward, node, "forward", "logits_u8", record, reads=[x], writes=[y])


def _w_scale(node: Node, low: Lowering) -> str:
    """Return the C object that holds the scale of the weights; a constant one is made when it is first needed."""
    if node.name in low.trained:
        return f"{node.name}_state.w_scale"
    return low.record(f"{node.name}_w_scale", "float", {"value": low.weights(node).format.scale})


def _quantisation(node: Node, low: Lowering) -> None:
    """Add the layer's kg_conv_quant_t, in RAM where training may change it, as is the scale of trained weights."""
    x, y, w = low.format(node.inputs[0]), low.format(node.output), low.weights(node).format
    unit = np.float32(w.scale) * np.float32(x.scale)
    low_limit, high_limit = _rectifier.limits_u8(node, y)
    values: dict[str, Value] = {
        "x_zero": x.zero,
        "w_zero": w.zero,
        "y_zero": y.zero,
        "y_min": low_limit,
        "y_max": high_limit,
        "forward": requant(unit / np.float32(y.scale)),
        "backward": requant(np.float32(0)),
    }
    low.record(f"{node.name}_quant", "kg_conv_quant_t", values, mutable=participates(node, low))
    if node.name in low.trained:
        state: dict[str, Value] = {
            "w_scale": w.scale,
            "g_shift": FIRST_SHIFTS[low.gradient_bits],
            "e_exponent": OUTPUT_EXPONENT,
        }
        low.record(f"{node.name}_state", "kg_parameter_u8_state_t", state, mutable=True)


def _parameter(node: Node, low: Lowering, error: Error) -> str:
    """Add the gradient buffers, and the table entry that names everything a recipe changes."""
    rows, columns = low.weights(node).weight.shape[0], low.weights(node).weight[0].size
    matrix = {"rows": rows, "columns": columns, "stream": low.stream()}
    suffix = low.suffix(node)
    members = ("b", "gb") if low.parameters == "biases" else ("w", "b", "g", "gb")
    if "g" in members:
        low.array(f"{node.name}_g", _gradient_type(low, suffix), rows * columns, "gradients")
    low.array(f"{node.name}_gb", "int32_t" if suffix == "u8" else "float", rows, "gradients")
    if low.rule.statistics:
        low.array(f"{node.name}_statistics", "kg_row_statistics_t", rows, "gradients")
    marks = low.is_sparse(node) and "g" in members
    if marks:
        low.array(f"{node.name}_marks", "uint8_t", rows, "gradients")
    values: dict[str, Value] = {
        "matrix": matrix,
        **{member: Array(f"{node.name}_{member}") if member in members else None for member in ("w", "b", "g", "gb")},
        "statistics": Array(f"{node.name}_statistics") if low.rule.statistics else None,
        "marks": Array(f"{node.name}_marks") if marks else None,
    }
    if suffix == "u8":
        momentum = f"{node.name}_bias_momentum"
        if low.rule.bias_momentum:
            low.array(momentum, "float", rows, "gradients")
        values |= {
            "bias_momentum": Array(momentum) if low.rule.bias_momentum else None,
            "state": Address(f"{node.name}_state"),
            "quant": Address(f"{node.name}_quant"),
            "error": Address(str(error.scale)),
            "error_factor": error.factor,
            "x_scale": low.format(node.inputs[0]).scale,
        }
    return low.record(f"{node.name}_parameter", f"kg_parameter_{suffix}_t", values)


def _gradient_type(low: Lowering, suffix: str) -> str:
    return f"int{low.gradient_bits}_t" if suffix == "u8" and low.rule.integer_gradients else "float"


def _weight_gradient(
    node: Node, low: Lowering, dims: Mapping[str, int], error: Error, parameter: str, kept: str | None
) -> None:
    suffix, x = low.suffix(node), low.tensor(node.inputs[0])
    args: dict[str, Value] = {
        "x": Array(x), "e": Array(error.buffer), "kept": _kept(kept), "parameter": Address(parameter),
    }  # fmt: skip
    reads, writes, kind = [x, error.buffer, *([kept] if kept else [])], [], "outer"
    if node.op != "linear":
        kind = "row"
        kernel = low.kernels.choose(f"kg_{node.op}_{suffix}_weight_gradient", dims)
        scratch = _scratch(node, low, "weight_gradient", kernel, dims)
        row = low.feature(
            f"{node.name}_row", "int32_t" if suffix == "u8" else "float", low.weights(node).weight[0].size
        )
        writes = [row, *scratch]
        args |= {
            "dims": Address(f"{node.name}_dims"),
            "prepare": low.kernels.preparation(kernel),
            "kernel": kernel,
            "row": Array(row),
            "scratch": Array(scratch[0]) if scratch else None,
        }
    args["add"] = low.kernels.choose(f"kg_{low.function(low.rule.add, suffix, f'add_{kind}')}")
    record = Record(f"{node.name}_weight_gradient", f"kg_{kind}_gradient_{suffix}_t", args)
    low.step(
        low.backward, node, "weight gradient", f"{kind}_gradient_{suffix}", record,
        reads=[*reads, *writes], writes=writes,
    )  # fmt: skip


def _bias_gradient(
    node: Node, low: Lowering, dims: Mapping[str, int], error: Error, parameter: str, kept: str | None
) -> None:
    suffix = low.suffix(node)
    args: dict[str, Value] = {
        "positions": dims["out_height"] * dims["out_width"],
        "e": Array(error.buffer),
        "kept": _kept(kept),
        "parameter": Address(parameter),
    }
    record = Record(f"{node.name}_bias_gradient", f"kg_bias_gradient_{suffix}_t", args)
    low.step(
        low.backward,
        node,
        "bias gradient",
        f"bias_gradient_{suffix}",
        record,
        reads=[error.buffer, *([kept] if kept else [])],
    )


def _kept(kept: str | None) -> Value:
    return Array(kept) if kept else None


def _input_gradient(node: Node, low: Lowering, dims: Mapping[str, int], error: Error, kept: str | None) -> Error:
    suffix, source = low.suffix(node), low.source(node.inputs[0])
    mask = low.early_mask(node.inputs[0])
    below = low.new_error(node, node.inputs[0], masked=mask is not None)
    kernel = low.kernels.choose(f"kg_{node.op}_{suffix}_input_gradient", dims)
    scratch = _scratch(node, low, "input_gradient", kernel, dims)
    args: dict[str, Value] = {
        "dims": Address(f"{node.name}_dims"),
        "kernel": kernel,
        "e": Array(error.buffer),
        "kept": _kept(kept),
        "w": Array(f"{node.name}_w"),
        "mask": Array(mask) if mask else None,
        "dx": Array(below.buffer),
        "scratch": Array(scratch[0]) if scratch else None,
    }
    if suffix == "u8":
        args |= {
            "quant": Address(f"{node.name}_quant"),
            "w_scale": Address(_w_scale(node, low)),
            "e_scale": error_ref(error),
            "dx_scale": Address(str(below.scale)),
        }
    record = Record(f"{node.name}_input_gradient", f"kg_input_gradient_{suffix}_t", args)
    low.step(
        low.backward, node, "input gradient", f"input_gradient_{suffix}", record,
        reads=[error.buffer, *(name for name in (mask, kept) if name), *scratch], writes=[below.buffer, *scratch],
        inplace=(below.buffer, mask) if mask else None,
    )  # fmt: skip
    low.errors[source].append(below)
    return below


def _refresh(node: Node, low: Lowering, error: Error, below: Error | None) -> None:
    """Add the update step that renews the fixed-point factors, and give `backward` its first value."""
    if not participates(node, low):
        return
    y = low.format(node.output)
    args: dict[str, Value] = {
        "quant": Address(f"{node.name}_quant"),
        "w_scale": Address(_w_scale(node, low)),
        "x_scale": low.format(node.inputs[0]).scale,
        "y_scale": y.scale,
        "e_scale": error_ref(error),
        "dx_scale": Address(str(below.scale)) if below else None,
    }
    record = Record(f"{node.name}_refresh", "kg_refresh_u8_t", args)
    low.step(low.refresh, node, "refresh", "refresh_u8", record)
    if below is not None:
        quant = low.records[f"{node.name}_quant"]
        factor = np.float32(low.weights(node).format.scale) * np.float32(error.factor)
        values = {**quant.values, "backward": requant(factor)}  # all scales start equal
        low.records[quant.name] = Record(quant.name, quant.ctype, values, mutable=True)
