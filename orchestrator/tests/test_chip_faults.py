# SPDX-License-Identifier: Apache-2.0
"""The virtual chip: what it refuses, and how it reports it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builds import CHIPS
from chip.programs import FPU_ON, board, fault, ram, start
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from pathlib import Path

M0, M4, M7 = "rp2040", "nrf52840", "imxrt1062"
ALL = CHIPS
THUMB_2 = (M4, M7)
LOWER = "ldr r0, =0x900\nmov r1, sp\nsubs r1, r0\nmov sp, r1\n"


@pytest.mark.parametrize(
    ("names", "code", "what"),
    [
        (ALL, "ldr r0, =0x30000000\nldr r1, [r0]", "read of 4 bytes from 0x30000000 (unmapped)"),
        (ALL, "ldr r0, =0x30000000\nldrb r1, [r0, #1]", "read of 1 bytes from 0x30000001 (unmapped)"),
        (ALL, "ldr r0, =0x30000000\nstrh r1, [r0, #2]", "write of 2 bytes to 0x30000002 (unmapped)"),
        (ALL, "ldr r0, =reset\nsubs r0, #1\nstr r1, [r0]", "write of 4 bytes to {vectors} (read-only memory)"),
        (ALL, "ldr r0, =0x20001001\nbx r0", "execution of 0x20001000 (not executable)"),
        (ALL, "ldr r0, =0x30000001\nblx r0", "execution of 0x30000000 (unmapped)"),
        (ALL, "ldr r0, =stop\nmovs r1, #1\nbics r0, r1\nbx r0", "branch to an even address"),
        (ALL, "udf #0", "undefined instruction"),
        (ALL, "bkpt #0", "breakpoint"),
        (ALL, "svc #0", "supervisor call"),
        (ALL, "1: push {{r0-r7}}\nb 1b", "stack overflow"),
        (ALL, "ldr r0, =0x900\nmov r1, sp\nsubs r1, r0\nmov sp, r1\nstr r0, [sp, #4]", "stack overflow"),
        (
            ALL,
            f"{LOWER}b 1f\n1: nop",
            "stack overflow: the stack pointer is at {below}: 2,304 bytes deep, 2,048 are there",
        ),
        (ALL, "sub sp, #256\n" * 9 + "b 1f\n1: nop", "{below}: 2,304 bytes deep"),
        (THUMB_2, "sub.w sp, sp, #0x900\nb 1f\n1: nop", "{below}: 2,304 bytes deep"),
        (ALL, "ldr r0, =0x40090000\nldr r1, [r0]", "read of 4 bytes from 0x40090000 (unmapped)"),
        # What a Cortex-M0+ does not have.
        ((M0,), "ldr r0, =0x20001001\nldr r1, [r0]", "unaligned access"),
        ((M0,), "ldr r0, =0x20001001\nstrh r1, [r0]", "unaligned access"),
        ((M0,), ".short 0xFBB0, 0xF0F1 // udiv", "undefined instruction"),
        ((M0,), ".short 0xBF08 // it eq", "undefined instruction"),
        ((M0,), ".short 0xB100 // cbz r0", "undefined instruction"),
        ((M0,), ".short 0xEE00, 0x0A10 // vmov s0, r0", "undefined instruction"),
        # No double precision on the M4; no floating point before it is switched on.
        ((M4,), f"{FPU_ON}.short 0xEE30, 0x0B00 // vadd.f64", "undefined instruction"),
        (THUMB_2, "vmov s0, r0", "CPACR has it switched off"),
    ],
)
def test_the_chip_refuses_what_the_hardware_refuses(
    names: tuple[str, ...], code: str, what: str, tmp_path: Path
) -> None:
    """A program that would fault on silicon must not pass on the virtual chip."""
    for name in names:
        error = fault(code.replace("{{", "{").replace("}}", "}"), name, tmp_path)

        assert error.message.startswith(f"fault on {name}: ")
        places = {"vectors": board(name).vector_table + 16, "below": board(name).ram.base - 0x100}
        assert what.format(**{key: f"{place:#010x}" for key, place in places.items()}) in error.message


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (M4, "ldr r0, =0x20001001\nldr r1, [r0]\nstr r1, [r0, #4]\nstrh r1, [r0]"),
        (M7, "ldr r0, =0x20000FFE\nldr r1, [r0]\nstr r1, [r0]"),
        (M0, "ldr r0, =0x11000100\nldr r1, [r0]"),
    ],
)
def test_the_chip_allows_what_the_hardware_allows(name: str, code: str, tmp_path: Path) -> None:
    """Unaligned words on Armv7-M, also across pages, and the RP2040's further addresses of its flash."""
    with start(code, name, tmp_path) as chip:
        assert "has halted" in chip.advance(1000)


@pytest.mark.parametrize("name", ALL)
def test_a_fault_names_function_line_caller_and_registers(name: str, tmp_path: Path) -> None:
    """The report must be enough to find the mistake."""
    code = """ldr r5, =0x12345678
        bl broken
        b stop
        .type broken, %function
        .thumb_func
    broken:
        ldr r0, =0x30012344
        nop
        str r5, [r0]
        nop
        bx lr
        .size broken, . - broken"""

    error = fault(code, name, tmp_path)

    source = (tmp_path / "program.s").read_text(encoding="utf-8").splitlines()
    line = next(number for number, text in enumerate(source, 1) if "str r5" in text)
    call = next(number for number, text in enumerate(source, 1) if "bl broken" in text)
    assert f"at   broken+0x4 (program.s:{line})" in error.hint
    assert f"(program.s:{call})" in error.hint.splitlines()[1]
    assert "r5 12345678" in error.hint
    assert "r0 30012344" in error.hint


