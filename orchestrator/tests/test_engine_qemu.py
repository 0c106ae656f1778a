# SPDX-License-Identifier: Apache-2.0
"""QEMU's boards: an implementation of the cores that has nothing in common with the virtual chip but the firmware."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilograd.build import build_firmware
from kilograd.engines import qemu
from kilograd.engines.builtin import BuiltinEngine
from kilograd.engines.qemu import QemuEngine
from kilograd.errors import KilogradError
from kilograd.link.session import Session
from kilograd.lower import Settings, lower
from kilograd.measure import instructions_by_phase
from kilograd.paths import share
from kilograd.platforms.board import boards, load_board
from kilograd.schedule import train
from kilograd.zoo import build_model
from workshop import digits, steps, workshop

if TYPE_CHECKING:
    from pathlib import Path

    from kilograd.engines.base import Engine
    from kilograd.lower import Lowered
    from kilograd.report import Phases

needs_qemu = pytest.mark.skipif(shutil.which(qemu.PROGRAM) is None, reason=f"needs {qemu.PROGRAM}")
MACHINES = tuple(name for name in boards() if load_board(name).qemu_machine is not None)
SAMPLES, BATCH = 32, 16
LOOP_FOREVER, CALL_NOTHING = 1, 4  # of the misbehaving model's enum


def trained_on(chip: Engine, lowered: Lowered) -> tuple[bytes, Phases | None]:
    """Train on digits; return the state, and the instructions per sample."""
    with chip:
        session = Session(chip)
        session.reset_profile()
        chip.reset_counts()
        train(session, digits(SAMPLES)[0], lowered.program.input_format, steps(SAMPLES, BATCH), lambda _: None)
        counts, profile, ticks = chip.step_counts(), session.profile(), chip.ticks_per_instruction
        return session.read_state(), instructions_by_phase(lowered.program, counts, profile, ticks, SAMPLES)


@needs_qemu
@pytest.mark.parametrize("name", MACHINES)
def test_qemu_and_the_virtual_chip_agree_on_bits_and_instructions(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Two independent counts of the same instructions, phase by phase, and every byte of the state."""
    board, shop = load_board(name), workshop(tmp_path_factory)
    graph = build_model("digits_cnn", seed=1, classes=10)
    settings = Settings("uint8", "best", layers=2)
    lowered = lower(graph, settings, digits(SAMPLES)[0].x, board.core, shop.kernels, shop.root / name)
    elf = build_firmware([lowered.source], board, shop.root / name / "build")

    expected_state, expected = trained_on(BuiltinEngine(elf, board), lowered)
    state, instructions = trained_on(QemuEngine(elf, board), lowered)

    assert expected_state == state
    assert expected.forward == pytest.approx(instructions.forward, abs=2)
    assert expected.backward == pytest.approx(instructions.backward, abs=2)
    assert expected.update == pytest.approx(instructions.update, abs=2)


@pytest.fixture(scope="module")
def misbehaving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the ELF of a firmware that does what it must not."""
    source = share() / "firmware" / "tests" / "misbehaving_model.c"
    return build_firmware([source], load_board("mps2_an386"), tmp_path_factory.mktemp("misbehaving"))


@needs_qemu
def test_firmware_that_hangs_is_given_up(misbehaving: Path) -> None:
    """A loop without end must not hang the host, too."""
    with QemuEngine(misbehaving, load_board("mps2_an386"), time_limit_s=3.0) as chip:
        session = Session(chip)

        with pytest.raises(KilogradError, match=r"mps2_an386 \(QEMU\) sent nothing for 3 s") as caught:
            session.evaluate(np.zeros((1, 4), np.uint8), np.array([LOOP_FOREVER]))

    assert "run.time_limit_s" in caught.value.hint


@needs_qemu
def test_fault_report_of_the_firmware_reaches_the_user(misbehaving: Path) -> None:
    """QEMU itself says little; the handler on the chip says where."""
    with QemuEngine(misbehaving, load_board("mps2_an386"), time_limit_s=5.0) as chip:
        session = Session(chip)

        with pytest.raises(KilogradError, match=r"fault on mps2_an386 \(QEMU\): HardFault") as caught:
            session.evaluate(np.zeros((1, 4), np.uint8), np.array([CALL_NOTHING]))

    assert "FAULT HardFault pc=0x" in caught.value.hint


def test_missing_qemu_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Most machines do not have it."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(KilogradError, match="qemu-system-arm was not found") as caught:
        QemuEngine(tmp_path / "firmware.elf", load_board("mps2_an386"))

    assert "apt-get install qemu-system-arm" in caught.value.hint


def test_too_old_qemu_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its counts would not be exact."""
    program = tmp_path / qemu.PROGRAM
    program.write_text("#!/bin/sh\necho QEMU emulator version 4.2.1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    with pytest.raises(KilogradError, match=r"is too old.*4\.2\.1") as caught:
        QemuEngine(tmp_path / "firmware.elf", load_board("mps2_an386"))

    assert "6.0 or newer" in caught.value.hint


def test_board_without_a_qemu_machine_lists_those_that_have_one(tmp_path: Path) -> None:
    """QEMU has none of the chips that people buy."""
    with pytest.raises(KilogradError, match="QEMU does not know the board rp2040") as caught:
        QemuEngine(tmp_path / "firmware.elf", replace(load_board("rp2040")))

    assert "mps2_an385, mps2_an386, mps2_an500" in caught.value.hint
