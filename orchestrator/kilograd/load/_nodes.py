# SPDX-License-Identifier: Apache-2.0
"""
What operators of every format become.

A function returns a new node, the node before it in a changed form (a folded BatchNorm, a fused ReLU, an added bias),
or the name of its input tensor where nothing changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from kilograd.types import Attribute, Node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kilograd.errors import KilogradError
    from kilograd.types import Shape

MAP_RANK = 3
RECTIFIED = ("conv2d", "conv_transpose2d", "linear", "add")
NO_PADS = (0, 0, 0, 0)

Made = Node | tuple[Node, ...] | str
"""A node, nodes in a row (all but the first get their names later), or the name of the tensor that stays as it is."""


@dataclass(frozen=True)
class Tensor:
    """A computed input; `maker` is the node that makes it, unless something else reads it, too."""

    name: str
    shape: Shape
    maker: Node | None


class Place(Protocol):
    """Where an operator stands: the name that its node will have, and how it complains."""

    @property
    def name(self) -> str:
        """Return the name for the new node."""

    def refusal(self, reason: str, hint: str = "") -> KilogradError:
        """Return the error that names the place, the reason, and what would work."""


@dataclass(frozen=True)
class Norm:
    """A BatchNorm as it is used after training: one value of each for every channel."""

    scale: NDArray[np.float32]
    shift: NDArray[np.float32]
    mean: NDArray[np.float32]
    variance: NDArray[np.float32]
    epsilon: float


@dataclass(frozen=True)
class Sliding:
    """A window's movement; sizes are (height, width), pads (top, left, bottom, right)."""

    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, ...] = NO_PADS
    dilation: tuple[int, int] = (1, 1)
    ceil: bool = False

    def attributes(self, place: Place, x: Tensor) -> dict[str, Attribute]:
        """Return stride and pads, for a window over a feature map."""
        size(place, x)
        if self.dilation != (1, 1):
            raise refuse(place, f"it has dilations {list(self.dilation)}", "dilation 1 works")
        return {"stride": self.stride, "pads": self.pads}


def refuse(place: Place, reason: str, hint: str = "") -> KilogradError:
    """Return the error that names the place, the reason, and what would work."""
    return place.refusal(reason, hint)


def map_shape(shape: Shape) -> Shape:
    """Return a sample's shape in kilograd: (channels, length) is a map of height 1."""
    return (shape[0], 1, shape[1]) if len(shape) == MAP_RANK - 1 else shape


def size(place: Place, x: Tensor) -> tuple[int, int]:
    """Return height and width of a feature map."""
    if len(x.shape) != MAP_RANK:
        raise refuse(place, f"it needs (channels, height, width), got {x.shape}")
    return x.shape[1], x.shape[2]


def conv2d(
    place: Place, x: Tensor, weight: NDArray[np.float32], bias: NDArray[np.float32] | None, how: Sliding, groups: int
) -> Node:
    """Return a convolution; a 1-D weight gets height 1."""
    if weight.ndim not in (MAP_RANK, MAP_RANK + 1):
        raise refuse(place, f"it is {weight.ndim - 2}-dimensional", "1-D and 2-D convolutions work")
    weight = weight[:, :, None, :] if weight.ndim == MAP_RANK else weight
    bias = np.zeros(len(weight), np.float32) if bias is None else bias
    attributes: dict[str, Attribute] = {**how.attributes(place, x), "groups": groups, "relu": False}
    return Node(place.name, "conv2d", (x.name,), place.name, attributes, weight, bias)


def conv_transpose2d(
    place: Place,
    x: Tensor,
    weight: NDArray[np.float32],
    bias: NDArray[np.float32] | None,
    how: Sliding,
    extra: tuple[int, int],
    groups: int,
) -> Node:
    """Return a transposed convolution; the weight is (inputs, outputs, ...), a 1-D one gets height 1."""
    if weight.ndim not in (MAP_RANK, MAP_RANK + 1):
        raise refuse(place, f"it is {weight.ndim - 2}-dimensional", "1-D and 2-D convolutions work")
    if groups != 1:
        raise refuse(place, f"it has {groups} groups", "one group works, or an up-sampling before a Conv with groups")
    weight = weight[:, :, None, :] if weight.ndim == MAP_RANK else weight
    bias = np.zeros(weight.shape[1], np.float32) if bias is None else bias
    attributes: dict[str, Attribute] = {**how.attributes(place, x), "output_padding": extra, "relu": False}
    outward = np.ascontiguousarray(weight.transpose(1, 0, 2, 3))
    return Node(place.name, "conv_transpose2d", (x.name,), place.name, attributes, outward, bias)


