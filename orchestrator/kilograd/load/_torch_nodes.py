# SPDX-License-Identifier: Apache-2.0
"""One translator for each operator of torch: what it says is read here, what it becomes is in `_nodes`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from kilograd.errors import KilogradError
from kilograd.load import _nodes
from kilograd.load._nodes import Norm, Sliding, Tensor, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from kilograd.types import Node, Shape


@dataclass(frozen=True)
class TorchNode:
    """
    A node of a torch program with its surroundings.

    Arguments have the names of the operator's schema; tensors among them are computed (Tensor) or constant (arrays).
    `shape` is that of the result without the batch, None where the batch does not come first. `where` is the line of
    source that torch names.
    """

    name: str
    label: str
    op: str
    where: str
    arguments: Mapping[str, Any]
    shape: Shape | None
    is_last: bool

    def refusal(self, reason: str, hint: str = "") -> KilogradError:
        """Return the error that names the node and its line of source."""
        hints = [hint or INSTEAD.get(self.op, "")]
        if self.op not in TRANSLATORS or not any(hints):
            hints.append(f"kilograd reads {', '.join(sorted(TRANSLATORS))}")
        where = f" in {self.where}" if self.where else ""
        return KilogradError(f"node {self.label} ({self.op}){where}: {reason}", "; ".join(filter(None, hints)))


Translator = Callable[[TorchNode], _nodes.Made]


def translate(node: TorchNode) -> _nodes.Made:
    """Return what a node becomes: new nodes, the one before it, changed, or just its input."""
    if node.op not in TRANSLATORS:
        raise refuse(node, "kilograd has no such operator")
    return TRANSLATORS[node.op](node)


def _convolution(node: TorchNode) -> Node:
    given = node.arguments
    x, weight = _tensor(node, "input"), _numbers(node, "weight")
    bias = None if given["bias"] is None else _numbers(node, "bias")
    how = Sliding(_pair(node, "stride", 1), _pads(node), _pair(node, "dilation", 1))
    if given["transposed"]:
        extra = _pair(node, "output_padding", 0)
        return _nodes.conv_transpose2d(node, x, weight, bias, how, extra, given["groups"])
    return _nodes.conv2d(node, x, weight, bias, how, given["groups"])


def _addmm(node: TorchNode) -> Node:
    if (node.arguments["beta"], node.arguments["alpha"]) != (1, 1):
        raise refuse(node, "it scales its operands", "beta and alpha of 1 work")
    linear = _mm(node, "mat1")
    bias = _nodes.per_output(node, _numbers(node, "self"), (1, len(_weight(linear))))
    return _nodes.linear(node, _tensor(node, "mat1"), _weight(linear), bias)


def _mm(node: TorchNode, data: str = "self") -> Node:
    return _nodes.linear(node, _tensor(node, data), _numbers(node, "mat2").T, None)


def _weight(node: Node) -> NDArray[np.float32]:
    return cast("NDArray[np.float32]", node.weight)


def _batch_norm(node: TorchNode) -> Node:
    mean, variance = _numbers(node, "running_mean"), _numbers(node, "running_var")
    scale = np.ones_like(mean) if node.arguments["weight"] is None else _numbers(node, "weight")
    shift = np.zeros_like(mean) if node.arguments["bias"] is None else _numbers(node, "bias")
    return _nodes.batch_norm(node, _tensor(node, "input"), Norm(scale, shift, mean, variance, node.arguments["eps"]))


def _item(node: TorchNode) -> str:
    if node.arguments["index"] != 0:
        raise refuse(node, f"it takes result {node.arguments['index']} of an operator", "only the first can be used")
    return _tensor(node, "input").name


def _relu(node: TorchNode) -> Node:
    return _nodes.relu(node, _tensor(node, "self"))


def _clamp(node: TorchNode) -> _nodes.Made:
    """Limits have other names in hardtanh; each may be missing."""
    given = node.arguments
    low, high = (given.get(name, given.get(f"{name}_val")) for name in ("min", "max"))
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        raise refuse(node, "its limits are computed", "constant limits work")
    bounds = (-math.inf if low is None else float(low), math.inf if high is None else float(high))
    return _nodes.clip(node, _tensor(node, "self"), *bounds)


def _relu6(node: TorchNode) -> _nodes.Made:
    return _nodes.clip(node, _tensor(node, "self"), 0, 6)


def _function(op: str) -> Translator:
    """Return the translator of a function of one number."""
    return lambda node: _nodes.function(node, op, _tensor(node, "self"))


def _mul(node: TorchNode) -> Node:
    return _nodes.mul(node, _tensor(node, "self"), _tensor(node, "other"))


def _max_pool(node: TorchNode) -> Node:
    kernel = _pair(node, "kernel_size", 1)
    return _nodes.max_pool(node, _tensor(node, "self"), kernel, _sliding(node, kernel))


def _average_pool(node: TorchNode) -> Node:
    kernel = _pair(node, "kernel_size", 1)
    if node.arguments.get("divisor_override") is not None:
        raise refuse(node, "it has a divisor of its own (divisor_override)", "without one it works")
    counts_pads = bool(node.arguments["count_include_pad"])
    return _nodes.average_pool(node, _tensor(node, "self"), kernel, _sliding(node, kernel), counts_pads=counts_pads)


def _adaptive_average_pool(node: TorchNode) -> Node:
    x = _tensor(node, "self")
    size, wanted = _nodes.size(node, x), _pair(node, "output_size", 1)
    if any(have % want for have, want in zip(size, wanted, strict=True)):
        raise refuse(node, f"{wanted} windows do not divide a map of {size}", "a divisor of the map's size works")
    kernel = (size[0] // wanted[0], size[1] // wanted[1])
    return _nodes.average_pool(node, x, kernel, Sliding(kernel), counts_pads=True)


def _mean(node: TorchNode) -> _nodes.Made:
    rank = node.arguments["rank"]
    axes = {axis % rank for axis in node.arguments.get("dim") or range(rank)}
    return _nodes.mean(node, _tensor(node, "self"), axes, rank, keeps=bool(node.arguments["keepdim"]))


def _upsample(node: TorchNode) -> Node:
    x = _tensor(node, "input" if "input" in node.arguments else "self")
    return _nodes.upsample(node, x, _shape(node, x))


def _reshape(node: TorchNode) -> _nodes.Made:
    x = _tensor(node, "self")
    return _nodes.reshape(node, x, _shape(node, x))


def _shape(node: TorchNode, x: Tensor) -> Shape:
    """Return the shape of a sample of the output."""
    if node.shape is None:
        raise refuse(node, f"it makes something else than samples from samples of {x.shape}", "keep the batch first")
    return node.shape


def _add(node: TorchNode) -> Node:
    a, b = node.arguments["self"], node.arguments["other"]
    if node.arguments.get("alpha", 1) != 1:
        raise refuse(node, "it scales what it adds", "alpha=1 works")
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return _nodes.add(node, a, b)
    data, constant = ("self", "other") if isinstance(a, Tensor) else ("other", "self")
    return _nodes.add_bias(node, _tensor(node, data), _numbers(node, constant), node.arguments["rank"])


def _softmax(node: TorchNode) -> str:
    return _nodes.softmax(node, _tensor(node, "self"), is_last=node.is_last)


def _same(node: TorchNode) -> str:
    return _tensor(node, "self").name


def _sliding(node: TorchNode, kernel: tuple[int, int]) -> Sliding:
    stride = _pair(node, "stride", 1) if node.arguments["stride"] else kernel
    dilation = _pair(node, "dilation", 1) if "dilation" in node.arguments else (1, 1)
    return Sliding(stride, _pads(node), dilation, bool(node.arguments["ceil_mode"]))


def _pads(node: TorchNode) -> tuple[int, ...]:
    return _pair(node, "padding", 0) * 2


def _pair(node: TorchNode, name: str, default: int) -> tuple[int, int]:
    """Return (height, width) of an argument: one number stands for both, in 1-D operators for the width alone."""
    values = cast("Sequence[int]", node.arguments[name])
    is_map = node.arguments["rank"] > _nodes.MAP_RANK
    return _nodes.pair(node, [*values, *values] if is_map and len(values) == 1 else values, default)


def _tensor(node: TorchNode, name: str) -> Tensor:
    value = node.arguments[name]
    if not isinstance(value, Tensor):
        raise refuse(node, f"its {name} is constant, where data is expected")
    return value


def _numbers(node: TorchNode, name: str) -> NDArray[np.float32]:
    value = node.arguments[name]
    if isinstance(value, Tensor):
        raise refuse(node, f"its {name} is computed, where a constant is expected")
    return np.asarray(value, np.float32)


TRANSLATORS: dict[str, Translator] = {
    "aten._adaptive_avg_pool2d": _adaptive_average_pool,
    "aten._log_softmax": _softmax,
    "aten._native_batch_norm_legit_no_training": _batch_norm,
    "aten._softmax": _softmax,
    "aten.add": _add,
    "aten.addmm": _addmm,
    "aten.alias": _same,
    "aten.avg_pool1d": _average_pool,
    "aten.avg_pool2d": _average_pool,
    "aten.clamp": _clamp,
    "aten.clamp_min": _clamp,
    "aten.clone": _same,
    "aten.convolution": _convolution,
    "aten.detach": _same,
    "aten.exp": _function("exp"),
    "aten.hardsigmoid": _function("hard_sigmoid"),
    "aten.hardswish": _function("hard_swish"),
    "aten.hardtanh": _clamp,
    "aten.max_pool2d_with_indices": _max_pool,
    "aten.mean": _mean,
    "aten.mm": _mm,
    "aten.mul": _mul,
    "aten.relu": _relu,
    "aten.relu6": _relu6,
    "aten.sigmoid": _function("sigmoid"),
    "aten.squeeze": _reshape,
    "aten.unsqueeze": _reshape,
    "aten.upsample_nearest1d": _upsample,
    "aten.upsample_nearest2d": _upsample,
    "aten.view": _reshape,
    "getitem": _item,
}

INSTEAD = {
    "aten.constant_pad_nd": "convolutions and pools have padding of their own, the same on opposite sides",
    "aten.div": "scale the data, not in the model",
    "aten.gelu": "train the model with ReLU",
    "aten.leaky_relu": "train the model with ReLU",
    "aten.mul": "scale the data, not in the model",
    "aten.native_dropout": "call model.eval() before torch.export.export",
    "aten.permute": "keep the channels first (NCHW)",
    "aten.sub": "scale the data, not in the model",
    "aten.tanh": "train the model with ReLU",
}
