# SPDX-License-Identifier: Apache-2.0
"""A graph under construction, from whatever format: names, tensors, and who reads them."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kilograd.errors import KilogradError
from kilograd.load._nodes import Tensor
from kilograd.ops import operator
from kilograd.types import Graph, Node

if TYPE_CHECKING:
    from collections import Counter

    from kilograd.load._nodes import Made
    from kilograd.types import Shape


def identifier(name: str, kind: str, taken: set[str]) -> str:
    """Return a name as an identifier that nobody has taken, and take it; a nameless thing is called by its kind."""
    stem = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or kind.lower()
    stem = stem if stem[0].isalpha() else f"{kind.lower()}_{stem}"
    numbered = (f"{stem}_{number}" for number in itertools.count(2))
    free = next(candidate for candidate in itertools.chain([stem], numbered) if candidate not in taken)
    taken.add(free)
    return free


@dataclass
class Build:
    """Nodes so far; a tensor has the name of the node that makes it. "Theirs" are names of the file."""

    reads: Counter[str]
    """How often each of their tensors is read; the output of the model is read once more."""
    taken: set[str] = field(default_factory=set)
    tensors: dict[str, str] = field(default_factory=dict)  # theirs -> ours
    nodes: dict[str, Node] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)

    def begin(self, theirs: str, shape: Shape) -> None:
        """Take the input of the model."""
        self.tensors[theirs] = identifier(theirs, "input", self.taken)
        self.shapes[self.tensors[theirs]] = shape

    def tensor(self, theirs: str) -> Tensor:
        """Return a tensor that a node reads, with its maker where nothing else reads it."""
        ours = self.tensors[theirs]
        return Tensor(ours, self.shapes[ours], self.nodes.get(ours) if self.reads[theirs] == 1 else None)

    def add(self, theirs: str, source: str, made: Made) -> None:
        """Take what makes one of their tensors: new nodes, a changed one, or the name of what it equals: `source`."""
        if isinstance(made, str):
            self.tensors[theirs] = made
            self.reads[theirs] += self.reads[source] - 1
            return
        first, *others = (made,) if isinstance(made, Node) else made
        self._put(first)
        for node in others:
            name = identifier(f"{first.name}_{node.op}", node.op, self.taken)
            first = replace(node, name=name, output=name)
            self._put(first)
        self.tensors[theirs] = first.output

    def _put(self, node: Node) -> None:
        self.nodes[node.name] = node
        self.shapes[node.output] = operator(node.op).shape(node, [self.shapes[tensor] for tensor in node.inputs])

    def graph(self, name: str, source: str, output: str, hint: str) -> Graph:
        """Return the finished graph; `source` and `output` are their names, `hint` tells how to end a model."""
        graph = Graph(name, self.tensors[source], self.tensors[output], tuple(self.nodes.values()), self.shapes)
        if not graph.nodes or len(graph.shapes[graph.output]) != 1:
            message = f"the output {output} has the shape {graph.shapes[graph.output]}: one score per class is needed"
            raise KilogradError(message, hint)
        return graph
