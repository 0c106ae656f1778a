# SPDX-License-Identifier: Apache-2.0
"""An independent float64 model of whole networks: logits, loss, and derivatives of the loss by central differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oracle_numbers import Array, window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kilograd.types import Graph, Node

Tensors = dict[str, Array]
Parameters = dict[str, tuple[Array, Array]]

DIFFERENCE = 1e-5


def parameters(graph: Graph) -> Parameters:
    """Return weight and bias of every layer in float64."""
    return {
        node.name: (node.weight.astype(np.float64), node.bias.astype(np.float64))
        for node in graph.nodes
        if node.weight is not None and node.bias is not None
    }


def hard_sigmoid(node: Node, x: Array) -> Array:
    """Return a line between 0 and 1."""
    return np.clip(node.attributes.get("slope", 1 / 6) * x + node.attributes.get("offset", 0.5), 0, 1)  # type: ignore[operator]


CURVES: dict[str, Callable[[Node, Array], Array]] = {
    "exp": lambda _, x: np.exp(x),
    "sigmoid": lambda _, x: 1 / (1 + np.exp(-x)),
    "hard_sigmoid": hard_sigmoid,
    "hard_swish": lambda node, x: x * hard_sigmoid(node, x),
}


def logits(graph: Graph, x: Array, values: Mapping[str, tuple[Array, Array]]) -> Array:
    """Run one sample."""
    return run(graph, x, values)[graph.output]


def run(graph: Graph, x: Array, values: Mapping[str, tuple[Array, Array]], eps: Array | None = None) -> Tensors:
    """Run one sample and return every tensor; latent variables are drawn with `eps`, if given."""
    tensors = {graph.input: x.astype(np.float64)}
    for node in graph.nodes:
        inputs = [tensors[tensor] for tensor in node.inputs]
        if node.op in WEIGHTED:
            out = WEIGHTED[node.op](node, inputs[0], graph.shapes[node.output], *values[node.name])
        elif node.op == "add":
            out = inputs[0] + inputs[1]
        elif node.op == "mul":
            out = inputs[0] * inputs[1]
        elif node.op in CURVES:
            out = CURVES[node.op](node, inputs[0])
        elif node.op in {"max_pool", "average_pool"}:
            out = _pool(node, inputs[0], graph.shapes[node.output])
        elif node.op == "upsample":
            out = inputs[0].repeat(node.attributes["scale"][0], 1).repeat(node.attributes["scale"][1], 2)  # type: ignore[index]
        elif node.op == "sample":
            mean, log_variance = np.split(inputs[0], 2)
            out = mean if eps is None else mean + np.exp(log_variance / 2) * eps
        else:
            out = inputs[0].reshape(graph.shapes[node.output])
        rectified = node.op == "relu" or node.attributes.get("relu")
        tensors[node.output] = np.clip(out, 0, node.attributes.get("clamp")) if rectified else out
    return tensors


def _convolve(node: Node, x: Array, shape: tuple[int, ...], weight: Array, bias: Array) -> Array:
    win, groups = window(node), node.attributes.get("groups", 1)
    assert isinstance(groups, int)
    padded = win.pad(x)
    grouped = weight.reshape(groups, -1, *weight.shape[1:])
    sums = np.zeros((groups, grouped.shape[1], shape[1] * shape[2]))
    for tap in win.taps():
        seen = win.seen(padded, tap, shape[1:]).reshape(groups, -1, shape[1] * shape[2])
        sums += grouped[..., tap[0], tap[1]] @ seen
    return sums.reshape(shape) + bias[:, None, None]


def _scatter(node: Node, x: Array, shape: tuple[int, ...], weight: Array, bias: Array) -> Array:
    win = window(node)
    large = win.pad(np.zeros(shape))
    for tap in win.taps():
        win.seen(large, tap, x.shape[1:])[...] += np.einsum("oi,ihw->ohw", weight[..., tap[0], tap[1]], x)
    return win.crop(large) + bias[:, None, None]


def _multiply(_: Node, x: Array, shape: tuple[int, ...], weight: Array, bias: Array) -> Array:
    return (weight @ x + bias).reshape(shape)


WEIGHTED = {"linear": _multiply, "conv2d": _convolve, "conv_transpose2d": _scatter}


def _pool(node: Node, x: Array, shape: tuple[int, ...]) -> Array:
    win, largest = window(node), node.op == "max_pool"
    padded = np.pad(x, ((0, 0), win.pads[::2], win.pads[1::2]), constant_values=-np.inf if largest else 0.0)
    taps = np.stack([win.seen(padded, tap, shape[1:]) for tap in win.taps()])
    return taps.max(axis=0) if largest else taps.mean(axis=0)


def loss(graph: Graph, x: Array, label: int, values: Mapping[str, tuple[Array, Array]]) -> float:
    """Return the cross-entropy of one sample in nats."""
    z = logits(graph, x, values)
    top = z.max()
    return float(np.log(np.exp(z - top).sum()) + top - z[label])


def elbo(graph: Graph, x: Array, eps: Array, values: Mapping[str, tuple[Array, Array]]) -> float:
    """Return the negative evidence lower bound of one sample in nats: Bernoulli cross-entropy and divergence."""
    tensors = run(graph, x, values, eps)
    heads = next(node.inputs[0] for node in graph.nodes if node.op == "sample")
    mean, log_variance = np.split(tensors[heads], 2)
    p = 1 / (1 + np.exp(-tensors[graph.output].ravel()))
    target = x.ravel().astype(np.float64)
    reconstruction = -(target * np.log(p) + (1 - target) * np.log(1 - p)).sum()
    return float(reconstruction - 0.5 * (1 + log_variance - mean**2 - np.exp(log_variance)).sum())


def derivatives(graph: Graph, x: Array, label: int, name: str, member: int, chosen: Array) -> Array:
    """Return dL/dp of the cross-entropy, for chosen elements of a layer's weight (member 0) or bias (1)."""
    return central(graph, lambda values: loss(graph, x, label, values), name, member, chosen)


def central(graph: Graph, of: Callable[[Parameters], float], name: str, member: int, chosen: Array) -> Array:
    """Return the derivatives of a function of all parameters by central differences."""
    values = parameters(graph)
    flat = values[name][member].reshape(-1)
    found = []
    for element in chosen:
        old = flat[element]
        sides = []
        for step in (DIFFERENCE, -DIFFERENCE):
            flat[element] = old + step
            sides.append(of(values))
        flat[element] = old
        found.append((sides[0] - sides[1]) / (2 * DIFFERENCE))
    return np.array(found)
