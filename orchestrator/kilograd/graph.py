# SPDX-License-Identifier: Apache-2.0
"""Whole graphs: put together with checked shapes, run in float32, counted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import KilogradError
from kilograd.ops import operator
from kilograd.types import Graph, Node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kilograd.types import Shape


def make_graph(
    name: str, input_shape: Shape, nodes: Sequence[Node], *, source: str = "input", loss: str = "cross_entropy"
) -> Graph:
    """Return the graph of nodes in execution order; the last one gives the output."""
    shapes = infer_shapes(nodes, source, input_shape)
    return Graph(name, source, nodes[-1].output, tuple(nodes), shapes, loss)


def infer_shapes(nodes: Sequence[Node], source: str, input_shape: Shape) -> dict[str, Shape]:
    """Return the shape of every tensor, per sample; `source` names the input tensor."""
    shapes = {source: input_shape}
    for node in nodes:
        for tensor in node.inputs:
            if tensor not in shapes:
                message = f"{node.name} ({node.op}): reads {tensor}, which no earlier node makes"
                raise KilogradError(message)
        if node.output in shapes:
            message = f"{node.name} ({node.op}): makes {node.output} a second time"
            raise KilogradError(message)
        shapes[node.output] = operator(node.op).shape(node, [shapes[tensor] for tensor in node.inputs])
    return shapes


def evaluate(graph: Graph, x: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Run a batch (n, *input shape) and return every tensor by name, the input included."""
    if x.shape[1:] != graph.shapes[graph.input]:
        message = f"{graph.name} takes samples of shape {graph.shapes[graph.input]}, got {x.shape[1:]}"
        raise KilogradError(message)
    tensors = {graph.input: np.asarray(x, np.float32)}
    for node in graph.nodes:
        tensors[node.output] = operator(node.op).evaluate(node, [tensors[tensor] for tensor in node.inputs])
    return tensors


def macs(graph: Graph) -> int:
    """Count the multiply-accumulates of one forward pass of one sample, padded taps included."""
    return sum(
        node.weight.size * math.prod(graph.shapes[_positions(node)][1:])
        for node in graph.nodes
        if node.weight is not None
    )


def _positions(node: Node) -> str:
    """Return the tensor that has a position for each use of a node's weights."""
    return node.inputs[0] if node.op == "conv_transpose2d" else node.output


def parameters(graph: Graph) -> int:
    """Count weights and biases."""
    return sum(array.size for node in graph.nodes for array in (node.weight, node.bias) if array is not None)
