# SPDX-License-Identifier: Apache-2.0
"""One translator for each ONNX operator: what it says is read here, what it becomes is in `_nodes`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from kilograd.errors import KilogradError
from kilograd.load import _nodes
from kilograd.load._nodes import Norm, Sliding, Tensor, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from kilograd.types import Node, Shape


UNLIMITED = 1e38
"""Exporters write the largest float where there is no limit."""


@dataclass(frozen=True)
class OnnxNode:
    """An ONNX node with its surroundings; `output_shape` is ONNX's, for a batch of one, if it can tell."""

    name: str
    label: str
    op: str
    attributes: Mapping[str, object]
    inputs: tuple[Tensor | NDArray[np.generic], ...]
    """Those that are given."""
    places: tuple[int, ...]
    """Which of the operator's inputs these are."""
    output_shape: Shape | None
    is_last: bool

    def refusal(self, reason: str, hint: str = "") -> KilogradError:
        """Return the error that names the node."""
        return refusal(self.label, self.op, reason, hint)


Translator = Callable[[OnnxNode], _nodes.Made]


def translate(node: OnnxNode) -> _nodes.Made:
    """Return what a node becomes: nodes of kilograd (perhaps the one before it, changed), or just its input."""
    return TRANSLATORS[node.op](node)


def refusal(label: str, op: str, reason: str, hint: str = "") -> KilogradError:
    """Return the error that names the node, its operator, the reason, and what would work."""
    hints = [hint or INSTEAD.get(op, "")]
    if op not in TRANSLATORS or not hint:
        hints.append(f"kilograd reads {', '.join(sorted(TRANSLATORS))}")
    return KilogradError(f"node {label} ({op}): {reason}", "; ".join(filter(None, hints)))


def _conv(node: OnnxNode) -> Node:
    x, weight = _tensor(node, 0), _numbers(node, 1)
    bias = _numbers(node, 2) if len(node.inputs) > 2 else None  # noqa: PLR2004
    how = _sliding(node, x, _nodes.pair(node, weight.shape[2:], 1))
    return _nodes.conv2d(node, x, weight, bias, how, cast("int", node.attributes.get("group", 1)))


def _conv_transpose(node: OnnxNode) -> Node:
    x, weight = _tensor(node, 0), _numbers(node, 1)
    bias = _numbers(node, 2) if len(node.inputs) > 2 else None  # noqa: PLR2004
    if node.attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID") or "output_shape" in node.attributes:
        raise refuse(node, "it asks for an output shape instead of pads", "export it with explicit pads")
    how = _sliding(node, x, _nodes.pair(node, weight.shape[2:], 1))
    extra = _pair(node, "output_padding", 0)
    return _nodes.conv_transpose2d(node, x, weight, bias, how, extra, cast("int", node.attributes.get("group", 1)))


def _resize(node: OnnxNode) -> Node:
    if node.attributes.get("mode", b"nearest") != b"nearest":
        raise refuse(node, "it interpolates", "mode nearest works")
    x = _tensor(node, 0)
    if node.output_shape is None or node.output_shape[:2] != (1, x.shape[0]):
        raise refuse(node, "ONNX cannot infer its shape, or it resizes channels", "constant scales of 1, 1, ... work")
    where = cast("bytes", node.attributes.get("coordinate_transformation_mode", b"half_pixel")).decode()
    rounding = cast("bytes", node.attributes.get("nearest_mode", b"round_prefer_floor")).decode()
    repeats = (where == "asymmetric" and rounding == "floor") or (where == "half_pixel" and "round" in rounding)
    if node.op == "Resize" and not repeats:
        raise refuse(node, f"it rounds {where} coordinates by {rounding}", "asymmetric coordinates and floor work")
    return _nodes.upsample(node, x, node.output_shape[1:])


def _gemm(node: OnnxNode) -> Node:
    x, weight = _tensor(node, 0), _numbers(node, 1)
    if node.attributes.get("transA", 0):
        raise refuse(node, "it transposes its data (transA)")
    weight = weight if node.attributes.get("transB", 0) else weight.T
    weight = np.float32(cast("float", node.attributes.get("alpha", 1.0))) * weight
    beta = np.float32(cast("float", node.attributes.get("beta", 1.0)))
    bias = beta * _numbers(node, 2) if len(node.inputs) > 2 else np.zeros(1, np.float32)  # noqa: PLR2004
    return _nodes.linear(node, x, weight, _nodes.per_output(node, bias, (1, len(weight))))


