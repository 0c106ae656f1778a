# SPDX-License-Identifier: Apache-2.0
"""The engine for Renode, with a stand-in that answers as Renode does, and with the real one where it is installed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from builds import CHIPS, model_firmware
from kilograd.build import build_firmware
from kilograd.engines import _renode_process, open_engine
from kilograd.engines.builtin import BuiltinEngine
from kilograd.engines.renode import RenodeEngine
from kilograd.errors import KilogradError
from kilograd.link.session import Session
from kilograd.paths import share
from kilograd.platforms.board import load_board

if TYPE_CHECKING:
    from kilograd.engines.base import Engine

STAND_IN = Path(__file__).parent / "renode_stand_in.py"
CALL_NOTHING = 4  # of the misbehaving model's enum
needs_renode = pytest.mark.skipif(shutil.which("renode") is None, reason="needs renode on the PATH")


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let RENODE_ROOT point at the stand-in; return its folder."""
    folder = tmp_path / "renode"
    folder.mkdir()
    program = folder / "renode"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P "{STAND_IN}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("RENODE_ROOT", str(folder))
    return folder


def talk(engine: Engine) -> tuple[object, bytes]:
    """Greet a firmware and read its state."""
    with engine:
        session = Session(engine)
        return session.hello, session.read_state()


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("name", CHIPS)
def test_engine_boots_every_board_through_the_monitor(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Platform, terminal, UART, firmware, vector table, start: in words that Renode knows."""
    board = load_board(name)
    elf = model_firmware(board, tmp_path_factory)

    assert talk(BuiltinEngine(elf, board)) == talk(open_engine("renode", elf, board))


@pytest.mark.usefixtures("stand_in")
def test_executed_instructions_are_read(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Renode prints them as a hexadecimal number."""
    board = load_board("nrf52840")
    with RenodeEngine(model_firmware(board, tmp_path_factory), board) as engine:
        Session(engine)

        assert engine.instructions > 1000
        assert 1.0 == engine.ticks_per_instruction


@pytest.mark.usefixtures("stand_in")
def test_fault_report_reaches_the_user(tmp_path: Path) -> None:
    """Renode itself goes on; the handler on the chip says what happened."""
    board = load_board("nrf52840")
    elf = build_firmware([share() / "firmware" / "tests" / "misbehaving_model.c"], board, tmp_path)
    with RenodeEngine(elf, board) as engine:
        session = Session(engine)

        with pytest.raises(KilogradError, match=r"fault on nrf52840 \(Renode\): HardFault"):
            session.evaluate(np.zeros((1, 4), np.uint8), np.array([CALL_NOTHING]))


@pytest.mark.usefixtures("stand_in")
def test_refused_command_is_shown_with_renodes_reason(tmp_path: Path) -> None:
    """Most mistakes in a platform show there."""
    renode = _renode_process.RenodeProcess()
    try:
        with pytest.raises(KilogradError, match="Renode refused `sysbus LoadNothing`") as caught:
            renode.execute("sysbus LoadNothing")
    finally:
        renode.close()

    assert "no such command or device" in caught.value.hint
    assert not list(tmp_path.glob("kilograd-renode-*"))


def test_ended_engine_leaves_no_process(stand_in: Path) -> None:
    """It kills what it started."""
    renode = _renode_process.RenodeProcess()
    process = renode._process

    renode.close()

    assert process.returncode is not None
    assert stand_in.is_dir()


def test_missing_renode_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No package registry has it."""
    monkeypatch.delenv("RENODE_ROOT", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(KilogradError, match="renode was not found") as caught:
        RenodeEngine(tmp_path / "firmware.elf", load_board("nrf52840"))

    assert "RENODE_ROOT" in caught.value.hint


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo Renode v1.12.0.1", "is too old"),
        ("echo hello", "or no Renode: it says 'hello'"),
        ('test "$1" = --version && echo v1.16.1.1 && exit; echo no mono; exit 3', "ended at its start"),
    ],
)
def test_renode_that_is_of_no_use_is_refused(stand_in: Path, tmp_path: Path, script: str, words: str) -> None:
    """Old ones lack what kilograd needs; broken ones must not hang."""
    (stand_in / "renode").write_text(f"#!/bin/sh\n{script}\n")

    with pytest.raises(KilogradError, match=words):
        RenodeEngine(tmp_path / "firmware.elf", load_board("nrf52840"))


def test_wrong_renode_root_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A typing error must not fall back to another Renode."""
    monkeypatch.setenv("RENODE_ROOT", str(tmp_path / "nothing"))

    with pytest.raises(KilogradError, match="there is no program renode in this folder"):
        RenodeEngine(tmp_path / "firmware.elf", load_board("nrf52840"))


@needs_renode
@pytest.mark.parametrize("name", CHIPS)
def test_real_renode_boots_every_board(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same conversation with the real program."""
    board = load_board(name)
    elf = model_firmware(board, tmp_path_factory)

    assert talk(BuiltinEngine(elf, board)) == talk(RenodeEngine(elf, board))
