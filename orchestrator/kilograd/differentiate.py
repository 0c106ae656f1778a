# SPDX-License-Identifier: Apache-2.0
"""Derive the training program: forward steps, the backward pass for the trained part, and the update."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.errors import KilogradError
from kilograd.losses import loss_of
from kilograd.lowering import Lowering
from kilograd.ops import operator
from kilograd.recipes import GRADIENT_BITS, check_recipe
from kilograd.types import DENSE, Program, Sparsity

if TYPE_CHECKING:
    from kilograd.kernels import Kernels
    from kilograd.types import Graph, QuantisedGraph


def differentiate(
    quantised: QuantisedGraph,
    trained: frozenset[str],
    recipe: str,
    kernels: Kernels,
    *,
    parameters: str = "all",
    gradient_bits: int = GRADIENT_BITS,
    sparsity: Sparsity = DENSE,
) -> Program:
    """
    Return the steps of one training sample and of the update, for the core of `kernels`.

    Args:
        quantised: the graph in its storage formats.
        trained: names of the layers that train; only what they need is computed backward.
        recipe: the update rule, one of `recipes.RECIPES`.
        kernels: the kernels of one core.
        parameters: "all", or "biases": the weights of trained layers stay as they are.
        gradient_bits: width of integer gradients, 8, 16 or 32.
        sparsity: which part of a layer learns from a sample.

    """
    check_recipe(recipe, {quantised.weights[name].format.dtype for name in trained}, parameters, gradient_bits)
    low = Lowering(quantised, trained, recipe, kernels, parameters, gradient_bits, sparsity)
    graph = quantised.graph
    low.tensor(graph.input)
    for node in graph.nodes:
        operator(node.op).forward_steps(node, low)
    loss = loss_of(graph)
    loss.add_steps(low)
    for node in reversed(graph.nodes):
        if node.output in low.needs_error:
            operator(node.op).backward_steps(node, low, low.settle(node.output))
    phases = {
        "forward": tuple(low.forward),
        "backward": tuple(low.backward),
        "update": (*low.follow, *low.update, *low.refresh),
    }
    return Program(
        graph.name, phases, low.buffers, tuple(low.records.values()), tuple(low.state),
        graph.input, low.format(graph.input), low.tensor(loss.reported(graph)), low.count(loss.reported(graph)),
        low.tensor(graph.output), low.format(graph.output),
        tuple(low.sparse),
    )  # fmt: skip


def select_layers(graph: Graph, layers: str | int | tuple[str, ...]) -> frozenset[str]:
    """Return the names of the layers to train: "all", the last n with weights, or a list of names."""
    weighted = [node.name for node in graph.nodes if node.weight is not None]
    if layers == "all":
        return frozenset(weighted)
    if isinstance(layers, int) and 1 <= layers <= len(weighted):
        return frozenset(weighted[-layers:])
    if isinstance(layers, tuple) and layers and set(layers) <= set(weighted):
        return frozenset(layers)
    wrong = [name for name in layers if name not in weighted] if isinstance(layers, tuple) else [str(layers)]
    message = f"{graph.name} has no such layers to train: {', '.join(wrong)}"
    hint = f'train.layers: "all", a number from 1 to {len(weighted)}, or names out of {", ".join(weighted)}'
    raise KilogradError(message, hint)
