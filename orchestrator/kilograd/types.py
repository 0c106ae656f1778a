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
Attribute = int | bool | float | tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """
    One operator of a graph: `op` names its file in `kilograd/ops`.

    Weighted operators (conv2d, linear) carry `weight` and `bias` as float32; `bias` is never None there.
    Attributes by operator (sizes are (height, width) pairs, pads are (top, left, bottom, right)):
    conv2d: stride, pads, groups, relu, clamp. conv_transpose2d: stride, pads, output_padding, relu, clamp.
    linear: relu, clamp. max_pool: kernel, stride, pads.
    average_pool: kernel, stride, pads (global pooling: kernel == the map). add: relu, clamp. relu: clamp.
    hard_sigmoid, hard_swish: slope, offset. reshape: shape. upsample: scale. flatten, sample, sigmoid, exp, mul: none.
    clamp is the largest value that a ReLU lets through; without it there is none.
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
    `loss` names its file in `kilograd/losses`. Softmax and sigmoid are not part of the graph: the loss brings them.
    """

    name: str
    input: str
    output: str
    nodes: tuple[Node, ...]
    shapes: Mapping[str, Shape]
    loss: str = "cross_entropy"


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


@dataclass(frozen=True)
class Format:
    """
    How a tensor is stored: "uint8" with real = scale * (q - zero), or "float32".

    Scales are float32 values, so that the host computes with exactly what the firmware holds.
    """

    dtype: str
    scale: float = 1.0
    zero: int = 0


@dataclass(frozen=True)
class StoredWeights:
    """Weights as the firmware stores them: uint8 with a format and int32 biases, or float32 for both."""

    weight: NDArray[np.uint8] | NDArray[np.float32]
    bias: NDArray[np.int32] | NDArray[np.float32]
    format: Format


@dataclass(frozen=True)
class QuantisedGraph:
    """A graph whose tensors and weights have their storage formats; borders between formats are nodes of their own."""

    graph: Graph
    formats: Mapping[str, Format]
    weights: Mapping[str, StoredWeights]


@dataclass(frozen=True)
class Array:
    """The C name of an array, as a value in a table."""

    name: str


@dataclass(frozen=True)
class Address:
    """The address of a C object (or of a member: `conv1_state.w_scale`), as a value in a table."""

    name: str


@dataclass(frozen=True)
class Function:
    """A C function, as a value in a table; a kernel may be replaced by a faster variant with the same bits."""

    name: str


Value = int | float | None | Array | Address | Function | Mapping[str, "Value"]


@dataclass(frozen=True)
class Buffer:
    """
    A C array.

    Segments: "features" (planned into the arena), "trained" (initialised RAM), "gradients" (zeroed RAM), "weights"
    (flash).
    """

    name: str
    ctype: str
    count: int
    segment: str
    data: NDArray[np.generic] | None = None

    @property
    def bytes(self) -> int:
        """Return the size of the array."""
        return HEADER_BYTES.get(self.ctype, 0) + self.count * CTYPE_BYTES[self.ctype]


SCALAR_BYTES = 4
CTYPE_BYTES = {
    "uint8_t": 1, "int8_t": 1, "int16_t": 2, "int32_t": 4, "float": 4, "kg_row_statistics_t": 16, "kg_kept_t": 4,
}  # fmt: skip
HEADER_BYTES = {"kg_kept_t": 8}
"""Bytes before the elements."""


@dataclass(frozen=True)
class Record:
    """A C structure with its values: constant in flash, or mutable state in RAM."""

    name: str
    ctype: str
    values: Mapping[str, Value]
    mutable: bool = False

    @property
    def bytes(self) -> int:
        """Return the size of a mutable structure: all its members are scalars of four bytes."""
        return SCALAR_BYTES * _scalars(self.values)


def _scalars(values: Mapping[str, Value]) -> int:
    return sum(_scalars(value) if isinstance(value, Mapping) else 1 for value in values.values())


@dataclass(frozen=True)
class Step:
    """
    One entry of a step list: a function of the runtime and its constant arguments.

    `reads` and `writes` name feature buffers; what is only written and read here is scratch. `inplace` says that
    its first member (written) may use the memory of the second (read for the last time).
    """

    layer: str
    role: str
    function: str
    args: Record
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    inplace: tuple[str, str] | None = None


@dataclass(frozen=True)
class Sparsity:
    """
    Dynamic sparse updates: the share of a layer's rows that learns from one sample goes with the sample's loss.

    The share is `lambda_min` at a loss of 0, `lambda_max` at the largest loss so far. Selections: "proportional" (rows
    by chance, the more error the likelier, without bias) and "top_k" (the rows with the largest errors).
    """

    lambda_min: float = 1.0
    lambda_max: float = 1.0
    selection: str = "proportional"

    @property
    def dense(self) -> bool:
        """Tell whether all rows learn from every sample."""
        return self.lambda_min >= 1


DENSE = Sparsity()


@dataclass(frozen=True)
class Program:
    """Forward, backward and update steps of one model, and everything they point to."""

    name: str
    phases: Mapping[str, tuple[Step, ...]]
    buffers: Mapping[str, Buffer]
    records: tuple[Record, ...]
    state: tuple[str, ...]
    """Buffers and mutable records that training changes, in the order of the model's state."""
    input: str
    input_format: Format
    logits: str
    """What an evaluation answers: the scores of all classes, or what else the loss reports."""
    classes: int
    """Numbers in `logits`."""
    output: str
    output_format: Format
    sparse: tuple[str, ...] = ()
    """Layers with sparse updates, from the last to the first."""


PHASES = ("forward", "backward", "update")


@dataclass(frozen=True)
class Plan:
    """Where every feature buffer lies in the arena, and what each segment needs beside its lower bound (bytes)."""

    offsets: Mapping[str, int]
    features: int
    features_bound: int
    trained: int
    trained_image: int
    """First values of what is trained: they are copied from flash at boot."""
    weights: int
    largest: tuple[tuple[str, int], ...]
    """The largest arrays in RAM, for the message of a model that does not fit."""
