# SPDX-License-Identifier: Apache-2.0
"""The values that flow from step to step; all are frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Shape = tuple[int, ...]
Attribute = int | bool | tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """
    One operator of a graph: `op` names its file in `kilograd/ops`.

    Weighted operators (conv2d, linear) carry `weight` and `bias` as float32; `bias` is never None there.
    Attributes by operator (sizes are (height, width) pairs, pads are (top, left, bottom, right)):
    conv2d: stride, pads, groups, relu. linear: relu. max_pool: kernel, stride, pads.
    average_pool: kernel, stride, pads (global pooling: kernel == the map). add: relu. relu: none. flatten: none.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    weight: NDArray[np.float32] | None = None
    bias: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Graph:
    """
    A float model: nodes in execution order, from one input tensor to the logits.

    Shapes are per sample, without the batch: (channels, height, width), or (features,) after flatten.
    Softmax is not part of the graph: the loss brings it.
    """

    name: str
    input: str
    output: str
    nodes: tuple[Node, ...]
    shapes: Mapping[str, Shape]


@dataclass(frozen=True)
class Samples:
    """Inputs as float32 (n, *shape) in real units, labels as int64 (n,)."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Dataset:
    """A data set: training and test split, and the names of its classes."""

    name: str
    train: Samples
    test: Samples
    classes: tuple[str, ...]
