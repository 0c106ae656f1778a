# SPDX-License-Identifier: Apache-2.0
"""The border from float32 to uint8 tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.ops import _border
from kilograd.types import Address

if TYPE_CHECKING:
    from kilograd.lowering import Error, Lowering
    from kilograd.types import Node

shape = _border.shape
evaluate = _border.evaluate


def forward_steps(node: Node, low: Lowering) -> None:
    """Add the forward step."""
    _border.forward_steps(node, low, low.format(node.output))


def backward_steps(node: Node, low: Lowering, error: Error) -> None:
    """Bring the uint8 error into float."""
    _border.backward_steps(node, low, error, lambda _: {"scale": Address(str(error.scale)), "factor": error.factor})
