# SPDX-License-Identifier: Apache-2.0
"""Choose every tensor's storage format: uint8 from calibration, or float32, with borders between them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kilograd import graph as graphs
from kilograd.errors import KilogradError
from kilograd.losses import loss_of
from kilograd.types import Format, Graph, Node, QuantisedGraph, StoredWeights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Ranges = Mapping[str, tuple[float, float]]

CONFIGURATIONS = ("uint8", "mixed", "float32")
SAME_FORMAT = (
    "flatten",
    "reshape",
    "max_pool",
    "upsample",
    "relu",
)  # the output keeps the input's scale and zero point
LATENT_FORMAT = Format("uint8", float(np.float32(8 / 255)), 128)  # latent variables: four standard deviations
WEIGHT_MARGIN = 0.05  # of the range, on both sides of a weight that will be trained
LEVELS = 255


def quantise(
    graph: Graph,
    configuration: str,
    calibration: NDArray[np.float32],
    trained: frozenset[str],
    rehearsed: Graph | None = None,
    layer_formats: Mapping[str, str] | None = None,
) -> QuantisedGraph:
    """
    Return the graph in its storage formats.

    Args:
        graph: the float model.
        configuration: "uint8", "mixed" (the last weighted layer in float32) or "float32".
        calibration: samples (n, *input shape) that span the values to expect.
        trained: names of the layers that train; their weights get a margin in their range.
        rehearsed: the same model after training in float, where `graph` has not been trained yet: activations grow
            while a model learns, and their ranges must hold them.
        layer_formats: "uint8" or "float32" for weighted layers that are not to follow the configuration.

    """
    dtypes = node_dtypes(graph, configuration, layer_formats or {})
    bordered = _insert_borders(graph, dtypes)
    ranges = _ranges(bordered, calibration)
    if rehearsed is not None:
        ranges = _union(ranges, _ranges(_insert_borders(rehearsed, dtypes), calibration))
    formats = _formats(bordered, ranges, dtypes)
    weights = {node.name: _stored(node, formats, trained) for node in bordered.nodes if node.weight is not None}
    return QuantisedGraph(bordered, formats, weights)


def store_input(x: NDArray[np.float32], form: Format) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Bring samples into the format of the input tensor."""
    if form.dtype == "float32":
        return np.ascontiguousarray(x, np.float32)
    stored: NDArray[np.uint8] = np.clip(np.rint(x / np.float32(form.scale)) + form.zero, 0, LEVELS).astype(np.uint8)
    return stored


def node_dtypes(graph: Graph, configuration: str, layer_formats: Mapping[str, str]) -> dict[str, str]:
    """Return each node's arithmetic; nodes without weights follow their first input."""
    if configuration not in CONFIGURATIONS:
        message = f"unknown configuration: {configuration}"
        raise KilogradError(message, f"known: {', '.join(CONFIGURATIONS)}")
    weighted = [node.name for node in graph.nodes if node.weight is not None]
    base = "float32" if configuration == "float32" else "uint8"
    of_weighted = dict.fromkeys(weighted, base)
    if configuration == "mixed":
        of_weighted[weighted[-1]] = "float32"
    unknown = [name for name in layer_formats if name not in of_weighted]
    if unknown:
        message = f"{graph.name} has no such layers to give a number format: {', '.join(unknown)}"
        raise KilogradError(message, f"train.formats may name: {', '.join(weighted)}")
    of_weighted |= layer_formats
    of_tensor = {graph.input: of_weighted[weighted[0]]}
    dtypes = {}
    for node in graph.nodes:
        dtypes[node.name] = of_weighted.get(node.name, of_tensor[node.inputs[0]])
        of_tensor[node.output] = dtypes[node.name]
    return dtypes


def _insert_borders(graph: Graph, dtypes: dict[str, str]) -> Graph:
    """Add a node where a tensor is read in another format than it is made, and before the loss."""
    made = {graph.input: dtypes[graph.nodes[0].name]} | {node.output: dtypes[node.name] for node in graph.nodes}
    made |= dict.fromkeys(_unrounded(graph), "float32")
    nodes: list[Node] = []
    crossed: dict[tuple[str, str], str] = {}

    def cross(tensor: str, dtype: str) -> str:
        if made[tensor] == dtype:
            return tensor
        if (tensor, dtype) not in crossed:
            op = "dequantise" if dtype == "float32" else "quantise"
            border = Node(f"{tensor}_{op}", op, (tensor,), f"{tensor}_{dtype}")
            nodes.append(border)
            dtypes[border.name] = dtype
            crossed[tensor, dtype] = border.output
        return crossed[tensor, dtype]

    for node in graph.nodes:
        inputs = tuple(cross(tensor, _reads(node, dtypes)) for tensor in node.inputs)
        nodes.append(replace(node, inputs=inputs))
    integers = made[graph.input] == "uint8" and loss_of(graph).OUTPUT_FORMAT is not None
    output = graph.output if integers else cross(graph.output, "float32")
    shapes = graphs.infer_shapes(nodes, graph.input, graph.shapes[graph.input])
    return Graph(graph.name, graph.input, output, tuple(nodes), shapes, graph.loss)


