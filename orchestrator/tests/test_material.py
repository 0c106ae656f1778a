# SPDX-License-Identifier: Apache-2.0
"""A model that starts untrained: its ranges are rehearsed, and it learns in uint8."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

EXPERIMENT = """
name = "scratch"
[model]
source = "digits_cnn"
[data]
name = "digits"
[train]
epochs = 20
learning_rate = 1e-3
"""


def test_a_model_without_pretraining_learns_in_uint8(run_cli: Callable[..., Any], tmp_path: Path) -> None:
    """A user's first experiment must not fail because ranges were calibrated on weights that mean nothing yet."""
    experiment = tmp_path / "scratch.toml"
    experiment.write_text(EXPERIMENT, encoding="utf-8")

    done = run_cli("run", str(experiment), "--engine", "host", "--json", "--out", str(tmp_path / "out"))

    accuracy = json.loads(done.stdout)["boards"][0]["accuracy"]
    assert accuracy["before_shift"] is None
    assert accuracy["after_shift"] < 0.3  # the rehearsal's weights are thrown away
    assert accuracy["trained"] > 0.95