def _mat_mul(node: OnnxNode) -> Node:
    x, weight = _tensor(node, 0), _numbers(node, 1)
    if weight.ndim != 2 or len(x.shape) != 1:  # noqa: PLR2004
        problem = f"it multiplies {x.shape} for each sample with {weight.shape}"
        raise refuse(node, problem, "a linear layer multiplies (features,) with (features, outputs): Flatten first")
    return _nodes.linear(node, x, weight.T, None)


def _add(node: OnnxNode) -> Node:
    tensors = [value for value in node.inputs if isinstance(value, Tensor)]
    if len(tensors) == len(node.inputs):
        return _nodes.add(node, *tensors)
    place = 1 if isinstance(node.inputs[0], Tensor) else 0
    rank = len(node.output_shape or ()) or 2
    return _nodes.add_bias(node, _tensor(node, 1 - place), _numbers(node, place), rank)


def _batch_normalization(node: OnnxNode) -> Node:
    if node.attributes.get("training_mode", 0):
        raise refuse(node, "it is in training mode", "export the model for inference (in torch: model.eval())")
    scale, shift, mean, variance = (_numbers(node, place) for place in range(1, 5))
    epsilon = cast("float", node.attributes.get("epsilon", 1e-5))
    return _nodes.batch_norm(node, _tensor(node, 0), Norm(scale, shift, mean, variance, epsilon))


def _relu(node: OnnxNode) -> Node:
    return _nodes.relu(node, _tensor(node, 0))


def _clip(node: OnnxNode) -> Node | str:
    """Limits are attributes in old opsets, inputs in new ones; each may be missing."""
    given = dict(zip(node.places, range(len(node.places)), strict=True))
    limits = []
    for place, (name, default) in enumerate((("min", -math.inf), ("max", math.inf)), 1):
        attribute = cast("float", node.attributes.get(name, default))
        limits.append(float(np.ravel(_numbers(node, given[place]))[0]) if place in given else attribute)
    low, high = (bound if abs(bound) < UNLIMITED else math.copysign(math.inf, bound) for bound in limits)
    return _nodes.clip(node, _tensor(node, 0), low, high)


def _hard_swish(node: OnnxNode) -> Node:
    return _nodes.function(node, "hard_swish", _tensor(node, 0))


def _hard_sigmoid(node: OnnxNode) -> Node:
    line = {
        "slope": cast("float", node.attributes.get("alpha", 0.2)),
        "offset": cast("float", node.attributes.get("beta", 0.5)),
    }
    return _nodes.function(node, "hard_sigmoid", _tensor(node, 0), {**line})


def _sigmoid(node: OnnxNode) -> Node:
    return _nodes.function(node, "sigmoid", _tensor(node, 0))


def _exp(node: OnnxNode) -> Node:
    return _nodes.function(node, "exp", _tensor(node, 0))


def _mul(node: OnnxNode) -> Node:
    if not all(isinstance(value, Tensor) for value in node.inputs):
        raise refuse(node, "it scales by a constant", "scale the data, not in the model")
    return _nodes.mul(node, _tensor(node, 0), _tensor(node, 1))


def _reduce_mean(node: OnnxNode) -> _nodes.Made:
    """Axes are an attribute in old opsets, an input in new ones."""
    if node.output_shape is None:
        raise refuse(node, "ONNX cannot infer its shape", "fixed sizes work")
    inputs = [int(axis) for axis in np.ravel(_numbers(node, 1))] if len(node.inputs) > 1 else []
    axes = set(inputs or cast("list[int]", node.attributes.get("axes", [])))
    keeps = bool(node.attributes.get("keepdims", 1))
    rank = len(node.output_shape) + (0 if keeps else len(axes))
    return _nodes.mean(node, _tensor(node, 0), axes or set(range(rank)), rank, keeps=keeps)


def _max_pool(node: OnnxNode) -> Node:
    x, kernel = _tensor(node, 0), _pair(node, "kernel_shape", 1)
    return _nodes.max_pool(node, x, kernel, _sliding(node, x, kernel))


