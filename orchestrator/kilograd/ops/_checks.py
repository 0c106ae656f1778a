# SPDX-License-Identifier: Apache-2.0
"""What the shape rules share: how a node complains, and how it reads its inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from kilograd.types import Node, Shape

MAP_RANK = 3


def misfit(node: Node, problem: str, hint: str = "") -> KilogradError:
    """Return the error that names the node and its operator."""
    return KilogradError(f"{node.name} ({node.op}): {problem}", hint)


def only(node: Node, inputs: Sequence[Shape]) -> Shape:
    """Return the shape of the single input."""
    if len(inputs) != 1:
        raise misfit(node, f"takes one input, got {len(inputs)}")
    return inputs[0]


def feature_map(node: Node, inputs: Sequence[Shape]) -> tuple[int, int, int]:
    """Return channels, height, width of the single input."""
    shape = only(node, inputs)
    if len(shape) != MAP_RANK:
        raise misfit(node, f"needs an input of (channels, height, width), got {shape}")
    channels, height, width = shape
    return channels, height, width


def weights(node: Node, rank: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weight and bias of a weighted node: a weight of this rank, a bias for each output channel."""
    if node.weight is None or node.bias is None:
        raise misfit(node, "has no weight or no bias")
    if node.weight.ndim != rank:
        raise misfit(node, f"needs a weight of rank {rank}, got shape {node.weight.shape}")
    if node.bias.shape != node.weight.shape[:1]:
        raise misfit(node, f"bias {node.bias.shape} does not fit {node.weight.shape[0]} outputs")
    return node.weight, node.bias
