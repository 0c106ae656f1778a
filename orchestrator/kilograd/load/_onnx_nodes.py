# SPDX-License-Identifier: Apache-2.0
"""
One translator for each ONNX operator.

A translator returns a new node, the node before it in a changed form (a folded BatchNormalization, a fused Relu, an
added bias), or the name of its input tensor where nothing changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from kilograd.errors import KilogradError
from kilograd.types import Attribute, Node

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from kilograd.types import Shape

MAP_RANK = 3
RECTIFIED = ("conv2d", "linear", "add")


@dataclass(frozen=True)
class Tensor:
    """A computed input; `maker` is the node that makes it, unless something else reads it, too."""

    name: str
    shape: Shape
    maker: Node | None


@dataclass(frozen=True)
class OnnxNode:
    """An ONNX node with its surroundings; `output_shape` is ONNX's, for a batch of one, if it can tell."""

    name: str
    label: str
    op: str
    attributes: Mapping[str, object]
    inputs: tuple[Tensor | NDArray[np.generic], ...]
    output_shape: Shape | None
    is_last: bool


Translator = Callable[[OnnxNode], Node | str]


def translate(node: OnnxNode) -> Node | str:
    """Return what a node becomes: a node of kilograd (perhaps the one before it, changed), or just its input."""
    return TRANSLATORS[node.op](node)


def refusal(label: str, op: str, reason: str, hint: str = "") -> KilogradError:
    """Return the error that names the node, its operator, the reason, and what would work."""
    hints = [hint or INSTEAD.get(op, "")]
    if op not in TRANSLATORS or not hint:
        hints.append(f"kilograd reads {', '.join(sorted(TRANSLATORS))}")
    return KilogradError(f"node {label} ({op}): {reason}", "; ".join(filter(None, hints)))


def map_shape(shape: Shape) -> Shape:
    """Return a sample's shape in kilograd: (channels, length) is a map of height 1."""
    return (shape[0], 1, shape[1]) if len(shape) == MAP_RANK - 1 else shape


def _conv(node: OnnxNode) -> Node:
    x, weight = _tensor(node, 0), _numbers(node, 1)
    if weight.ndim not in (3, 4):
        raise _refuse(node, f"it is {weight.ndim - 2}-dimensional", "1-D and 2-D convolutions work")
    weight = weight[:, :, None, :] if weight.ndim == MAP_RANK else weight
    bias = _numbers(node, 2) if len(node.inputs) > 2 else np.zeros(len(weight), np.float32)  # noqa: PLR2004
    kernel = weight.shape[2:]
    attributes: dict[str, Attribute] = {
        **_window(node, x.shape, kernel),
        "groups": cast("int", node.attributes.get("group", 1)),
        "relu": False,
    }
    return Node(node.name, "conv2d", (x.name,), node.name, attributes, weight, bias)


def _gemm(node: OnnxNode) -> Node:
    x, weight = _tensor(node, 0), _numbers(node, 1)
    if node.attributes.get("transA", 0):
        raise _refuse(node, "it transposes its data (transA)")
    weight = weight if node.attributes.get("transB", 0) else weight.T
    weight = np.float32(cast("float", node.attributes.get("alpha", 1.0))) * weight
    beta = np.float32(cast("float", node.attributes.get("beta", 1.0)))
    bias = beta * _numbers(node, 2) if len(node.inputs) > 2 else np.zeros(1, np.float32)  # noqa: PLR2004
    return _linear(node, x, weight, _per_output(node, bias, (1, len(weight))))


def _mat_mul(node: OnnxNode) -> Node:
    x, weight = _tensor(node, 0), _numbers(node, 1)
    if weight.ndim != 2 or len(x.shape) != 1:  # noqa: PLR2004
        problem = f"it multiplies {x.shape} for each sample with {weight.shape}"
        raise _refuse(node, problem, "a linear layer multiplies (features,) with (features, outputs): Flatten first")
    return _linear(node, x, weight.T, np.zeros(weight.shape[1], np.float32))