def _average_pool(node: OnnxNode) -> Node:
    x, kernel = _tensor(node, 0), _pair(node, "kernel_shape", 1)
    counts_pads = bool(node.attributes.get("count_include_pad", 0))
    return _nodes.average_pool(node, x, kernel, _sliding(node, x, kernel), counts_pads=counts_pads)


def _global_average_pool(node: OnnxNode) -> Node:
    return _nodes.global_average(node, _tensor(node, 0))


def _reshape(node: OnnxNode) -> Node | str:
    x = _tensor(node, 0)
    if node.output_shape is None:
        raise refuse(node, "ONNX cannot infer its shape", "a constant shape works")
    if node.output_shape[:1] != (1,):
        problem = f"it makes {node.output_shape} of one sample of {x.shape}"
        raise refuse(node, problem, f"(1, {math.prod(x.shape)}) works")
    return _nodes.reshape(node, x, node.output_shape[1:])


def _softmax(node: OnnxNode) -> str:
    return _nodes.softmax(node, _tensor(node, 0), is_last=node.is_last)


def _same(node: OnnxNode) -> str:
    return _tensor(node, 0).name


def _sliding(node: OnnxNode, x: Tensor, kernel: tuple[int, ...]) -> Sliding:
    """Return stride and pads of a window; a 1-D window gets height 1."""
    stride = _pair(node, "strides", 1)
    automatic = cast("bytes", node.attributes.get("auto_pad", b"NOTSET")).decode()
    if automatic == "NOTSET":
        pads = _pads(node)
    elif automatic == "VALID":
        pads = _nodes.NO_PADS
    else:
        (top, bottom), (left, right) = (
            _same_pads(*sizes, upper=automatic == "SAME_UPPER")
            for sizes in zip(_nodes.size(node, x), kernel, stride, strict=True)
        )
        pads = (top, left, bottom, right)
    return Sliding(stride, pads, _pair(node, "dilations", 1), bool(node.attributes.get("ceil_mode", 0)))


def _same_pads(size: int, kernel: int, stride: int, *, upper: bool) -> tuple[int, int]:
    """Return the pads before and after for an output of ceil(size / stride); `upper`: the odd one comes after."""
    total = max(0, (math.ceil(size / stride) - 1) * stride + kernel - size)
    small, large = total // 2, total - total // 2
    return (small, large) if upper else (large, small)


def _pads(node: OnnxNode) -> tuple[int, ...]:
    pads = tuple(cast("list[int]", node.attributes.get("pads", _nodes.NO_PADS)))
    return (0, pads[0], 0, pads[1]) if len(pads) == 2 else pads  # noqa: PLR2004


def _pair(node: OnnxNode, name: str, default: int) -> tuple[int, int]:
    """Return (height, width) of an attribute; `default` also is the height of a 1-D one."""
    return _nodes.pair(node, cast("list[int]", node.attributes.get(name, (default, default))), default)


def _tensor(node: OnnxNode, place: int) -> Tensor:
    value = node.inputs[place]
    if not isinstance(value, Tensor):
        raise refuse(node, f"its input {place} is constant, where data is expected")
    return value


def _numbers(node: OnnxNode, place: int) -> NDArray[np.float32]:
    value = node.inputs[place]
    if isinstance(value, Tensor):
        raise refuse(node, f"its input {place} is computed, where a constant is expected")
    return value.astype(np.float32)


TRANSLATORS: dict[str, Translator] = {
    "Add": _add,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_normalization,
    "Clip": _clip,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Dropout": _same,
    "Exp": _exp,
    "Flatten": _reshape,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Identity": _same,
    "LogSoftmax": _softmax,
    "MatMul": _mat_mul,
    "MaxPool": _max_pool,
    "Mul": _mul,
    "ReduceMean": _reduce_mean,
    "Relu": _relu,
    "Reshape": _reshape,
    "Resize": _resize,
    "Sigmoid": _sigmoid,
    "Softmax": _softmax,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
    "Upsample": _resize,
}

INSTEAD = {
    "LeakyRelu": "train the model with Relu",
    "PRelu": "train the model with Relu",
    "Tanh": "train the model with Relu",
    "Pad": "Conv and pooling have pads of their own",
    "Transpose": "export the model with channels first (NCHW)",
    "Div": "scale the data, not in the model",
    "Sub": "scale the data, not in the model",
    "QuantizeLinear": "give the float model, kilograd quantises it itself",
    "DequantizeLinear": "give the float model, kilograd quantises it itself",
}
