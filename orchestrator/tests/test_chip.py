# SPDX-License-Identifier: Apache-2.0
"""The virtual chip: its UARTs, counts by step, and what it runs."""

from __future__ import annotations

import ctypes
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from builds import CHIPS
from chip.programs import board, fault, ram, start
from kilograd import bench_engine, toolchain, tools
from kilograd.engines import _native
from kilograd.engines.base import StepCount
from kilograd.engines.builtin import BuiltinEngine
from kilograd.errors import KilogradError
from kilograd.platforms.board import load_board

if TYPE_CHECKING:
    from pathlib import Path

M0, M4, M7 = "rp2040", "nrf52840", "imxrt1062"
ALL = CHIPS
THUMB_2 = (M4, M7)

PL011 = """
        ldr r0, =0x40034000
        movs r1, #72
        str r1, [r0, #0x24]
        movs r1, #0x70
        str r1, [r0, #0x2C]
        ldr r1, =0x301
        str r1, [r0, #0x30]
        movs r7, #0x10
    """


ECHO = (
    PL011
    + """
    1:  ldr r1, [r0, #0x18]
        tst r1, r7
        bne 1b
        ldr r1, [r0]
        adds r1, #1
        str r1, [r0]
        b 1b"""
)


def read_all(chip: BuiltinEngine, count: int) -> bytes:
    """Read until so many bytes have come."""
    data = b""
    while len(data) < count:
        data += chip.read()
    return data


def test_bytes_go_in_and_out_in_order(tmp_path: Path) -> None:
    """More bytes than any buffer of the chip holds, in one write."""
    data = bytes(index * 7 % 251 for index in range(200_000))

    with start(ECHO, M0, tmp_path) as chip:
        chip.write(data)
        got = read_all(chip, len(data))

    assert bytes((value + 1) % 256 for value in data) == got


def test_a_firmware_that_waits_for_input_ends_the_read(tmp_path: Path) -> None:
    """The host must not wait for an answer that cannot come, and may go on afterwards."""
    with start(ECHO, M0, tmp_path) as chip:
        with pytest.raises(KilogradError, match="waits for more input"):
            chip.read()
        chip.write(b"a")

        assert chip.read() == b"b"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (M0, "ldr r0, =0x40034000\nmovs r1, #65\nstr r1, [r0]"),
        ("stm32l4r5", "ldr r0, =0x40008000\nmovs r1, #13\nstr r1, [r0]\nstr r1, [r0, #0x28]"),  # no baud rate
        ("stm32l4r5", "ldr r0, =0x40008000\nmovs r1, #9\nstr r1, [r0, #0x0C]\nstr r1, [r0, #0x28]"),  # not enabled
    ],
)
def test_a_uart_that_is_not_enabled_is_silent(name: str, code: str, tmp_path: Path) -> None:
    """As on silicon: a forgotten enable bit must not go unnoticed."""
    error = fault(code, name, tmp_path)

    assert "has halted" in error.message


# Sends 200 bytes from RAM or from flash.
UARTE = """
        ldr r0, =0x40002000
        movs r1, #8
        str r1, [r0, #0x500]
        ldr r1, ={source}
        str r1, [r0, #0x544]
        movs r1, #200
        str r1, [r0, #0x548]
        movs r1, #1
        str r1, [r0, #8]
    1:  ldr r1, [r0, #0x120]
        cmp r1, #1
        bne 1b"""


def test_easydma_sends_from_ram(tmp_path: Path) -> None:
    """The nRF52840's UARTE fetches a whole buffer by itself."""
    code = "ldr r2, =0x20001000\nmovs r3, #0\n2: strb r3, [r2, r3]\nadds r3, #1\ncmp r3, #200\nbne 2b\n"

    with start(code + UARTE.format(source="0x20001000"), M4, tmp_path) as chip:
        assert read_all(chip, 200) == bytes(range(200))


def test_easydma_does_not_reach_flash(tmp_path: Path) -> None:
    """On silicon a pointer into flash is a HardFault or sends rubbish."""
    error = fault(UARTE.format(source="0x100"), M4, tmp_path)

    assert "DMA of 200 bytes at 0x00000100 (not RAM)" in error.message


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("wfi\nnop", "has halted"),
        ("ldr r0, =0xE000ED0C\nldr r1, =0x05FA0004\nstr r1, [r0]\n1: b 2f\n2: b 1b", "asked for a system reset"),
        ("ldr r0, =0xE000E100\nmovs r1, #4\nstr r1, [r0]\n1: b 2f\n2: b 1b", "enabled an interrupt"),
        ("ldr r0, =0xE000E010\nmovs r1, #7\nstr r1, [r0]\n1: b 2f\n2: b 1b", "enabled an interrupt"),
        ("1: b 2f\n2: b 1b", "sent nothing for 0.002 s of its time"),
    ],
)
@pytest.mark.parametrize("name", ALL)
def test_a_firmware_that_will_never_answer_ends_with_the_reason(name: str, code: str, why: str, tmp_path: Path) -> None:
    """Every such end is an error at once, or at the limit of virtual time, and says where the firmware is."""
    start(code, name, tmp_path).close()

    with BuiltinEngine(tmp_path / "program.elf", board(name), time_limit_s=0.002) as chip:
        with pytest.raises(KilogradError, match=why) as caught:
            chip.read()

        assert chip.cycles < 0.003 * board(name).clock_hz
    assert re.search(r"it is at .*\(program\.s:\d+\)", caught.value.hint)


