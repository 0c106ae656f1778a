# SPDX-License-Identifier: Apache-2.0
"""Baselines: small sorted JSON files, one for each experiment and board, that name the compiler they were made with."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kilograd.report import BoardReport, Phases

SCHEMA = 1


@dataclass(frozen=True)
class Baseline:
    """What one experiment costs on one board, as numbers by dotted name: cycles.forward, ram.total, flash.code."""

    board: str
    compiler: str
    metrics: Mapping[str, int]


def measured(board: BoardReport, compiler: str) -> Baseline:
    """Return the numbers of a report that the gate compares: per training sample, and in bytes."""
    metrics = {
        **_phases("cycles", board.cycles),
        **{f"cycles.layer.{layer}": cost for layer, cost in (board.layer_cycles or {}).items()},
        **_phases("instructions", board.instructions),
        **_bytes("ram", {**asdict(board.ram), "total": board.ram.total}),
        **_bytes("flash", {**asdict(board.flash), "total": board.flash.total}),
    }
    return Baseline(board.board, compiler, metrics)


def _phases(name: str, phases: Phases | None) -> dict[str, int]:
    if phases is None:
        return {}
    return {f"{name}.{phase}": cost for phase, cost in {**asdict(phases), "total": phases.total}.items()}


def _bytes(name: str, memory: Mapping[str, int | None]) -> dict[str, int]:
    return {f"{name}.{part}": size for part, size in memory.items() if part != "limit" and size is not None}


def path_of(folder: Path, experiment: str, board: str) -> Path:
    """Return the file of a baseline."""
    return folder / experiment / f"{board}.json"


def experiments_with_baselines(folder: Path) -> tuple[str, ...]:
    """Return the names of the experiments that a folder has baselines of."""
    return tuple(sorted({file.parent.name for file in folder.glob("*/*.json")}))


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"schema": SCHEMA, **asdict(baseline)}
    fresh = path.with_name(f"{path.name}.tmp")
    fresh.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    fresh.replace(path)


def read_baseline(path: Path) -> Baseline | None:
    """Return a baseline, or None where there is none yet."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read: {error}"
        raise KilogradError(message, "take it from version control again, or make it anew with --accept") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else content
        message = f"{path} has schema {found!r}, this kilograd reads {SCHEMA}"
        raise KilogradError(message, "make it anew with --accept")
    return _parse(content, path)


def _parse(content: Mapping[str, Any], path: Path) -> Baseline:
    metrics = content.get("metrics")
    whole = isinstance(metrics, dict) and all(type(value) is int for value in metrics.values())
    if not whole or not isinstance(content.get("board"), str) or not isinstance(content.get("compiler"), str):
        message = f"{path} is damaged: it needs a board, a compiler, and metrics that are whole numbers"
        raise KilogradError(message, "take it from version control again, or make it anew with --accept")
    return Baseline(content["board"], content["compiler"], content["metrics"])
