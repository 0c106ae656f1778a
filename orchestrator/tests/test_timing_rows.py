# SPDX-License-Identifier: Apache-2.0
"""A loop for every row of the cores' tables, with its cycles added up by hand from the documents that the row names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chip.programs import FPU_ON, board, start
from kilograd.platforms.timing import load_timing

if TYPE_CHECKING:
    from pathlib import Path

BOARDS = {"cortex-m0plus": "rp2040", "cortex-m4": "nrf52840", "cortex-m7": "imxrt1062"}
ROUNDS = 10
EXEMPT = {"default", "wait"}  # a class of its own for nothing; sleep ends a run
RETURN = "bl 5f\nb 6f\n5: {}\n6:"
COMPUTED = "adr r1, 6f\nadds r1, #1\n{}\n.balign 4\n6:"  # with the Thumb bit
TABLE = "movs r1, #0\nnop\ntbb [pc, r1]\n7: .byte (6f-7b)/2\n.byte 0\n6:"

# r3 and r4 are 100, r5 is 0, r6 points to RAM. A round: the code, subs 1, bne 1 + 1 (Arm DDI 0484C, table 3-1).
M0PLUS = {
    "multiply": ("muls r0, r1", 1),
    "load": ("ldr r1, [r6]", 2),
    "load_narrow": ("ldrb r1, [r6]", 2),
    "load_literal": ("ldr r1, =0x12345678", 2),
    "store": ("str r1, [r6]", 2),
    "store_register": ("str r1, [r6, r5]", 2),
    "load_multiple": ("mov r2, r6\nldm r2!, {r0, r1}", 1 + (1 + 2)),
    "store_multiple": ("mov r2, r6\nstm r2!, {r0, r1}", 1 + (1 + 2)),
    "push": ("push {r1, r2}\nadd sp, #8", (1 + 2) + 1),
    "pop": ("sub sp, #8\npop {r1, r2}", 1 + (1 + 2)),
    "pop_pc": (RETURN.format("push {r1, lr}\npop {r1, pc}"), 3 + (1 + 2) + (3 + 2) + 2),
    "alu_pc": ("adr r1, 6f\nmov pc, r1\n.balign 4\n6:", 1 + 2),
    "branch": ("b 6f\nnop\n6:", 2),
    "branch_conditional": ("cmp r7, r7\nbeq 6f\nnop\n6:", 1 + 2),
    "branch_link": ("bl 6f\n6:", 3),
    "branch_exchange": (RETURN.format("bx lr"), 3 + 2 + 2),
    "branch_link_exchange": (COMPUTED.format("blx r1"), 1 + 1 + 2),
    "status": ("mrs r1, primask", 3),
    "barrier": ("dmb", 3),
}

# The same rounds: bne 1 + P, P = 1 (Arm DDI 0439D, tables 3-1 and 7-1, sections 3.3.3 and 7.2.3).
M4 = {
    "divide": ("udiv r1, r3, r4", 5),  # as many bits: 5
    "divide_signed": ("sdiv r1, r3, r4", 5),
    "if_then": ("movs r1, #1\nit eq\nmoveq r1, #2", 1 + 0 + 1),  # folded; what is skipped takes 1
    "load": ("ldr r1, [r6]", 2),
    "load_narrow": ("ldrsh r1, [r6, r5]", 2),
    "load_literal": ("ldr r1, =0x12345678", 2),
    "load_double": ("ldrd r1, r2, [r6]", 1 + 2),
    "load_exclusive": ("ldrex r1, [r6]", 2),
    "store": ("str r1, [r6]", 1),
    "store_register": ("str r1, [r6, r5]", 2),
    "store_double": ("strd r1, r2, [r6]", 1 + 2),
    "store_exclusive": ("strex r1, r2, [r6]", 2),
    "load_multiple": ("ldm r6, {r0, r1, r2}", 1 + 3),
    "store_multiple": ("stm r6, {r0, r1}", 1 + 2),
    "push": ("push {r1, r2}\nadd sp, #8", (1 + 2) + 1),
    "pop": ("sub sp, #8\npop {r1, r2}", 1 + (1 + 2)),
    "pop_pc": (RETURN.format("push {r1, lr}\npop {r1, pc}"), 2 + (1 + 2) + (1 + 2 + 3) + 2),
    "load_multiple_pc": (COMPUTED.format("str r1, [r6, #4]\nldm r6, {r1, pc}"), 1 + 1 + 1 + (1 + 2 + 3)),
    "load_pc": (COMPUTED.format("str r1, [r6]\nldr pc, [r6]"), 1 + 1 + 1 + (2 + 3)),
    "alu_pc": ("adr r1, 6f\nmov pc, r1\n.balign 4\n6:", 1 + (1 + 2)),
    "branch": ("b 6f\nnop\n6:", 1 + 1),
    "branch_conditional": ("cmp r7, r7\nbeq 6f\nnop\n6:", 1 + (1 + 1)),
    "compare_branch": ("movs r1, #0\ncbz r1, 6f\nnop\n6:", 1 + (1 + 1)),
    "branch_link": ("bl 6f\n6:", 1 + 1),
    "branch_exchange": (RETURN.format("bx lr"), 2 + (1 + 2) + 2),
    "branch_link_exchange": (COMPUTED.format("blx r1"), 1 + 1 + (1 + 2)),
    "table_branch": (TABLE, 1 + 1 + (2 + 1 + 3)),
    "status": ("mrs r1, primask", 1),
    "barrier": ("dmb", 1),
    # A result is there a cycle later.
    "float_alu": ("vadd.f32 s0, s1, s2\nvadd.f32 s3, s0, s1", 1 + 1 + 1),
    "float_move": ("vmov.f32 s0, s1", 1),
    "float_convert": ("vcvt.f32.s32 s0, s1\nvadd.f32 s3, s0, s1", 1 + 1 + 1),
    "float_multiply": ("vmul.f32 s0, s1, s2\nvmul.f32 s3, s0, s1", 1 + 1 + 1),
    "float_accumulate": ("vfma.f32 s0, s1, s2\nvfma.f32 s0, s1, s2", 3 + 3),  # the addend may come late
    "float_divide": ("vdiv.f32 s0, s1, s2", 14),
    "float_root": ("vsqrt.f32 s0, s1", 14),
    "float_core_move": ("vmov s0, r1", 1),
    "float_core_move_two": ("vmov r1, r2, s0, s1", 2),
    "float_status": ("vmrs r1, fpscr", 1),
    "float_load": ("vldr s0, [r6]", 2),
    "float_load_double": ("vldr d0, [r6]", 3),
    "float_load_multiple": ("vldm r6, {s0-s3}", 1 + 4),
    "float_store": ("vstr s0, [r6]", 2),
    "float_store_double": ("vstr d0, [r6]", 3),
    "float_store_multiple": ("vstm r6, {s0-s3}", 1 + 4),
}

# A round: the code, isb 3, subs and bne together 1. The second number: branches that the target cache does not hold
# yet, once (LLVM's ARMScheduleM7.td and Jnk0le's measurements, as cortex-m7.toml has them).
DIRECT, INDIRECT = 2, 8
ADD_UP = "\nadds r0, #1"  # waits for r0
SUM = "\nvadd.f32 s3, s0, s4"  # waits for s0; 3 until its own result, which nobody waits for
M7 = {
    "alu": ("adds r0, r0, r2\nadds r0, r0, r2", 2, 0),
    "alu_shifted": ("add.w r0, r1, r2, lsl #3\nadd.w r8, r1, r2, lsl #3", 2, 0),  # one shifter
    "shift": ("lsls r0, r1, #3\nlsls r2, r1, #3", 2, 0),
    "bitfield": ("ubfx r0, r1, #4, #8\nubfx r8, r2, #4, #8", 2, 0),  # one SIMD unit
    "extend": ("uxtb r0, r1\nuxtb r2, r1", 2, 0),
    "reverse": ("rev r0, r1\nrev r2, r1", 2, 0),
    "saturate": ("ssat r0, #8, r1" + ADD_UP, 2 + 1, 0),
    "simd": ("sadd8 r0, r1, r2\nsadd8 r8, r1, r2", 2, 0),
    "multiply": ("mul r0, r1, r2" + ADD_UP, 2 + 1, 0),
    "accumulate": ("mla r0, r1, r2, r0\nmla r0, r1, r2, r0", 2, 0),
    "multiply_long": ("smull r0, r8, r1, r2" + ADD_UP, 2 + 1, 0),
    "accumulate_long": ("smlal r0, r8, r1, r2\nsmlal r0, r8, r1, r2", 2, 0),
    "divide": ("udiv r1, r3, r4", 7, 0),
    "divide_signed": ("sdiv r1, r3, r4", 7, 0),
    "load": ("ldr r0, [r6]" + ADD_UP, 1 + 1, 0),
    "load_narrow": ("ldrb r0, [r6]" + ADD_UP, 2 + 1, 0),
    "load_literal": ("ldr r0, =0x12345678" + ADD_UP, 1 + 1, 0),
    "load_double": ("ldrd r0, r1, [r6]" + ADD_UP, 2 + 1, 0),
    "load_exclusive": ("ldrex r0, [r6]" + ADD_UP, 2 + 1, 0),
    "store": ("str r0, [r6]\nstr r1, [r6, #4]", 2, 0),
    "store_register": ("str r0, [r6, r5]\nstr r1, [r6, r5]", 2, 0),
    "nop": ("nop\nnop", 1, 0),
    "if_then": ("movs r1, #1\nit eq\nmoveq r1, #2", 1 + 1, 0),  # movs and it together
    "store_double": ("strd r0, r1, [r6]", 1, 0),
    "store_exclusive": ("strex r0, r1, [r6]", 1, 0),
    "load_multiple": ("ldm r6, {r0, r1, r2}", 2, 0),
    "store_multiple": ("stm r6, {r0, r1, r2}", 2, 0),
    "push": ("push {r0, r1, r2}\nadd sp, #12", 2 + 1, 0),
    "pop": ("sub sp, #12\npop {r0, r1, r2}", 1 + 2, 0),
    "pop_pc": (RETURN.format("push {r1, lr}\npop {r1, pc}"), 1 + 1 + 1 + 1, DIRECT + INDIRECT + DIRECT),
    "load_multiple_pc": (COMPUTED.format("str r1, [r6, #4]\nldm r6, {r1, pc}"), 1 + 1 + 1, INDIRECT),
    "load_pc": (COMPUTED.format("str r1, [r6]\nldr pc, [r6]"), 1 + 1 + 1, INDIRECT),
    "alu_pc": ("adr r1, 6f\nmov pc, r1\nnop\n.balign 4\n6:", 1 + 1, INDIRECT),
    "branch": ("b 6f\nnop\n6:", 1, DIRECT),
    "branch_conditional": ("cmp r7, r7\nbeq 6f\nnop\n6:", 1, INDIRECT),  # expected not to be taken
    "compare_branch": ("movs r1, #0\ncbz r1, 6f\nnop\n6:", 1 + 1, INDIRECT),
    "branch_link": ("bl 6f\nnop\n6:", 1, DIRECT),
    "branch_exchange": (RETURN.format("bx lr"), 1 + 1 + 1, DIRECT + INDIRECT + DIRECT),
    "branch_link_exchange": (COMPUTED.format("blx r1"), 1 + 1 + 1, INDIRECT),
    "table_branch": (TABLE, 1 + 1 + 2, INDIRECT),  # its index is needed a cycle early
    "status": ("mrs r1, primask", 3, 0),
    "barrier": ("dmb", 3, 0),
    "interrupt_mask": ("cpsid i", 3, 0),
    "float_alu": ("vadd.f32 s0, s1, s2" + SUM, 3 + 1, 0),
    "float_move": ("vmov.f32 s0, s1" + SUM, 3 + 1, 0),
    "float_convert": ("vcvt.f32.s32 s0, s1" + SUM, 3 + 1, 0),
    "float_multiply": ("vmul.f32 s0, s1, s2" + SUM, 3 + 1, 0),
    "float_accumulate": ("vfma.f32 s0, s1, s2\nvfma.f32 s0, s1, s2", 3 + 1, 0),  # 6, its addend 3 late
    "float_divide": ("vdiv.f32 s0, s1, s2", 16, 0),
    "float_root": ("vsqrt.f32 s0, s1", 14, 0),
    "float_core_move": ("vmov s0, r1" + SUM, 3 + 1, 0),
    "float_core_move_two": ("vmov s0, s1, r1, r2", 1, 0),  # alone; the table does not follow pairs of registers
    "float_status": ("vmrs r1, fpscr", 3, 0),
    "float_load": ("vldr s0, [r6]" + SUM, 1 + 1, 0),
    "float_load_double": ("vldr d0, [r6]", 1, 0),  # the same
    "float_load_multiple": ("vldm r6, {s0-s3}", 2, 0),
    "float_store": ("vstr s0, [r6]\nvstr s1, [r6, #4]", 2, 0),
    "float_store_double": ("vstr d0, [r6]", 1, 0),
    "float_store_multiple": ("vstm r6, {s0-s3}", 2, 0),
}

# Besides: two instructions before the loop, its last branch that is not taken; on the M7 two rounds mispredicted.
SIMPLE = [
    (core, row, code, 2 + ROUNDS * (cycles + 1 + 2) - 1)
    for core, rows in (("cortex-m0plus", M0PLUS), ("cortex-m4", M4))
    for row, (code, cycles) in rows.items()
]
DUAL = [
    ("cortex-m7", row, f"{code}\nisb", 1 + ROUNDS * (cycles + 3 + 1) + 2 * 8 + once)
    for row, (code, cycles, once) in M7.items()
]


def setup(core: str) -> str:
    """Return what comes before the loop; it ends on a word boundary."""
    fpu = FPU_ON if load_timing(core).core.fpu else ""
    where = hex(board(BOARDS[core]).ram.base + 0x1000)
    return f"{fpu}ldr r6, ={where}\nmovs r3, #100\nmovs r4, #100\nmovs r5, #0\n.balign 4\nisb\n"


def run(code: str, core: str, folder: Path) -> int:
    """Return the cycles of a program from reset to its end."""
    with start(code, BOARDS[core], folder) as chip:
        assert "has halted" in chip.advance(100_000)
        return chip.cycles


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Return the cycles of each core's programs without their loops."""
    return {core: run(setup(core), core, tmp_path_factory.mktemp(core)) for core in BOARDS}


@pytest.mark.parametrize(
    ("core", "row", "code", "cycles"), [*SIMPLE, *DUAL], ids=lambda value: str(value).split("\n")[0]
)
def test_loop_takes_the_cycles_of_its_row(
    core: str, row: str, code: str, cycles: int, before: dict[str, int], tmp_path: Path
) -> None:
    """Every number of a table is used, and means what the document means by it."""
    loop = f"movs r7, #{ROUNDS}\nnop\n1: {code}\nsubs r7, #1\nbne 1b\n"

    assert cycles == run(setup(core) + loop, core, tmp_path) - before[core], row


@pytest.mark.parametrize(("core", "rows"), [("cortex-m0plus", M0PLUS), ("cortex-m4", M4), ("cortex-m7", M7)])
def test_every_row_has_a_loop(core: str, rows: dict[str, tuple]) -> None:
    """A row that is added later needs one, too."""
    timing = load_timing(core)

    assert set(timing.core.costs) - EXEMPT == set(rows)
