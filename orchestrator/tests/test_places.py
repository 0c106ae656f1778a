# SPDX-License-Identifier: Apache-2.0
"""The memories of the i.MX RT1062: code in ITCM, tensors in OCRAM; the same bits, other cycles, each by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from builds import MODEL, needs_binutils
from chip.programs import start, waits
from kilograd import elf, tools
from kilograd.build import TooLargeError, build_firmware
from kilograd.errors import KilogradError
from kilograd.platforms.board import load_board, with_code_in, with_tensors_in
from placed import place, trained

if TYPE_CHECKING:
    from pathlib import Path

    from command_line import Cli

M7 = "imxrt1062"
BOARD = load_board(M7)
ITCM, OCRAM = with_code_in(BOARD, "itcm"), with_tensors_in(BOARD, "ocram")
CACHES_ON = "ldr r0, =0xE000ED14\nldr r1, =0x30000\nstr r1, [r0]\ndsb\nisb\n"
# Pages with a section in them are timed.
SPACE = '\n.pushsection .tensors, "aw", %nobits\ntensors: .space 0x20000\n.popsection\n'


def test_code_in_itcm_computes_the_same_in_less_time(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing waits for flash but the constants that stay there; code takes its bytes from what DTCM would have."""
    ours = place(BOARD, ITCM, tmp_path_factory)

    flash_state, flash, work = trained(ours.lowered, ours.flash, BOARD)
    state, cycles, itcm_work = trained(ours.lowered, ours.ram, ITCM)

    assert flash_state == state
    assert cycles.total < flash.total
    assert itcm_work.total == pytest.approx(work.total, rel=0.01)
    inside = {symbol.name: symbol for symbol in elf.functions(ours.ram) if symbol.section == ".kg_code"}
    assert "kg_trainer_lap" in inside
    assert all(symbol.address < 0x20000 for symbol in inside.values())
    before, after = (elf.memory_use(path, board).ram for path, board in ((ours.flash, BOARD), (ours.ram, ITCM)))
    assert (512 << 10, 384 << 10) == (before.limit, ITCM.ram.size)
    assert after.limit == before.limit
    assert after.total == before.total + after.code
    assert elf.section_range(ours.ram, ".kg_code") == (0, after.code)


def test_tensors_in_ocram_compute_the_same_behind_the_data_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A small net stays in the cache, so it waits little; DTCM has the arena's bytes to spare."""
    ours = place(BOARD, OCRAM, tmp_path_factory)

    dtcm_state, dtcm, work = trained(ours.lowered, ours.flash, BOARD)
    state, cycles, ocram_work = trained(ours.lowered, ours.ram, OCRAM)

    at_once = replace(OCRAM, waits=tuple(waits for waits in OCRAM.waits if waits.memory.name != "ocram"))
    _, ideal, _ = trained(ours.lowered, ours.ram, at_once)

    assert dtcm_state == state
    assert work == ocram_work
    assert ideal.total < cycles.total < 1.2 * ideal.total
    assert ideal.total == pytest.approx(dtcm.total, rel=0.01)  # code may lie a few bytes elsewhere
    before, after = (elf.memory_use(path, board).ram for path, board in ((ours.flash, BOARD), (ours.ram, OCRAM)))
    assert (before.features, before.total) == (after.features, after.total)
    assert (0x20200000, 0x20200000 + after.features) == elf.section_range(ours.ram, ".kg_features")
    assert 1 << 20 == after.limit


@needs_binutils
def test_flexram_banks_go_to_itcm_as_the_manual_says(tmp_path: Path) -> None:
    """Four of 16 banks: GPR17 3 for each, else 2; GPR14 DTCM 10 (512 KB), ITCM 8 (128 KB); GPR16 both on."""
    path = build_firmware([MODEL], ITCM, tmp_path)

    code = tools.run(["arm-none-eabi-objdump", "-d", "--disassemble=kg_chip_reset", path], what="objdump")

    assert ".word\t0xaaaaaaff" in code
    assert f"orr.w\tr1, r1, #{0xA80000}" in code
    assert "orr.w\tr1, r1, #7" in code


