# SPDX-License-Identifier: Apache-2.0
"""ONNX files as graphs: read, checked, and translated node by node."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kilograd.errors import KilogradError
from kilograd.load import _onnx_model
from kilograd.load._onnx_nodes import OnnxNode, Tensor, translate
from kilograd.ops import operator
from kilograd.types import Graph, Node

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    import onnx
    from numpy.typing import NDArray

    from kilograd.types import Shape


def load_onnx(path: Path) -> Graph:
    """
    Read a model from an ONNX file.

    BatchNorm is folded, ReLU is fused, a final Softmax is left out, 1-D operators get height 1. Nodes keep their
    ONNX names, as identifiers.
    """
    try:
        return _translate(_onnx_model.read(path), path.stem)
    except KilogradError as error:
        message = f"{path}: {error.message}"
        raise KilogradError(message, error.hint) from error


def _translate(model: onnx.ModelProto, name: str) -> Graph:
    constants = _onnx_model.constants(model.graph)
    source, source_shape = _onnx_model.single_input(model.graph)
    output = _onnx_model.single_output(model.graph)
    protos = _onnx_model.needed_nodes(model.graph, constants)
    reads = Counter([output, *(tensor for proto in protos for tensor in _onnx_model.data_inputs(proto, constants))])
    build = _Build(constants, _onnx_model.inferred_shapes(model), output, reads)
    build.tensors[source] = _onnx_model.identifier(source, "input", build.taken)
    build.shapes[build.tensors[source]] = source_shape
    for proto in protos:
        build.add(proto)
    graph = Graph(name, build.tensors[source], build.tensors[output], tuple(build.nodes.values()), build.shapes)
    if not graph.nodes or len(graph.shapes[graph.output]) != 1:
        message = f"the output {output} has the shape {graph.shapes[graph.output]}: one score per class is needed"
        raise KilogradError(message, "end the model with a Gemm, or with GlobalAveragePool and Flatten")
    return graph


@dataclass
class _Build:
    """A graph under construction; a tensor has the name of the node that makes it."""

    constants: Mapping[str, NDArray[np.generic]]
    inferred: Mapping[str, Shape]
    output: str
    reads: Counter[str]  # ONNX tensor -> how often it is read
    taken: set[str] = field(default_factory=set)  # names
    tensors: dict[str, str] = field(default_factory=dict)  # ONNX tensor -> ours
    nodes: dict[str, Node] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)

    def add(self, proto: onnx.NodeProto) -> None:
        """Translate one node: into a new one, into a change of the one before, or into nothing."""
        made = translate(self._view(proto))
        if isinstance(made, Node):
            self.nodes[made.name] = made
            self.shapes[made.output] = operator(made.op).shape(made, [self.shapes[tensor] for tensor in made.inputs])
            self.tensors[proto.output[0]] = made.output
        else:
            self.tensors[proto.output[0]] = made
            self.reads[proto.output[0]] += self.reads[proto.input[0]] - 1

    def _view(self, proto: onnx.NodeProto) -> OnnxNode:
        return OnnxNode(
            name=_onnx_model.identifier(proto.name, proto.op_type, self.taken),
            label=_onnx_model.label(proto),
            op=proto.op_type,
            attributes=_onnx_model.attributes(proto),
            inputs=tuple(self._value(tensor) for tensor in _onnx_model.value_inputs(proto)),
            output_shape=self.inferred.get(proto.output[0]),
            is_last=proto.output[0] == self.output,
        )

    def _value(self, tensor: str) -> Tensor | NDArray[np.generic]:
        if tensor in self.constants:
            return self.constants[tensor]
        ours = self.tensors[tensor]
        return Tensor(ours, self.shapes[ours], self.nodes.get(ours) if self.reads[tensor] == 1 else None)