def _reads(node: Node, dtypes: Mapping[str, str]) -> str:
    """Return the format in which a node reads: latent variables are drawn in float, whatever reads them."""
    return "float32" if node.op == "sample" else dtypes[node.name]


def _unrounded(graph: Graph) -> set[str]:
    """Return the outputs of linear layers that only float arithmetic reads: their sums are never rounded to uint8."""
    readers: dict[str, set[str]] = {}
    for node in graph.nodes:
        for tensor in node.inputs:
            readers.setdefault(tensor, set()).add(node.op)
    if loss_of(graph).OUTPUT_FORMAT is None:
        readers.setdefault(graph.output, set()).add("sample")  # a loss in float reads as it does
    return {node.output for node in graph.nodes if node.op == "linear" and readers.get(node.output) == {"sample"}}


def _ranges(graph: Graph, calibration: NDArray[np.float32]) -> Ranges:
    """Return the smallest and largest value of every tensor over the samples, with 0 inside."""
    if not np.isfinite(calibration).all():
        message = "the calibration samples hold values that are not finite"
        raise KilogradError(message, "clean the data set")
    tensors = graphs.evaluate(graph, calibration)
    return {name: (min(0.0, float(t.min())), max(0.0, float(t.max()))) for name, t in tensors.items()}


def _union(a: Ranges, b: Ranges) -> Ranges:
    return {name: (min(a[name][0], b[name][0]), max(a[name][1], b[name][1])) for name in a}


def _formats(graph: Graph, ranges: Ranges, dtypes: Mapping[str, str]) -> dict[str, Format]:
    first = dtypes[graph.nodes[0].name]
    formats = {graph.input: _format(*ranges[graph.input]) if first == "uint8" else Format("float32")}
    fixed = _fixed_formats(graph)
    for node in graph.nodes:
        if dtypes[node.name] == "float32" or node.output in _unrounded(graph):
            formats[node.output] = Format("float32")
        elif node.op in SAME_FORMAT:
            formats[node.output] = formats[node.inputs[0]]
        else:
            formats[node.output] = fixed.get(node.output) or _format(*ranges[node.output])
    return formats


def _fixed_formats(graph: Graph) -> dict[str, Format]:
    """Return the uint8 formats that are known beforehand: of latent variables, and of what the loss reads."""
    fixed = {node.output: LATENT_FORMAT for node in graph.nodes if node.op == "sample"}
    form = loss_of(graph).OUTPUT_FORMAT
    if form is not None:
        producers = {node.output: node for node in graph.nodes}
        made = graph.output
        while producers[made].op == "reshape":
            made = producers[made].inputs[0]
        fixed[made] = form
    return fixed


def _format(low: float, high: float) -> Format:
    """Return the uint8 format that covers [low, high] and represents 0 exactly."""
    scale = np.float32((high - low) / LEVELS) or np.float32(1)
    return Format("uint8", float(scale), int(np.clip(np.rint(-low / scale), 0, LEVELS)))


def _stored(node: Node, formats: Mapping[str, Format], trained: frozenset[str]) -> StoredWeights:
    if node.weight is None or node.bias is None:
        message = f"{node.name} has no weights"
        raise KilogradError(message)
    source = formats[node.inputs[0]]
    if source.dtype == "float32":
        return StoredWeights(node.weight, node.bias, Format("float32"))
    low, high = min(0.0, float(node.weight.min())), max(0.0, float(node.weight.max()))
    margin = WEIGHT_MARGIN * (high - low) if node.name in trained else 0.0
    form = _format(low - margin, high + margin)
    weight = np.clip(np.rint(node.weight / np.float32(form.scale)) + form.zero, 0, LEVELS).astype(np.uint8)
    unit = np.float32(source.scale) * np.float32(form.scale)
    bias = np.clip(np.rint(node.bias / unit), -(2**30), 2**30).astype(np.int32)
    return StoredWeights(weight, bias, form)
