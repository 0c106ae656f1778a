# SPDX-License-Identifier: Apache-2.0
"""What an ONNX file holds, checked: constants, input, output, the nodes that matter, their shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper

from kilograd.errors import KilogradError
from kilograd.load._nodes import map_shape
from kilograd.load._onnx_nodes import TRANSLATORS, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from kilograd.types import Shape

Constants = dict[str, "NDArray[np.generic]"]

OLDEST_OPSET = 7
OWN_DOMAINS = ("", "ai.onnx")
REARRANGING = ("Identity", "Reshape", "Transpose")  # of constants
RESHAPING = (
    "Reshape",
    "Resize",
    "Squeeze",
    "Unsqueeze",
    "Upsample",
)  # their further inputs tell a shape, which ONNX infers
EXPORT_AGAIN = "export the model again, or copy the whole file"


def read(path: Path) -> onnx.ModelProto:
    """Read a file that is a valid ONNX model of a version that onnx knows."""
    if not path.is_file():
        message = "no such file"
        raise KilogradError(message)
    try:
        model = onnx.load(path)
    except DecodeError as error:
        message = "not an ONNX file"
        raise KilogradError(message, EXPORT_AGAIN) from error
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        message = f"cannot be read: {_first_line(error)}"
        raise KilogradError(message, EXPORT_AGAIN) from error
    _check_opset(model)
    try:
        onnx.checker.check_model(model)
        _check_texts(model.graph)
    except (onnx.checker.ValidationError, UnicodeDecodeError) as error:
        message = f"not a valid ONNX model: {_first_line(error)}"
        raise KilogradError(message, "onnx.checker.check_model tells more") from error
    return model


def constants(graph: onnx.GraphProto) -> Constants:
    """Return the initializers and Constant nodes by name, and what exporters do to weights: rename, reshape, turn."""
    found: Constants = {tensor.name: _array(tensor.name, tensor) for tensor in graph.initializer}
    for proto in graph.node:
        if proto.op_type == "Constant":
            found[proto.output[0]] = _constant(proto)
        elif proto.op_type in REARRANGING and all(name in found for name in proto.input):
            found[proto.output[0]] = _rearranged(proto, *(found[name] for name in proto.input))
    return found


def single_input(graph: onnx.GraphProto) -> tuple[str, Shape]:
    """Return name and shape, per sample, of the input; images are (channels, height, width)."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1:
        message = f"has {len(inputs)} inputs: {', '.join(value.name for value in inputs)}"
        raise KilogradError(message, "kilograd trains models with one input")
    kind = inputs[0].type.tensor_type
    name = inputs[0].name
    if kind.elem_type != onnx.TensorProto.FLOAT:
        kinds = {number: text for text, number in onnx.TensorProto.DataType.items()}
        message = f"the input {name} is {kinds.get(kind.elem_type, 'of an unknown type')}"
        raise KilogradError(message, "kilograd reads float32 models, and quantises them itself")
    dimensions = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in kind.shape.dim]
    shape = dimensions[1:]
    if not shape or any(not isinstance(size, int) or size < 1 for size in shape):
        message = f"the input {name} has the dynamic shape {_show(dimensions)}"
        raise KilogradError(message, "export the model with fixed sizes; only the batch may be symbolic")
    if isinstance(dimensions[0], int) and dimensions[0] != 1:
        message = f"the input {name} has the fixed batch {dimensions[0]}: {_show(dimensions)}"
        raise KilogradError(message, "export the model with a batch of 1 or a symbolic one")
    return name, map_shape(tuple(int(size) for size in shape))


def single_output(graph: onnx.GraphProto) -> str:
    """Return the name of the output."""
    if len(graph.output) != 1:
        message = f"has {len(graph.output)} outputs: {', '.join(value.name for value in graph.output)}"
        raise KilogradError(message, "kilograd trains models with one output: a score for each class")
    return str(graph.output[0].name)


def needed_nodes(graph: onnx.GraphProto, known: Constants) -> list[onnx.NodeProto]:
    """Return the nodes that the output depends on, in order; each is known to kilograd and has finite weights."""
    wanted = {graph.output[0].name}
    needed = []
    for proto in reversed(graph.node):
        if wanted.isdisjoint(proto.output) or proto.output[0] in known:
            continue
        if proto.domain not in OWN_DOMAINS or proto.op_type not in TRANSLATORS:
            raise refusal(label(proto), proto.op_type, "kilograd has no such operator")
        if not wanted.isdisjoint(proto.output[1:]):
            raise refusal(label(proto), proto.op_type, "only its first output can be used")
        for tensor in value_inputs(proto):
            _check_finite(tensor, known.get(tensor))
        wanted.update(data_inputs(proto, known))
        needed.append(proto)
    return needed[::-1]


