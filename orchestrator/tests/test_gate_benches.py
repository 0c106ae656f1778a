# SPDX-License-Identifier: Apache-2.0
"""The gate over benchmarks: the same counts in every run, and a kernel that gets slower fails."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from kilograd import bench_kernels
from kilograd.commands import _common
from workshop import workshop

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunCli

METRIC = "linear_784_64.uint8.forward.instructions"


@pytest.fixture
def baseline(
    run_cli: RunCli, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return the accepted baseline of one layer on one board; later runs measure the same."""
    linear = bench_kernels.layer_cases("linear*")
    monkeypatch.setattr(bench_kernels, "layer_cases", lambda: linear)
    monkeypatch.setattr(_common, "bench_folder", lambda _: workshop(tmp_path_factory).root)
    done = run_cli(*gate(tmp_path), "--accept")
    assert done.returncode == 0
    return tmp_path / "bench_kernels" / "nrf52840.json"


def gate(folder: Path) -> list[str]:
    """Return the command line."""
    return ["gate", "bench_kernels", "--board", "nrf52840", "--baseline", str(folder), "--quiet"]


def test_counts_are_compared_one_by_one(run_cli: RunCli, baseline: Path, tmp_path: Path) -> None:
    """The same commit passes; one number that was lower before fails, by its name."""
    assert run_cli(*gate(tmp_path), "--tolerance", "0").returncode == 0

    content = json.loads(baseline.read_text())
    content["metrics"][METRIC] -= 1
    baseline.write_text(json.dumps(content))
    done = run_cli(*gate(tmp_path), "--tolerance", "0")
    assert done.returncode == 1
    assert METRIC in done.stdout
    assert "1 numbers got worse" in done.stderr


def test_another_compiler_cannot_be_judged(run_cli: RunCli, baseline: Path, tmp_path: Path) -> None:
    """Its counts differ for reasons of its own."""
    content = json.loads(baseline.read_text())
    baseline.write_text(json.dumps({**content, "compiler": "armclang 6.22"}))

    done = run_cli(*gate(tmp_path))
    assert done.returncode == 2
    assert "armclang 6.22" in done.stderr