def test_a_null_pointer_faults_where_there_is_no_itcm(tmp_path: Path) -> None:
    """The memory is there only for those who ask for it."""
    with start("movs r0, #0\nldr r1, [r0]", M7, tmp_path) as chip, pytest.raises(KilogradError, match="unmapped"):
        chip.read()


@pytest.mark.parametrize(
    ("code", "cycles"),
    [
        ("ldr r1, [r0]", 40),
        ("ldr r1, [r0]\nldr r1, [r0, #28]\nldrb r1, [r0, #31]", 40),  # one line
        ("ldr r1, [r0]\nldr r1, [r0, #32]\nldr r1, [r0]", 80),  # two
        ("str r1, [r0]\nldr r1, [r0]", 40),  # a store brings the line
        ("strb r1, [r0, #31]\nstrh r1, [r0, #32]", 80),
        ("str r1, [r0, #30]", 80),  # across two lines
        ("ldr r1, [r0, #30]", 80),
        ("stm r0, {r1-r6}\nldm r0, {r1-r6}", 40),
        ("movs r3, #1\ncmp r3, #2\nittt eq\nldreq r1, [r0]\nstreq r1, [r0, #32]\naddeq r3, #1", 0),  # skipped
    ],
)
def test_tensors_in_ocram_wait_for_lines_of_the_data_cache(code: str, cycles: int, tmp_path: Path) -> None:
    """A line of 32 bytes takes 40 cycles; what is there takes none."""
    frame = CACHES_ON + "ldr r0, ={base}\nb 1f\n.ltorg\n1:\n" + code + SPACE

    ocram, dtcm = (waits(frame.replace("{base}", base), M7, tmp_path) for base in ("tensors", "0x20001000"))

    assert cycles == ocram - dtcm


def test_what_is_written_to_ocram_is_read_again(tmp_path: Path) -> None:
    """Bytes, halfwords and words, aligned and not, also in an IT block; the pages are timed, the bits are memory's."""
    code = """ldr r0, =tensors
        ldr r1, =0x20001000
        ldr r2, =0x12345678
        str r2, [r0]
        strh r2, [r0, #5]
        strb r2, [r0, #11]
        cmp r0, r0
        itt eq
        streq r2, [r0, #13]
        ldreq r3, [r0, #1]
        str r3, [r1]
        cmp r0, r1
        it eq
        moveq r3, #0
        str r3, [r1, #4]
        ldrh r3, [r0, #3]
        str r3, [r1, #8]
        ldrd r4, r5, [r0, #8]
        strd r4, r5, [r1, #12]"""

    with start(code + SPACE, M7, tmp_path, ideal_memory=False) as chip:
        assert "has halted" in chip.advance(100_000)
        found = chip.memory(0x20001000, 20)
        wrote = chip.memory(elf.symbol(tmp_path / "program.elf", "tensors").address, 20)

    expected = bytearray(20)
    expected[0:4] = expected[13:17] = bytes.fromhex("78563412")
    expected[5:7], expected[11:12] = bytes.fromhex("7856"), bytes.fromhex("78")
    assert bytes(expected) == wrote
    assert expected[1:5] + expected[1:5] + expected[3:5] + bytes(2) + expected[8:16] == found


def test_a_memory_that_is_too_small_is_named(tmp_path: Path) -> None:
    """Code and tensors have limits of their own there."""
    small = replace(OCRAM.tensor_memory, size=8)
    memories = tuple(small if memory == OCRAM.tensor_memory else memory for memory in OCRAM.memories)

    with pytest.raises(TooLargeError, match=r"ocram: [\d,]+ bytes needed, 8 available"):
        build_firmware([MODEL], replace(OCRAM, memories=memories), tmp_path)


def test_wrong_places_list_the_right_ones(cli: Cli) -> None:
    """Of the board, and the boards that have the place."""
    told = cli.fails("plan", "digits", "--board", "rp2040", "--set", "run.tensors=ocram")
    other = cli.fails("plan", "digits", "--board", M7, "--set", "run.code=ram")

    assert "run.tensors: rp2040 cannot keep tensors in ocram" in told
    assert "it has: ram; boards with ocram: imxrt1062" in told
    assert "it has: flash, itcm; boards with ram: nrf52840, rp2040, stm32l4r5" in other