LAPS = """
        movs r6, #3
    1:  ldr r2, =-1
        bl kg_trainer_lap
        nop
        nop
        movs r2, #5
        bl kg_trainer_lap
        movs r2, #7
        bl kg_trainer_lap
        subs r6, #1
        bne 1b
        {more}
        b stop
        .type kg_trainer_lap, %function
        .thumb_func
    kg_trainer_lap:
        nop
        bx lr
    """


@pytest.mark.parametrize("name", ALL)
def test_steps_are_counted_from_lap_to_lap(name: str, tmp_path: Path) -> None:
    """kg_trainer_lap ends a step at its entry; the lap itself belongs to the next one."""
    with start(LAPS.format(more=""), name, tmp_path) as chip:
        chip.advance(10_000)
        counts = chip.step_counts()
        chip.reset_counts()

        assert set(counts) == {5, 7}
        # nop, bx, nop, nop, movs, bl: 6. nop, bx, movs, bl: 4. Three rounds each.
        assert (counts[5].instructions, counts[5].runs) == (18, 3)
        assert (counts[7].instructions, counts[7].runs) == (12, 3)
        if name == M0:
            # nop 1, bx 2, nop, nop, movs 3, bl 3.
            assert counts[5] == StepCount(18, 3 * 9, 3)
        assert chip.step_counts() == {}


def test_a_step_number_out_of_range_is_a_fault(tmp_path: Path) -> None:
    """It would mean that the firmware's tables are damaged."""
    error = fault(LAPS.format(more="ldr r2, =123456\nbl kg_trainer_lap"), M0, tmp_path)

    assert "kg_trainer_lap with step 123456" in error.message


def test_counts_do_not_depend_on_how_the_host_sends(tmp_path: Path) -> None:
    """Steps cost the same whether the host sends byte by byte or all at once."""
    code = (
        PL011
        + """
    1:  ldr r1, [r0, #0x18]
        tst r1, r7
        bne 1b
        movs r2, #0
        subs r2, #1
        bl kg_trainer_lap
        ldr r1, [r0]
        movs r2, #0
        bl kg_trainer_lap
        str r1, [r0]
        b 1b
        .type kg_trainer_lap, %function
        .thumb_func
    kg_trainer_lap:
        bx lr"""
    )
    results = []

    for chunk in (1, 20):
        with start(code, M0, tmp_path) as chip:
            for first in range(0, 20, chunk):
                chip.write(bytes(chunk))
                read_all(chip, chunk)
                assert first < 20
            results.append(chip.step_counts())

    assert results[0] == results[1]
    assert results[0][0].runs == 20


def test_chips_run_in_threads_side_by_side(tmp_path: Path) -> None:
    """Boards are trained in parallel: what one counts must not depend on the others."""
    code = "ldr r0, =200000\n1: subs r0, #1\nbne 1b"

    def run(number: int) -> tuple[int, int]:
        folder = tmp_path / str(number)
        folder.mkdir()
        with start(code, ALL[number % 3], folder) as chip:
            chip.advance(10_000_000)
            return chip.instructions, chip.cycles

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(run, range(6)))

    assert [400_002] * 6 == [instructions for instructions, _ in results]
    assert results[:3] == results[3:]


@pytest.mark.parametrize("name", THUMB_2)
@pytest.mark.parametrize("address", ["0x20008000", "0xE0001004"])
def test_a_load_inside_an_it_block_leaves_no_condition_behind(name: str, address: str, tmp_path: Path) -> None:
    """Unicorn stores the IT state when a load touches a new page or a register: it must not reach the next block."""
    code = f"""ldr r1, ={address}
        movs r0, #0
        movs r3, #0
        it eq
        ldreq r2, [r1]
        cmp r0, #1
        b 1f
    1:  movs r3, #7
        ldr r4, =0x20001000
        str r3, [r4]"""

    with start(code, name, tmp_path) as chip:
        chip.advance(1000)

        assert ram(chip, 0x1000, name) == 7


