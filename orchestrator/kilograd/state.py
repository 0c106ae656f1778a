# SPDX-License-Identifier: Apache-2.0
"""The bytes that training changes: what lies where in a model's state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from kilograd.types import Graph, Program, Value

DTYPES = {"uint8_t": np.uint8, "int8_t": np.int8, "int16_t": np.int16, "int32_t": np.int32, "float": np.float32}


def split_state(program: Program, state: bytes) -> dict[str, bytes]:
    """Return each object of the state by its C name."""
    records = {record.name: record for record in program.records}
    parts: dict[str, bytes] = {}
    offset = 0
    for name in program.state:
        size = program.buffers[name].bytes if name in program.buffers else records[name].bytes
        parts[name] = state[offset : offset + size]
        offset += size
    if offset != len(state):
        message = f"the state of {program.name} has {offset} bytes, got {len(state)}"
        raise KilogradError(message, "read it from a firmware that was built from the same model")
    return parts


def read_array(program: Program, state: bytes, name: str) -> NDArray[np.generic]:
    """Return one array of the state, flat."""
    buffer = program.buffers[name]
    return np.frombuffer(split_state(program, state)[name], DTYPES[buffer.ctype])


def read_record(program: Program, state: bytes, name: str) -> dict[str, float]:
    """Return one mutable structure of the state, its members by name; inner structures' as "outer.inner"."""
    (record,) = (record for record in program.records if record.name == name)
    members = dict(_scalars(record.values))
    kinds = np.dtype([(member, "<i4" if isinstance(value, int) else "<f4") for member, value in members.items()])
    (values,) = np.frombuffer(split_state(program, state)[name], kinds)
    return {member: values[member].item() for member in members}


def _scalars(values: Mapping[str, Value], prefix: str = "") -> Iterator[tuple[str, Value]]:
    """Give the members in the order of the C structure, which is that of the table."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _scalars(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def float_graph(graph: Graph, program: Program, state: bytes) -> Graph:
    """Return the graph with the weights that a float32 program has trained."""
    nodes = []
    for node in graph.nodes:
        if node.weight is None or f"{node.name}_w" not in program.state:
            nodes.append(node)
            continue
        weight = read_array(program, state, f"{node.name}_w").astype(np.float32).reshape(node.weight.shape)
        bias = read_array(program, state, f"{node.name}_b").astype(np.float32)
        nodes.append(replace(node, weight=weight, bias=bias))
    return replace(graph, nodes=tuple(nodes))
