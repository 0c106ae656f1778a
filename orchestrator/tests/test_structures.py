# SPDX-License-Identifier: Apache-2.0
"""Structures: what belongs together, and that a graph without some is the graph that has nothing in them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilograd.graph import evaluate, make_graph, parameters
from kilograd.structures import ROWS, Group, cut, groups, indices
from kilograd.types import Node
from kilograd.zoo import _layers as layer
from kilograd.zoo import build_model
from twins import branching_net

if TYPE_CHECKING:
    from kilograd.types import Graph


def mixed_net() -> Graph:
    """Return a net with everything that a structure can meet, and biases that matter."""
    rng = np.random.default_rng(7)
    nodes = (
        layer.conv2d(rng, "stem", "input", (2, 6), 3, pad=1, relu=True),
        layer.conv2d(rng, "twice", "stem", (6, 12), 3, pad=1, groups=6, relu=True),  # two channels for each of the stem
        layer.conv2d(rng, "narrow", "twice", (12, 4), 1),
        layer.conv2d(rng, "branch", "narrow", (4, 4), 3, pad=1, relu=True),
        layer.add("sum", ("branch", "narrow"), relu=True),
        layer.max_pool("pool", "sum", 2),
        layer.conv2d(rng, "grouped", "pool", (4, 4), 3, pad=1, groups=2),
        layer.relu("grouped_relu", "grouped"),
        layer.conv2d(rng, "wide", "grouped_relu", (4, 8), 1, relu=True),
        layer.flatten("features", "wide"),
        layer.linear(rng, "fc1", "features", (8 * 9, 7), relu=True),
        layer.linear(rng, "fc2", "fc1", (7, 3)),
    )
    graph = make_graph("mixed", (2, 6, 6), nodes)
    return with_biases(graph)


def gated_net() -> Graph:
    """Return a net with squeeze and excite behind a hard-swish, and a gate that is used as it is."""
    rng = np.random.default_rng(9)
    nodes = (
        layer.conv2d(rng, "stem", "input", (1, 8), 3, pad=1),
        Node("swish", "hard_swish", ("stem",), "swish"),
        layer.average_pool("squeeze", "swish", 4),
        layer.conv2d(rng, "less", "squeeze", (8, 4), 1, relu=True),
        layer.conv2d(rng, "more", "less", (4, 8), 1),
        Node("gate", "hard_sigmoid", ("more",), "gate"),
        Node("excite", "mul", ("swish", "gate"), "excite"),
        layer.conv2d(rng, "wide", "excite", (8, 6), 1),
        Node("curve", "sigmoid", ("wide",), "curve"),
        layer.conv2d(rng, "narrow", "curve", (6, 4), 1, relu=True),
        layer.flatten("features", "narrow"),
        layer.linear(rng, "fc", "features", (64, 3)),
    )
    return with_biases(make_graph("gated", (1, 4, 4), nodes))


def with_biases(graph: Graph) -> Graph:
    """Return the graph with biases of both signs."""
    rng = np.random.default_rng(8)
    nodes = [
        node if node.bias is None else replace(node, bias=rng.standard_normal(node.bias.shape).astype(np.float32))
        for node in graph.nodes
    ]
    return replace(graph, nodes=tuple(nodes))


NETS = {
    "mixed": mixed_net,
    "gated": gated_net,
    "branching": lambda: with_biases(branching_net()),
    "resnet_tiny": lambda: with_biases(build_model("resnet_tiny", seed=1)),
    "digits_cnn": lambda: with_biases(build_model("digits_cnn", seed=1)),
    "mlp_784_64_10": lambda: with_biases(build_model("mlp_784_64_10", seed=1)),
}

OWNERS = {
    "gated": [("stem", "more"), ("less",), ("narrow",)],
    "mixed": [("stem",), ("wide",), ("fc1",)],
    "resnet_tiny": [("block_conv1",), ("stem", "block_conv2"), ("pointwise",)],
    "digits_cnn": [("conv1",), ("conv2",), ("fc1",)],
    "mlp_784_64_10": [("fc1",)],
}


@pytest.mark.parametrize("name", OWNERS)
def test_groups_are_what_can_go_alone(name: str) -> None:
    """Sums tie, depthwise layers follow; the scores and what a convolution with wide groups reads or makes stay."""
    found = [tuple(sorted(group.owners)) for group in groups(NETS[name]())]

    assert sorted(tuple(sorted(owners)) for owners in OWNERS[name]) == sorted(found)


def silent(graph: Graph, group: Group, gone: np.ndarray) -> Graph:
    """Return the whole graph with nothing in some structures: rows of zeros, biases of zero."""
    nodes = {node.name: node for node in graph.nodes}
    for part in group.parts:
        node = nodes[part.node]
        if part.axis == ROWS and node.weight is not None and node.bias is not None:
            weight, bias = node.weight.copy(), node.bias.copy()
            weight[indices(part, gone)] = 0
            bias[indices(part, gone)] = 0
            nodes[part.node] = replace(node, weight=weight, bias=bias)
    return replace(graph, nodes=tuple(nodes.values()))


@pytest.mark.parametrize("name", NETS)
def test_a_graph_without_structures_is_the_graph_with_nothing_in_them(name: str) -> None:
    """One group after another, down to a few structures: the scores are those of the masked whole."""
    smaller = masked = NETS[name]()
    rng = np.random.default_rng(2)
    x = rng.standard_normal((3, *masked.shapes[masked.input])).astype(np.float32)
    assert groups(masked)
    for group in groups(masked):
        order = rng.permutation(group.count)
        kept, gone = np.sort(order[: group.count // 2]), order[group.count // 2 :]
        smaller, masked = cut(smaller, group, kept), silent(masked, group, gone)

        expected = evaluate(masked, x)[masked.output]
        np.testing.assert_allclose(evaluate(smaller, x)[smaller.output], expected, rtol=1e-5, atol=1e-5)
    assert np.abs(expected).max() > 0.01


def test_what_is_cut_is_really_gone() -> None:
    """Rows, biases, columns in blocks behind the flatten: counted by hand for a digits_cnn of half the width."""
    graph = build_model("digits_cnn", seed=1)
    for group in groups(graph):
        graph = cut(graph, group, np.arange(group.count // 2))

    conv1, conv2, fc1, fc2 = 4 * 9 + 4, 8 * 4 * 9 + 8, 16 * (8 * 16) + 16, 10 * 16 + 10
    assert parameters(graph) == conv1 + conv2 + fc1 + fc2
    assert graph.shapes["conv2"] == (8, 8, 8)
    assert graph.shapes["features"] == (8 * 16,)


def test_an_operator_that_nobody_knows_keeps_its_channels() -> None:
    """Wrong is worse than large."""
    rng = np.random.default_rng(7)
    nodes = (
        layer.conv2d(rng, "a", "input", (1, 4), 1),
        Node("strange", "quantise", ("a",), "strange"),
        layer.conv2d(rng, "b", "strange", (4, 4), 1),
        layer.flatten("features", "b"),
        layer.linear(rng, "fc", "features", (16, 2)),
    )

    assert [group.owners for group in groups(make_graph("odd", (1, 2, 2), nodes))] == [("b",)]