@pytest.mark.parametrize(("name", "cpuid"), [(M0, 0x410CC601), (M4, 0x410FC241), (M7, 0x411FC271)])
def test_the_core_says_what_it_is(name: str, cpuid: int, tmp_path: Path) -> None:
    """CPUID as in the cores' technical reference manuals."""
    code = "ldr r0, =0xE000ED00\nldr r1, [r0]\nldr r2, =0x20001000\nstr r1, [r2]"

    with start(code, name, tmp_path) as chip:
        chip.advance(1000)

        assert cpuid == ram(chip, 0x1000, name)


def test_firmware_for_another_board_is_refused(tmp_path: Path) -> None:
    """Its bytes lie where this board has no memory."""
    start("nop", M7, tmp_path).close()

    with pytest.raises(KilogradError, match="outside the memory of nrf52840"):
        BuiltinEngine(tmp_path / "program.elf", load_board(M4))


def test_a_peripheral_without_a_model_is_an_error(tmp_path: Path) -> None:
    """A board of one's own may name any class of Renode's."""
    folder = tmp_path / "mine"
    folder.mkdir()
    original = load_board(M4).folder
    (folder / "board.toml").write_text((original / "board.toml").read_text(encoding="utf-8"), encoding="utf-8")
    repl = (original / "nrf52840.repl").read_text(encoding="utf-8")
    (folder / "mine.repl").write_text(f"{repl}\nspi: SPI.NRF52840_SPI @ sysbus 0x40003000\n", encoding="utf-8")
    start("nop", M4, tmp_path).close()

    with pytest.raises(KilogradError, match=r"no model of SPI\.NRF52840_SPI") as caught:
        BuiltinEngine(tmp_path / "program.elf", load_board(str(folder)))

    assert "UART.NRF52840_UART" in caught.value.hint


def test_a_native_part_of_another_version_is_refused(tmp_path: Path) -> None:
    """Its structs have other fields: calling it would crash Python."""
    source = tmp_path / "other.c"
    names = [name for name in _native._FUNCTIONS if name != "kg_chip_layout"]
    text = "\n".join(f"void {name}(void) {{}}" for name in names)
    source.write_text(f"{text}\nunsigned long long kg_chip_layout(void) {{ return 1; }}\n", encoding="utf-8")
    library = tmp_path / "other.so"
    command = [*toolchain.host_compiler().command, "-shared", "-fPIC", source, "-o", library]
    tools.run(command, what="compiling a library")

    with pytest.raises(KilogradError, match="another version"):
        _native._declare(ctypes.CDLL(str(library)))
    with pytest.raises(KilogradError, match="another version"):
        _native._declare(ctypes.CDLL(None))


def test_a_closed_chip_says_so(tmp_path: Path) -> None:
    """Using it must not crash Python."""
    chip = start("nop", M0, tmp_path)
    chip.close()
    chip.close()

    with pytest.raises(KilogradError, match="closed"):
        chip.read()


@pytest.mark.parametrize("name", ALL)
def test_the_benchmark_reports_what_it_ran(name: str) -> None:
    """`kilograd bench engine` counts with the same counters as everything else."""
    result = bench_engine.bench(name, instructions=20_000_000)

    assert (result["schema"], result["engine"], result["board"]) == (2, "builtin", name)
    for kind in ("", "_with_memory"):
        assert result[f"instructions{kind}"] >= 20_000_000
        seconds = result[f"seconds{kind}"]
        assert result[f"mips{kind}"] == pytest.approx(result[f"instructions{kind}"] / seconds / 1e6, rel=0.05)
        assert 0.5 < result[f"cycles{kind}"] / result[f"instructions{kind}"] < 2


def test_a_board_may_let_its_ram_be_executed(tmp_path: Path) -> None:
    """`executable` in board.toml: code that was copied to RAM runs, and stores beside it work."""
    folder = tmp_path / "mine"
    folder.mkdir()
    original = load_board(M4).folder
    settings = (original / "board.toml").read_text(encoding="utf-8")
    settings = settings.replace('ram = "ram"', 'ram = "ram"\nexecutable = ["ram"]')
    (folder / "board.toml").write_text(settings, encoding="utf-8")
    (folder / "mine.repl").write_text((original / "nrf52840.repl").read_text(encoding="utf-8"), encoding="utf-8")
    # movs r1, #42; str r1, [r0, #16]; b .
    code = """ldr r0, =0x20001000
        ldr r1, =0x6101212A
        str r1, [r0]
        ldr r1, =0xE7FE
        str r1, [r0, #4]
        adds r2, r0, #1
        bx r2"""
    start(code, M4, tmp_path).close()

    with BuiltinEngine(tmp_path / "program.elf", load_board(str(folder))) as chip:
        assert "has halted" in chip.advance(1000)

        assert ram(chip, 0x1010, M4) == 42
