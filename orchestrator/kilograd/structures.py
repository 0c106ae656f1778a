# SPDX-License-Identifier: Apache-2.0
"""
Which channels and neurons of a graph can be removed, and what must go with them.

A structure is an output channel of a convolution or a neuron of a linear layer. Its row of weights cannot go alone:
whoever reads the channel loses the columns for it. The walk follows every tensor to its channels' group:

- A convolution or linear layer begins a group (its rows), and is a reader (its columns) of its input's group.
- A depthwise convolution has a row for each channel of its input: it stays in the group, and loses rows.
- Pooling and rectifiers work channel by channel; behind a flatten a channel is a block of neighbouring columns.
- A sum or a product ties both groups into one: channel k of each goes only together with channel k of the other.
- A gate, which gives something for nothing (a sigmoid), keeps its channels, unless it is only a factor of a product.
- The input and the scores of the model stay whole, and so does what reaches or comes from an operator that is none of
  these, such as a convolution with several channels in each group.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kilograd.graph import infer_shapes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kilograd.types import Graph, Node

CHANNEL_BY_CHANNEL = ("average_pool", "hard_swish", "max_pool", "relu", "upsample")  # each gives 0 for 0
GATES = ("exp", "hard_sigmoid", "sigmoid")
TYING = ("add", "mul")
ROWS, COLUMNS = 0, 1


@dataclass(frozen=True)
class Part:
    """Where the structures of a group lie: rows or columns of a node's weight, `block` neighbours for each."""

    node: str
    axis: int
    block: int


@dataclass(frozen=True)
class Group:
    """Structures that only go together; `owners` are the layers that make them, in the order of the graph."""

    owners: tuple[str, ...]
    count: int
    parts: tuple[Part, ...]


def groups(graph: Graph) -> tuple[Group, ...]:
    """Return all groups that may lose structures."""
    walk = _Walk(graph)
    for node in graph.nodes:
        walk.visit(node)
    walk.freeze(graph.output)
    return walk.groups()


def cut(graph: Graph, group: Group, kept: NDArray[np.int64]) -> Graph:
    """Return the graph without the structures of a group that are not kept: smaller arrays, nothing masked."""
    parts: dict[str, list[Part]] = {}
    for part in group.parts:
        parts.setdefault(part.node, []).append(part)
    nodes = []
    for node in graph.nodes:
        smaller = node
        for part in parts.get(node.name, ()):
            smaller = _cut(smaller, part, kept)
        nodes.append(smaller)
    shapes = infer_shapes(nodes, graph.input, graph.shapes[graph.input])
    return replace(graph, nodes=tuple(nodes), shapes=shapes)


def indices(part: Part, structures: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows or columns of structures."""
    return (structures[:, None] * part.block + np.arange(part.block)).ravel()


def _cut(node: Node, part: Part, kept: NDArray[np.int64]) -> Node:
    if node.weight is None or node.bias is None:
        return node
    chosen = indices(part, kept)
    weight = np.ascontiguousarray(np.take(node.weight, chosen, axis=part.axis))
    if part.axis == COLUMNS:
        return replace(node, weight=weight)
    attributes = dict(node.attributes)
    if attributes.get("groups", 1) != 1:  # depthwise
        attributes["groups"] = len(kept) * _groups(node) // (len(node.weight) // part.block)
    return replace(node, weight=weight, bias=node.bias[chosen], attributes=attributes)


def _groups(node: Node) -> int:
    groups_ = node.attributes.get("groups", 1)
    return groups_ if isinstance(groups_, int) else 1


class _Walk:
    """Groups under construction: each tensor has a group, and a block of elements for each of its structures."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._tied: dict[str, str] = {}  # a group's name -> that of the group that took it in
        self._counts: dict[str, int] = {}
        self._owners: dict[str, list[str]] = {}
        self._parts: dict[str, list[Part]] = {}
        self._frozen: set[str] = set()
        self._tensors: dict[str, tuple[str, int]] = {}
        self._readers: dict[str, set[str]] = {tensor: set() for tensor in graph.shapes}
        for node in graph.nodes:
            for tensor in node.inputs:
                self._readers[tensor].add(node.op)
        self._begin(graph.input, ())
        self.freeze(graph.input)

    def visit(self, node: Node) -> None:
        """Take the next node."""
        if node.op == "linear" or (node.op == "conv2d" and _groups(node) == 1):
            group, block = self._tensors[node.inputs[0]]
            self._parts[self._root(group)].append(Part(node.name, COLUMNS, block))
            self._begin(node.output, (node.name,))
        elif node.op == "conv2d" and _groups(node) == self._channels(node.inputs[0]):
            group, block = self._tensors[node.inputs[0]]
            block *= self._channels(node.output) // self._channels(node.inputs[0])
            self._parts[self._root(group)].append(Part(node.name, ROWS, block))
            self._tensors[node.output] = group, block
        elif node.op == "flatten":
            group, block = self._tensors[node.inputs[0]]
            self._tensors[node.output] = group, block * math.prod(self._graph.shapes[node.inputs[0]][1:])
        elif node.op in CHANNEL_BY_CHANNEL or (node.op in GATES and self._readers[node.output] == {"mul"}):
            self._tensors[node.output] = self._tensors[node.inputs[0]]
        elif node.op in TYING:
            self._tie(*node.inputs)
            self._tensors[node.output] = self._tensors[node.inputs[0]]
        else:
            self._begin(node.output, ())
            for tensor in (*node.inputs, node.output):
                self.freeze(tensor)

    def freeze(self, tensor: str) -> None:
        """Keep all structures of a tensor's group."""
        self._frozen.add(self._root(self._tensors[tensor][0]))

    def groups(self) -> tuple[Group, ...]:
        """Return what is not frozen."""
        roots = [group for group in self._counts if group not in self._tied and group not in self._frozen]
        return tuple(Group(tuple(self._owners[r]), self._counts[r], tuple(self._parts[r])) for r in roots)

    def _begin(self, tensor: str, owners: tuple[str, ...]) -> None:
        self._tensors[tensor] = tensor, 1
        self._counts[tensor] = self._channels(tensor)
        self._owners[tensor] = list(owners)
        self._parts[tensor] = [Part(name, ROWS, 1) for name in owners]

    def _tie(self, one: str, other: str) -> None:
        (first, block), (second, other_block) = self._tensors[one], self._tensors[other]
        first, second = self._root(first), self._root(second)
        if block != other_block:
            self.freeze(one)
            self.freeze(other)
        elif first != second:
            self._tied[second] = first
            self._owners[first] += self._owners[second]
            self._parts[first] += self._parts[second]
            if second in self._frozen:
                self._frozen.add(first)

    def _root(self, group: str) -> str:
        while group in self._tied:
            group = self._tied[group]
        return group

    def _channels(self, tensor: str) -> int:
        return self._graph.shapes[tensor][0]