def linear(place: Place, x: Tensor, weight: NDArray[np.float32], bias: NDArray[np.float32] | None) -> Node:
    """Return a linear layer; the weight is (outputs, features)."""
    bias = np.zeros(len(weight), np.float32) if bias is None else bias
    return Node(place.name, "linear", (x.name,), place.name, {"relu": False}, np.ascontiguousarray(weight), bias)


def add(place: Place, a: Tensor, b: Tensor) -> Node:
    """Return the sum of two tensors."""
    return Node(place.name, "add", (a.name, b.name), place.name, {"relu": False})


def add_bias(place: Place, x: Tensor, values: NDArray[np.float32], rank: int) -> Node:
    """Return the layer before this place with a larger bias; `rank` is that of x with the batch, in its own format."""
    maker, _, bias = _foldable(place, x, "a constant can only be added as the bias of")
    moved = bias + per_output(place, values, (1, len(bias), *(1,) * (rank - 2)))
    return replace(maker, bias=moved)


def batch_norm(place: Place, x: Tensor, norm: Norm) -> Node:
    """Return the layer before this place with the normalisation in its weights."""
    maker, weight, bias = _foldable(place, x, "it can only be folded into")
    variance = norm.variance.astype(np.float64) + norm.epsilon
    if (variance <= 0).any():
        raise refuse(place, "its variance is negative")
    factor = norm.scale.astype(np.float64) / np.sqrt(variance)
    folded = weight * factor.reshape(-1, *(1,) * (weight.ndim - 1))
    moved = (bias - norm.mean.astype(np.float64)) * factor + norm.shift
    return replace(maker, weight=folded.astype(np.float32), bias=moved.astype(np.float32))


def clip(place: Place, x: Tensor, low: float, high: float) -> Node | str:
    """Return what limits values to low .. high: a rectifier, perhaps with a clamp from above (ReLU6), or nothing."""
    if low == -math.inf and high == math.inf:
        return x.name
    if low != 0 or high <= 0:
        raise refuse(place, f"it limits values to {low:g} .. {high:g}", "limits of 0 .. 6 (ReLU6) work, and 0 .. inf")
    return relu(place, x, None if high == math.inf else high)


def relu(place: Place, x: Tensor, clamp: float | None = None) -> Node:
    """Return the layer before this place with a rectifier, or a rectifier of its own."""
    fused = x.maker is not None and x.maker.op in (*RECTIFIED, "relu")
    old = x.maker.attributes if x.maker is not None and fused else {}
    clamps = [value for value in (old.get("clamp"), clamp) if isinstance(value, float)]
    limit: dict[str, Attribute] = {"clamp": min(clamps)} if clamps else {}
    if x.maker is not None and fused:
        rectifies: dict[str, Attribute] = {"relu": True} if x.maker.op != "relu" else {}
        return replace(x.maker, attributes={**old, **rectifies, **limit})
    return Node(place.name, "relu", (x.name,), place.name, limit)


def function(place: Place, op: str, x: Tensor, attributes: dict[str, Attribute] | None = None) -> Node:
    """Return a function of one number: hard_swish, hard_sigmoid, sigmoid, exp."""
    return Node(place.name, op, (x.name,), place.name, attributes or {})


def mul(place: Place, a: Tensor, b: Tensor) -> Node:
    """Return the product of a map and a number for each of its channels, or of two tensors of one shape."""
    x, gate = (a, b) if math.prod(a.shape) >= math.prod(b.shape) else (b, a)
    if gate.shape not in (x.shape, (*x.shape[:1], *(1,) * len(x.shape[1:]))):
        raise refuse(
            place, f"it multiplies {a.shape} with {b.shape}", "a number for each channel works: (channels, 1, 1)"
        )
    return Node(place.name, "mul", (x.name, gate.name), place.name)


def max_pool(place: Place, x: Tensor, kernel: tuple[int, int], how: Sliding) -> Node:
    """Return a max-pooling."""
    return _pool(place, "max_pool", x, kernel, how)


