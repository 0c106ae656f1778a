# SPDX-License-Identifier: Apache-2.0
"""One file per operator: its shape rule, its float meaning, its lowering to steps of the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from kilograd import listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from kilograd.lowering import Error, Lowering
    from kilograd.types import Node, Shape


class Operator(Protocol):
    """What every file of this folder offers."""

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the shape of the output for one sample, or say which node's shapes do not fit."""

    def evaluate(self, node: Node, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Compute the output in float32 for a batch: arrays are (n, *shape)."""

    def forward_steps(self, node: Node, low: Lowering) -> None:
        """Add the steps that compute the output."""

    def backward_steps(self, node: Node, low: Lowering, error: Error) -> None:
        """Add the steps that turn the error of the output into gradients and the errors of the inputs."""


def operators() -> tuple[str, ...]:
    """Return the names of all operators."""
    return listing.names(__name__)


def operator(name: str) -> Operator:
    """Return the module of one operator; a wrong name lists the right ones."""
    return cast("Operator", listing.member(__name__, "operator", name))
