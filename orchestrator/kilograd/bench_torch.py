# SPDX-License-Identifier: Apache-2.0
"""Trains the same model with torch, in float32 on one core: what the host twin is compared with. Torch is optional."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from kilograd import torch_graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilograd.types import Graph, Samples

MOMENTUM = 0.875  # as recipe best
WARM_UP = 3  # minibatches: torch chooses its algorithms in the first ones


def trainer(graph: Graph, samples: Samples, batch: int, rate: float) -> Callable[[], None] | None:
    """Return a function that trains on the next minibatch with plain eager torch, or None where it is not installed."""
    if not torch_graph.installed():
        return None
    torch = torch_graph.load()
    x, y = torch.from_numpy(samples.x), torch.from_numpy(samples.y)
    values = torch_graph.parameters(graph)
    optimiser = torch.optim.SGD([value for pair in values.values() for value in pair], lr=rate, momentum=MOMENTUM)
    numbers = itertools.count()

    def step() -> None:
        chosen = (torch.arange(batch) + next(numbers) * batch) % len(y)
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(torch_graph.run(graph, values, x[chosen]), y[chosen])
        loss.backward()
        optimiser.step()

    for _ in range(WARM_UP):
        step()
    return step