@pytest.mark.parametrize("name", ALL)
def test_counts_stop_at_the_fault(name: str, tmp_path: Path) -> None:
    """What stands behind the faulting instruction in its block has not run."""
    with start("nop\nnop\nudf #0\n.rept 50\nnop\n.endr", name, tmp_path) as chip:
        with pytest.raises(KilogradError):
            chip.read()

        # Two before the fault, and the handler's branch to itself does not count.
        assert chip.instructions == 2


HANDLER = """
        ldr r0, =0x20001000     // a vector table in RAM
        ldr r1, =handler
        str r1, [r0, #12]
        ldr r1, =0xE000ED08
        str r0, [r1]
        movs r0, #0xA0
        movs r1, #0xA1
        movs r2, #0xA2
        movs r3, #0xA3
        bl 1f
    1:  {fault}
        b stop
        .balign 4
        .ltorg
        .type handler, %function
        .thumb_func
    handler:
        mov r4, lr
        mrs r5, ipsr
        mov r6, sp
        ldr r7, =0x20002000
        ldm r6!, {{r0, r1, r2, r3}}
        stm r7!, {{r0, r1, r2, r3, r4, r5}}
        ldm r6!, {{r0, r1, r2, r3}}
        stm r7!, {{r0, r1, r2, r3, r6}}
        b ."""


@pytest.mark.parametrize("name", ALL)
def test_the_hard_fault_handler_gets_the_frame_of_the_manual(name: str, tmp_path: Path) -> None:
    """The firmware's own handler reads r0-r3, r12, lr, pc and xPSR from its stack, vectors from VTOR."""
    with start(HANDLER.format(fault="udf #0"), name, tmp_path) as chip:
        with pytest.raises(KilogradError) as caught:
            chip.read()
        saved = [ram(chip, 0x2000 + 4 * index, name) for index in range(11)]

    r0, r1, r2, r3, link, number, _, lr, pc, status, sp = saved
    assert (r0, r1, r2, r3) == (0xA0, 0xA1, 0xA2, 0xA3)
    assert link == 0xFFFFFFF9
    assert number == 3
    assert lr == pc + 1
    assert f"pc {pc:08x}" in caught.value.hint
    assert status & 1 << 24
    assert sp == board(name).ram.base + board(name).stack_bytes


def test_a_refused_instruction_is_named_by_its_own_line(tmp_path: Path) -> None:
    """The floating point unit is off for one instruction in the middle of a block."""
    error = fault("nop\nnop\nvmov s0, r0\nnop", M4, tmp_path)

    source = (tmp_path / "program.s").read_text(encoding="utf-8").splitlines()
    line = next(number for number, text in enumerate(source, 1) if "vmov" in text)
    assert f"(program.s:{line})" in error.hint.splitlines()[0]


FRAME_TOO_LARGE = """bl large
        b stop
        .type large, %function
        .thumb_func
    large:
        push {r4, lr}
        sub sp, #496
        ldr r4, =-1600
        add sp, r4
        ldr r0, =0x20001000
        str r0, [r0]            // nowhere near the stack: no access would tell
        bl leaf
        b .
        .size large, . - large
        .type leaf, %function
        .thumb_func
    leaf:
        bx lr
        .size leaf, . - leaf"""


@pytest.mark.parametrize("name", ALL)
def test_a_frame_that_is_too_large_is_told_before_anything_touches_it(name: str, tmp_path: Path) -> None:
    """The report names the function that took the bytes, not the one that it calls; what follows does not run."""
    with start(FRAME_TOO_LARGE, name, tmp_path) as chip, pytest.raises(KilogradError) as caught:
        chip.read()

    assert "2,104 bytes deep, 2,048 are there" in caught.value.message
    source = (tmp_path / "program.s").read_text(encoding="utf-8").splitlines()
    line = next(number for number, text in enumerate(source, 1) if "add sp, r4" in text)
    assert f"at   large+0x6 (program.s:{line})" in caught.value.hint


@pytest.mark.parametrize("name", ALL)
def test_a_stack_that_is_full_to_its_last_byte_is_fine(name: str, tmp_path: Path) -> None:
    """The limit itself is no overflow."""
    code = LOWER.replace("0x900", "0x800") + "b 1f\n1: str r0, [sp]\nb stop"

    with start(code, name, tmp_path) as chip:
        assert "has halted" in chip.advance(1000)


def test_a_used_up_stack_is_replaced_for_the_handler(tmp_path: Path) -> None:
    """After an overflow there is no room for a frame: the handler gets a fresh stack."""
    with start(HANDLER.format(fault="1: push {r0}\nb 1b"), M0, tmp_path) as chip:
        with pytest.raises(KilogradError, match="stack overflow"):
            chip.read()

        assert ram(chip, 0x2000 + 4 * 10, M0) == board(M0).ram.base + board(M0).stack_bytes


def test_the_fault_status_registers_tell_the_cause(tmp_path: Path) -> None:
    """Handlers on Armv7-M print CFSR, HFSR and BFAR."""
    code = HANDLER.format(fault="ldr r0, =0x30000000\nldr r0, [r0]").replace(
        "b .", "ldr r0, =0xE000ED28\nldr r1, [r0]\nldr r2, [r0, #4]\nldr r3, [r0, #16]\nstm r7!, {r1, r2, r3}\nb ."
    )

    with start(code, M4, tmp_path) as chip:
        with pytest.raises(KilogradError, match="unmapped"):
            chip.read()
        status = [ram(chip, 0x2000 + 4 * index, M4) for index in (11, 12, 13)]

    # PRECISERR and BFARVALID; FORCED; the address.
    assert status == [0x8200, 0x40000000, 0x30000000]