def average_pool(place: Place, x: Tensor, kernel: tuple[int, int], how: Sliding, *, counts_pads: bool) -> Node:
    """Return an average pooling."""
    if any(how.pads) and not counts_pads:
        raise refuse(place, "it leaves its padding out of the mean", "count_include_pad=1 works, and no padding")
    return _pool(place, "average_pool", x, kernel, how)


def mean(place: Place, x: Tensor, axes: set[int], rank: int, *, keeps: bool) -> Made:
    """Return the mean over these axes of a tensor of this rank: it must be over the whole map."""
    if {axis % rank for axis in axes} != set(range(2, rank)):
        problem = f"it is the mean over the dimensions {sorted(axes)}"
        raise refuse(place, problem, "the mean over height and width works")
    pool = global_average(place, x)
    return pool if keeps else (pool, Node("flatten", "flatten", (pool.output,), "flatten"))


def global_average(place: Place, x: Tensor) -> Node:
    """Return the mean of the whole map."""
    whole = size(place, x)
    return _pool(place, "average_pool", x, whole, Sliding(whole))


def reshape(place: Place, x: Tensor, shape: Shape) -> Node | str:
    """Return what brings a sample to `shape`: nothing, a flatten, or its reverse."""
    features, made = math.prod(x.shape), map_shape(shape)
    if made == x.shape:
        return x.name
    if x.shape == (features,) and len(made) == MAP_RANK and math.prod(made) == features:
        return Node(place.name, "reshape", (x.name,), place.name, {"shape": made})
    if shape == (features,):
        return Node(place.name, "flatten", (x.name,), place.name)
    raise refuse(place, f"it makes {(1, *shape)} of one sample of {x.shape}", f"(1, {features}) works")


def upsample(place: Place, x: Tensor, shape: Shape) -> Node:
    """Return what repeats rows and columns until a sample has `shape`."""
    height, width = size(place, x)
    down, across = (made / old for made, old in zip(map_shape(shape)[1:], (height, width), strict=True))
    if not (down.is_integer() and across.is_integer()):
        raise refuse(place, f"it makes {shape} of {x.shape}", "whole numbers as scale work")
    return Node(place.name, "upsample", (x.name,), place.name, {"scale": (int(down), int(across))})


def softmax(place: Place, x: Tensor, *, is_last: bool) -> str:
    """Leave a softmax over the classes out: the loss brings it."""
    if not is_last or len(x.shape) != 1:
        raise refuse(place, f"it stands inside the model, on {x.shape}", "a softmax over the classes at the end works")
    return x.name


def per_output(place: Place, values: NDArray[np.float32], shape: Shape) -> NDArray[np.float32]:
    """Return one value for each output channel of a constant that broadcasts to `shape` (1, outputs, 1...)."""
    try:
        return np.broadcast_to(values, shape).reshape(-1).copy()
    except ValueError as error:
        raise refuse(place, f"its constant {values.shape} is no bias: one value for each of {shape[1]}") from error


def pair(place: Place, values: Sequence[int], default: int) -> tuple[int, int]:
    """Return (height, width) of a window's sizes; `default` is the height of a 1-D one."""
    if len(values) not in (1, 2):
        raise refuse(place, f"it is {len(values)}-dimensional", "1-D and 2-D windows work")
    return (default, values[0]) if len(values) == 1 else (values[0], values[1])


def _pool(place: Place, op: str, x: Tensor, kernel: tuple[int, int], how: Sliding) -> Node:
    attributes = how.attributes(place, x)
    if how.ceil:
        top, left, bottom, right = how.pads
        steps = zip(x.shape[1:], (top + bottom, left + right), kernel, how.stride, strict=True)
        if any((length + pad - taps) % stride for length, pad, taps, stride in steps):
            raise refuse(place, "its ceil_mode adds windows that reach over the edge", "ceil_mode=0 works")
    return Node(place.name, op, (x.name,), place.name, {"kernel": kernel, **attributes})


def _foldable(place: Place, x: Tensor, task: str) -> tuple[Node, NDArray[np.float32], NDArray[np.float32]]:
    """Return the weighted node before this one, its weight and bias, if nothing else reads it and it has no ReLU."""
    maker = x.maker
    if maker is None or maker.weight is None or maker.bias is None or maker.attributes["relu"]:
        raise refuse(place, f"{task} a convolution or linear layer right before it whose output nothing else reads")
    return maker, maker.weight, maker.bias
