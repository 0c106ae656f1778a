# SPDX-License-Identifier: Apache-2.0
"""Learning-rate schedules of the runtime, at every update of a run, against numpy."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilograd.link.protocol import DECAYS
from oracle_numbers import F
from oracle_update import decayed

if TYPE_CHECKING:
    from twins import Twins

RATE = F(0.003)


class Training(ctypes.Structure):
    """The head of kg_training_t."""

    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("seed", "samples", "updates", "planned_updates", "decay")),
        ("initial_rate", ctypes.c_float),
    ]


def rates(twins: Twins, decay: str, planned: int, updates: np.ndarray) -> list[np.float32]:
    """Return the runtime's rate at some updates."""
    function = ctypes.CDLL(str(twins.library)).kg_decayed_rate
    function.restype = ctypes.c_float
    runs = (Training(1, 0, int(update), planned, DECAYS.index(decay), RATE) for update in updates)
    return [F(function(ctypes.byref(run))) for run in runs]


@pytest.mark.parametrize("planned", [1, 2, 3, 41, 2500, 2**32 - 1])
@pytest.mark.parametrize("decay", DECAYS)
def test_rate_of_every_update(twins: Twins, decay: str, planned: int) -> None:
    """Bit for bit, from the first update to those after the last."""
    updates = np.unique(np.linspace(0, min(planned + planned // 4, 2**32 - 1), 400).astype(np.uint32))

    assert rates(twins, decay, planned, updates) == [decayed(decay, RATE, int(n), planned) for n in updates]


@pytest.mark.parametrize("decay", DECAYS)
def test_rate_without_a_plan_stays(twins: Twins, decay: str) -> None:
    """A device that learns for ever has no length to divide by."""
    assert set(rates(twins, decay, 0, np.arange(3))) == {RATE}


def test_schedules_fall_from_the_whole_rate(twins: Twins) -> None:
    """Their means tell them apart: what they promise over a whole run."""
    means = {decay: np.mean(rates(twins, decay, 1000, np.arange(1000))) / RATE for decay in DECAYS}

    expected = {"constant": 1.0, "cosine": 0.5, "linear": 0.5, "step": 0.5 + 0.25 * 0.1 + 0.25 * 0.01}
    assert means == pytest.approx(expected, abs=1e-3)
    firsts = [rates(twins, decay, 1000, np.arange(1))[0] for decay in DECAYS]
    np.testing.assert_allclose(firsts, RATE, rtol=1e-6)
