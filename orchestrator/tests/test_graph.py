# SPDX-License-Identifier: Apache-2.0
"""Whole graphs: shapes, evaluation and counting."""

from __future__ import annotations

import numpy as np
import pytest

from kilograd.errors import KilogradError
from kilograd.graph import evaluate, infer_shapes, macs, make_graph, parameters
from kilograd.types import Node

CONV = Node(
    "conv",
    "conv2d",
    ("input",),
    "conv",
    {"stride": (2, 2), "pads": (1, 1, 1, 1), "groups": 1, "relu": True},
    np.ones((4, 2, 3, 3), np.float32),
    np.zeros(4, np.float32),
)
FLAT = Node("flat", "flatten", ("conv",), "flat")
FC = Node("fc", "linear", ("flat",), "fc", {"relu": False}, np.ones((5, 36), np.float32), np.ones(5, np.float32))


def test_graph_knows_the_shape_of_every_tensor() -> None:
    """Shapes are per sample."""
    graph = make_graph("small", (2, 6, 6), (CONV, FLAT, FC))

    assert graph.shapes == {"input": (2, 6, 6), "conv": (4, 3, 3), "flat": (36,), "fc": (5,)}
    assert (graph.input, graph.output) == ("input", "fc")


def test_evaluation_returns_every_tensor() -> None:
    """Calibration looks at all of them."""
    graph = make_graph("small", (2, 6, 6), (CONV, FLAT, FC))

    tensors = evaluate(graph, np.ones((3, 2, 6, 6), np.float32))

    assert {name: array.shape[1:] for name, array in tensors.items()} == graph.shapes
    assert tensors["conv"][0, 0].tolist() == [[8, 12, 12], [12, 18, 18], [12, 18, 18]]
    assert tensors["fc"][2].tolist() == [4 * (8 + 4 * 12 + 4 * 18) + 1] * 5


def test_counts_are_those_of_the_layers() -> None:
    """9 positions of 4 filters of 2x3x3, and 5 rows of 36; biases count as parameters."""
    graph = make_graph("small", (2, 6, 6), (CONV, FLAT, FC))

    assert macs(graph) == 9 * 4 * 2 * 3 * 3 + 5 * 36
    assert parameters(graph) == 4 * 2 * 3 * 3 + 4 + 5 * 36 + 5


def test_input_of_another_shape_is_refused() -> None:
    """The error tells both shapes."""
    graph = make_graph("small", (2, 6, 6), (CONV, FLAT, FC))

    with pytest.raises(KilogradError, match=r"small takes samples of shape \(2, 6, 6\), got \(1, 28, 28\)"):
        evaluate(graph, np.ones((3, 1, 28, 28), np.float32))


def test_node_before_its_input_is_refused() -> None:
    """Nodes stand in execution order."""
    with pytest.raises(KilogradError, match=r"flat \(flatten\): reads conv, which no earlier node makes"):
        infer_shapes((FLAT, CONV), "input", (2, 6, 6))


def test_tensor_made_twice_is_refused() -> None:
    """A tensor has one maker."""
    with pytest.raises(KilogradError, match=r"conv \(conv2d\): makes conv a second time"):
        infer_shapes((CONV, CONV), "input", (2, 6, 6))
