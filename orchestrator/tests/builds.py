# SPDX-License-Identifier: Apache-2.0
"""Firmware that several tests look at, built once for a run of the tests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kilograd import paths
from kilograd.build import build_firmware
from kilograd.platforms.board import boards, load_board

if TYPE_CHECKING:
    from kilograd.platforms.board import Board

PORT_TESTS = Path(__file__).parent / "port"
MODEL = PORT_TESTS / "model.c"
CHIPS = tuple(name for name in boards() if load_board(name).qemu_machine is None)
"""Boards that one can buy with a chip on them; the others are there for QEMU and have the same cores."""
PROBE = paths.share() / "firmware" / "tests" / "port_probe.c"

needs_binutils = pytest.mark.skipif(shutil.which("arm-none-eabi-nm") is None, reason="needs arm-none-eabi binutils")

_built: dict[tuple[str, str], Path] = {}


def model_firmware(board: Board, temporary: pytest.TempPathFactory) -> Path:
    """Return the ELF of the smallest model with the real application."""
    if ("model", board.name) not in _built:
        _built["model", board.name] = build_firmware([MODEL], board, temporary.mktemp(f"model-{board.name}"))
    return _built["model", board.name]


def probe_firmware(board: Board, temporary: pytest.TempPathFactory) -> Path:
    """Return the ELF of firmware/tests/port_probe.c."""
    if ("probe", board.name) not in _built:
        _built["probe", board.name] = build_firmware([], board, temporary.mktemp(f"probe-{board.name}"), app=PROBE)
    return _built["probe", board.name]


def mps2() -> Board:
    """Return a board that QEMU runs."""
    return load_board("mps2_an386")
