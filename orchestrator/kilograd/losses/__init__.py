# SPDX-License-Identifier: Apache-2.0
"""One file per loss: what it makes of a net's output, and the steps that turn it into a number and an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from kilograd import listing

if TYPE_CHECKING:
    from kilograd.lowering import Lowering
    from kilograd.types import Format, Graph


class Loss(Protocol):
    """What every file of this folder offers."""

    OUTPUT_FORMAT: Format | None
    """How it takes a uint8 output from the layer that makes it; None: it takes float32 only."""

    LARGEST_ERROR: int
    """Steps that the largest hidden uint8 error of a minibatch takes; above 127 it saturates, and small ones count."""

    def reported(self, graph: Graph) -> str:
        """Return the float tensor that an evaluation answers."""

    def add_steps(self, low: Lowering) -> None:
        """Add the loss after the forward steps, and the output's error before all backward steps."""


def losses() -> tuple[str, ...]:
    """Return the names of all losses."""
    return listing.names(__name__)


def loss_of(graph: Graph) -> Loss:
    """Return the module of a graph's loss; a wrong name lists the right ones."""
    return cast("Loss", listing.member(__name__, "loss", graph.loss))
