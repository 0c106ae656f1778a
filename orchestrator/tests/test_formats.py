# SPDX-License-Identifier: Apache-2.0
"""Number formats by layer: every mixture has the borders it needs, forward and backward, and learns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilograd.errors import KilogradError
from test_gradients import correlation, float_gradients, mixed_up, quantised_gradients
from test_training_step import model
from twins import samples_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twins import Twins

WEIGHTED = ("stem", "block", "left", "right", "depthwise", "pointwise", "fc")
FLOAT, UINT8 = "float32", "uint8"
MIXTURES: list[tuple[str, dict[str, str]]] = [
    (UINT8, {"stem": FLOAT}),  # the input is float, the sum reads it in two formats
    (UINT8, {"block": FLOAT}),  # one branch of a residual
    (UINT8, {"left": FLOAT}),  # the first operand of a sum that a rectifier and a pool follow
    (UINT8, {"depthwise": FLOAT, "fc": FLOAT}),  # in the middle, with a max-pool behind it
    (FLOAT, {"right": UINT8}),
    (FLOAT, {"stem": UINT8, "pointwise": UINT8}),
    (FLOAT, {"fc": UINT8}),  # logits straight from the sums of a uint8 head behind float layers
    ("mixed", dict(zip(WEIGHTED, (FLOAT, UINT8) * 4, strict=False))),
]
ALL_MIXTURES = pytest.mark.parametrize(("configuration", "formats"), MIXTURES, ids=str)


@ALL_MIXTURES
def test_gradients_of_a_mixture_correlate_with_float(
    twins: Twins, configuration: str, formats: Mapping[str, str]
) -> None:
    """In every layer, whatever formats its neighbours have: weights, biases, direction and size."""
    graph = model("branching")
    samples = mixed_up(graph)
    exact = float_gradients(twins.get(graph, FLOAT), samples)
    ours = quantised_gradients(twins.get(graph, configuration, formats=formats), samples)
    assert set(ours) == set(exact)
    for layer, members in exact.items():
        for a, b in zip(ours[layer], members, strict=True):
            assert correlation(a, b) > 0.94, layer
        assert ours[layer][0] @ members[0] / (members[0] @ members[0]) == pytest.approx(1, abs=0.25), layer


@ALL_MIXTURES
def test_answers_of_a_mixture_are_those_of_the_float_model(
    twins: Twins, configuration: str, formats: Mapping[str, str]
) -> None:
    """Each layer stores its weights as it was told, and the logits stay."""
    graph = model("branching")
    twin, exact = twins.get(graph, configuration, formats=formats), twins.get(graph, FLOAT)
    samples = samples_for(graph)
    logits = []
    for one in (twin, exact):
        x, labels = one.store(samples)
        with one.session() as session:
            logits.append(session.evaluate(x[:60], labels[:60]).logits.ravel())

    assert np.corrcoef(*logits)[0, 1] > 0.98
    stored = {name: twin.quantised.weights[name].format.dtype for name in formats}
    assert stored == formats


def test_a_mixture_of_one_format_is_the_configuration(twins: Twins) -> None:
    """Naming all layers is another way to say the same: the same tables, to the last byte."""
    graph = model("branching")
    named = twins.get(graph, FLOAT, formats=dict.fromkeys(WEIGHTED, UINT8)).program
    plain = twins.get(graph, UINT8).program

    assert named.records == plain.records
    assert named.phases == plain.phases


def test_unknown_layers_are_named_with_those_that_there_are(twins: Twins) -> None:
    """A wrong name lists the right ones."""
    with pytest.raises(KilogradError, match=r"no such layers to give a number format: steam, pool") as caught:
        twins.get(model("branching"), UINT8, formats={"steam": FLOAT, "pool": FLOAT})

    assert caught.value.hint == f"train.formats may name: {', '.join(WEIGHTED)}"