def inferred_shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    """Return the shapes for a batch of one, as far as ONNX can tell: with the batch, which a node may have moved."""
    single = onnx.ModelProto()
    single.CopyFrom(model)
    del single.graph.value_info[:]
    weights = {tensor.name for tensor in model.graph.initializer}
    for value in single.graph.input:
        if value.name not in weights:
            value.type.tensor_type.shape.dim[0].dim_value = 1
    for value in single.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(single, check_type=True, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        message = f"its shapes do not fit: {_first_line(error)}"
        raise KilogradError(message) from error
    values = (*inferred.graph.value_info, *inferred.graph.output)
    dims = {value.name: value.type.tensor_type.shape.dim for value in values}
    return {name: tuple(dim.dim_value for dim in dim) for name, dim in dims.items() if _is_known(dim)}


def value_inputs(proto: onnx.NodeProto) -> tuple[str, ...]:
    """Return the inputs that carry values; inputs that only tell a shape, and those left out, are not among them."""
    return tuple(proto.input[place] for place in value_places(proto))


def value_places(proto: onnx.NodeProto) -> tuple[int, ...]:
    """Return which inputs carry values."""
    names = proto.input[:1] if proto.op_type in RESHAPING else proto.input
    return tuple(place for place, name in enumerate(names) if name)


def data_inputs(proto: onnx.NodeProto, known: Mapping[str, NDArray[np.generic]]) -> tuple[str, ...]:
    """Return the inputs that are computed."""
    return tuple(name for name in value_inputs(proto) if name not in known)


def attributes(proto: onnx.NodeProto) -> dict[str, object]:
    """Return the attributes as Python values."""
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in proto.attribute}


def label(proto: onnx.NodeProto) -> str:
    """Return what people know a node by: its name, else the tensor that it makes."""
    return proto.name or proto.output[0]


def _check_opset(model: onnx.ModelProto) -> None:
    newest = onnx.defs.onnx_opset_version()
    versions = [opset.version for opset in model.opset_import if opset.domain in OWN_DOMAINS]
    if not versions or not OLDEST_OPSET <= versions[0] <= newest:
        message = f"uses opset {versions[0]}" if versions else "names no opset of the domain ai.onnx"
        raise KilogradError(message, f"export it with an opset from {OLDEST_OPSET} to {newest}")


def _check_texts(graph: onnx.GraphProto) -> None:
    """Find names that are no text: protobuf hands them out as bytes."""
    texts = [value.name for value in graph.input]
    for proto in graph.node:
        texts += [proto.name, proto.op_type, *proto.input, *proto.output]
    for text in texts:
        if isinstance(text, bytes):
            text.decode()


def _array(name: str, tensor: onnx.TensorProto) -> NDArray[np.generic]:
    try:
        return numpy_helper.to_array(tensor)
    except (KeyError, TypeError, ValueError) as error:
        message = f"tensor {name} cannot be read: {_first_line(error)}"
        raise KilogradError(message) from error


def _constant(proto: onnx.NodeProto) -> NDArray[np.generic]:
    """Return the value of a Constant node."""
    kind, value = next(iter(attributes(proto).items()))
    if isinstance(value, onnx.TensorProto):
        return _array(proto.output[0], value)
    if kind in ("value_float", "value_floats", "value_int", "value_ints"):
        return np.asarray(value, np.float32 if "float" in kind else np.int64)
    raise refusal(label(proto), proto.op_type, f"{kind} is no array of numbers")


def _rearranged(proto: onnx.NodeProto, value: NDArray[np.generic], *target: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return a constant in another form."""
    try:
        if proto.op_type == "Reshape":
            kept = zip(np.ravel(target[0]).tolist(), (*value.shape, *[0] * np.size(target[0])), strict=False)
            return value.reshape([size or old for size, old in kept])
        axes = cast("list[int] | None", attributes(proto).get("perm"))
        return value.transpose(axes) if proto.op_type == "Transpose" else value
    except (IndexError, TypeError, ValueError) as error:
        raise refusal(label(proto), proto.op_type, f"it does not fit its constant input {value.shape}") from error


def _check_finite(name: str, value: NDArray[np.generic] | None) -> None:
    if value is not None and np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
        bad = np.flatnonzero(~np.isfinite(value))
        message = f"tensor {name} of shape {value.shape} holds NaN or infinity: {bad.size} values, first at {bad[0]}"
        raise KilogradError(message, "the training that made this model has failed: export an earlier state")


def _is_known(dims: Sequence[onnx.TensorShapeProto.Dimension]) -> bool:
    return all(dim.HasField("dim_value") for dim in dims)


def _show(dimensions: Sequence[int | str]) -> str:
    return f"({', '.join(map(str, dimensions))})"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