def _linear(node: OnnxNode, x: Tensor, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> Node:
    return Node(node.name, "linear", (x.name,), node.name, {"relu": False}, np.ascontiguousarray(weight), bias)


def _add(node: OnnxNode) -> Node:
    tensors = [value for value in node.inputs if isinstance(value, Tensor)]
    if len(tensors) == len(node.inputs):
        return Node(node.name, "add", tuple(tensor.name for tensor in tensors), node.name, {"relu": False})
    place = 1 if isinstance(node.inputs[0], Tensor) else 0
    maker, _, bias = _foldable(node, _tensor(node, 1 - place), "a constant can only be added as the bias of")
    per_output = (1, len(bias), *(1,) * (len(node.output_shape or ()) - 2))
    return replace(maker, bias=bias + _per_output(node, _numbers(node, place), per_output))


def _batch_normalization(node: OnnxNode) -> Node:
    if node.attributes.get("training_mode", 0):
        raise _refuse(node, "it is in training mode", "export the model for inference (in torch: model.eval())")
    maker, weight, bias = _foldable(node, _tensor(node, 0), "it can only be folded into")
    scale, shift, mean, variance = (_numbers(node, place).astype(np.float64) for place in range(1, 5))
    epsilon = cast("float", node.attributes.get("epsilon", 1e-5))
    if (variance + epsilon <= 0).any():
        raise _refuse(node, "its variance is negative")
    factor = scale / np.sqrt(variance + epsilon)
    folded = weight * factor.reshape(-1, *(1,) * (weight.ndim - 1))
    moved = (bias - mean) * factor + shift
    return replace(maker, weight=folded.astype(np.float32), bias=moved.astype(np.float32))


def _relu(node: OnnxNode) -> Node:
    x = _tensor(node, 0)
    if x.maker is not None and x.maker.op in RECTIFIED:
        return replace(x.maker, attributes={**x.maker.attributes, "relu": True})
    return Node(node.name, "relu", (x.name,), node.name)


def _max_pool(node: OnnxNode) -> Node:
    return _pool(node, "max_pool")


def _average_pool(node: OnnxNode) -> Node:
    pool = _pool(node, "average_pool")
    if any(cast("tuple[int, ...]", pool.attributes["pads"])) and not node.attributes.get("count_include_pad", 0):
        raise _refuse(node, "it leaves its padding out of the mean", "count_include_pad=1 works, and no padding")
    return pool


def _pool(node: OnnxNode, op: str) -> Node:
    x = _tensor(node, 0)
    kernel = _pair(node, "kernel_shape", 1)
    window = _window(node, x.shape, kernel)
    if node.attributes.get("ceil_mode", 0):
        top, left, bottom, right = cast("tuple[int, ...]", window["pads"])
        steps = zip(x.shape[1:], (top + bottom, left + right), kernel, _pair(node, "strides", 1), strict=True)
        if any((size + pad - taps) % stride for size, pad, taps, stride in steps):
            raise _refuse(node, "its ceil_mode adds windows that reach over the edge", "ceil_mode=0 works")
    return Node(node.name, op, (x.name,), node.name, {"kernel": kernel, **window})


def _global_average_pool(node: OnnxNode) -> Node:
    x = _tensor(node, 0)
    size = x.shape[1:]
    return Node(node.name, "average_pool", (x.name,), node.name, {"kernel": size, "stride": size, "pads": (0, 0, 0, 0)})


def _reshape(node: OnnxNode) -> Node | str:
    x = _tensor(node, 0)
    if node.output_shape is None:
        raise _refuse(node, "ONNX cannot infer its shape", "a constant shape works")
    batch, *sizes = node.output_shape
    if batch == 1 and map_shape(tuple(sizes)) == x.shape:
        return x.name
    if node.output_shape == (1, math.prod(x.shape)):
        return Node(node.name, "flatten", (x.name,), node.name)
    problem = f"it makes {node.output_shape} of one sample of {x.shape}"
    raise _refuse(node, problem, f"(1, {math.prod(x.shape)}) works")


def _softmax(node: OnnxNode) -> str:
    x = _tensor(node, 0)
    if not node.is_last or len(x.shape) != 1:
        raise _refuse(node, f"it stands inside the model, on {x.shape}", "a softmax over the classes at the end works")
    return x.name


def _same(node: OnnxNode) -> str:
    return _tensor(node, 0).name


def _window(node: OnnxNode, shape: Shape, kernel: tuple[int, ...]) -> dict[str, Attribute]:
    """Return stride and pads of a window; a 1-D window gets height 1."""
    if len(shape) != MAP_RANK:
        raise _refuse(node, f"it needs (channels, height, width), got {shape}")
    if set(_pair(node, "dilations", 1)) != {1}:
        raise _refuse(node, f"it has dilations {node.attributes['dilations']}", "dilation 1 works")
    stride = _pair(node, "strides", 1)
    automatic = cast("bytes", node.attributes.get("auto_pad", b"NOTSET")).decode()
    if automatic == "NOTSET":
        pads = _pads(node)
    elif automatic == "VALID":
        pads = (0, 0, 0, 0)
    else:
        (top, bottom), (left, right) = (
            _same_pads(*sizes, upper=automatic == "SAME_UPPER") for sizes in zip(shape[1:], kernel, stride, strict=True)
        )
        pads = (top, left, bottom, right)
    return {"stride": stride, "pads": pads}


def _same_pads(size: int, kernel: int, stride: int, *, upper: bool) -> tuple[int, int]:
    """Return the pads before and after for an output of ceil(size / stride); `upper`: the odd one comes after."""
    total = max(0, (math.ceil(size / stride) - 1) * stride + kernel - size)
    small, large = total // 2, total - total // 2
    return (small, large) if upper else (large, small)


def _pads(node: OnnxNode) -> tuple[int, ...]:
    pads = tuple(cast("list[int]", node.attributes.get("pads", (0, 0, 0, 0))))
    return (0, pads[0], 0, pads[1]) if len(pads) == 2 else pads  # noqa: PLR2004


def _pair(node: OnnxNode, name: str, default: int) -> tuple[int, int]:
    """Return (height, width) of an attribute; `default` also is the height of a 1-D one."""
    values = cast("list[int]", node.attributes.get(name, (default, default)))
    if len(values) > 2:  # noqa: PLR2004
        raise _refuse(node, f"it is {len(values)}-dimensional", "1-D and 2-D windows work")
    return (default, values[0]) if len(values) == 1 else (values[0], values[1])


def _tensor(node: OnnxNode, place: int) -> Tensor:
    value = node.inputs[place]
    if not isinstance(value, Tensor):
        raise _refuse(node, f"its input {place} is constant, where data is expected")
    return value


def _numbers(node: OnnxNode, place: int) -> NDArray[np.float32]:
    value = node.inputs[place]
    if isinstance(value, Tensor):
        raise _refuse(node, f"its input {place} is computed, where a constant is expected")
    return value.astype(np.float32)


def _per_output(node: OnnxNode, values: NDArray[np.float32], shape: Shape) -> NDArray[np.float32]:
    """Return one value for each output channel of a constant that broadcasts to `shape` (1, outputs, 1...)."""
    try:
        return np.broadcast_to(values, shape).reshape(-1).copy()
    except ValueError as error:
        raise _refuse(node, f"its constant {values.shape} is no bias: one value for each of {shape[1]}") from error


def _foldable(node: OnnxNode, x: Tensor, task: str) -> tuple[Node, NDArray[np.float32], NDArray[np.float32]]:
    """Return the weighted node before this one, its weight and bias, if nothing else reads it and it has no ReLU."""
    maker = x.maker
    if maker is None or maker.weight is None or maker.bias is None or maker.attributes["relu"]:
        raise _refuse(node, f"{task} a Conv, Gemm or MatMul right before it whose output nothing else reads")
    return maker, maker.weight, maker.bias


def _refuse(node: OnnxNode, reason: str, hint: str = "") -> KilogradError:
    return refusal(node.label, node.op, reason, hint)


TRANSLATORS: dict[str, Translator] = {
    "Add": _add,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_normalization,
    "Conv": _conv,
    "Dropout": _same,
    "Flatten": _reshape,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "Identity": _same,
    "LogSoftmax": _softmax,
    "MatMul": _mat_mul,
    "MaxPool": _max_pool,
    "Relu": _relu,
    "Reshape": _reshape,
    "Softmax": _softmax,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
}

INSTEAD = {
    "Clip": "ReLU6 is not supported yet: train the model with Relu",
    "HardSwish": "train the model with Relu",
    "LeakyRelu": "train the model with Relu",
    "PRelu": "train the model with Relu",
    "Sigmoid": "train the model with Relu inside and without it at the end",
    "Tanh": "train the model with Relu",
    "ReduceMean": "over the whole map GlobalAveragePool does it",
    "Pad": "Conv and pooling have pads of their own",
    "Transpose": "export the model with channels first (NCHW)",
    "Div": "scale the data, not in the model",
    "Mul": "scale the data, not in the model",
    "Sub": "scale the data, not in the model",
    "QuantizeLinear": "give the float model, kilograd quantises it itself",
    "DequantizeLinear": "give the float model, kilograd quantises it itself",
}
