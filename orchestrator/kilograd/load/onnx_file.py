# SPDX-License-Identifier: Apache-2.0
"""ONNX files as graphs: read, checked, and translated node by node."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from kilograd.errors import KilogradError
from kilograd.load import _onnx_model
from kilograd.load._build import Build, identifier
from kilograd.load._onnx_nodes import OnnxNode, translate

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

    from kilograd.types import Graph


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
    shapes = _onnx_model.inferred_shapes(model)
    reads = Counter([output, *(tensor for proto in protos for tensor in _onnx_model.data_inputs(proto, constants))])
    build = Build(reads)
    build.begin(source, source_shape)
    for proto in protos:
        inputs = _onnx_model.value_inputs(proto)
        made = translate(
            OnnxNode(
                name=identifier(proto.name, proto.op_type, build.taken),
                label=_onnx_model.label(proto),
                op=proto.op_type,
                attributes=_onnx_model.attributes(proto),
                inputs=tuple(constants[tensor] if tensor in constants else build.tensor(tensor) for tensor in inputs),
                places=_onnx_model.value_places(proto),
                output_shape=shapes.get(proto.output[0]),
                is_last=proto.output[0] == output,
            )
        )
        build.add(proto.output[0], proto.input[0], made)
    return build.graph(name, source, output, "end the model with a Gemm, or with GlobalAveragePool and Flatten")
