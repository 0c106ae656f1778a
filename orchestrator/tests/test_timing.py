# SPDX-License-Identifier: Apache-2.0
"""Exact instruction counts, and cycles by the cores' tables, against counts made by hand from the manuals."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from chip.programs import FPU_ON, board, count, ram, start
from kilograd import paths
from kilograd.errors import KilogradError
from kilograd.platforms.board import boards
from kilograd.platforms.timing import load_timing, parse_pattern

if TYPE_CHECKING:
    from pathlib import Path

M0, M4, M7 = "rp2040", "nrf52840", "imxrt1062"
CONDITIONAL_RETURNS = "bl 1f\nb 2f\n1: movs r0, #1\nit eq\nbxeq lr\ncmp r0, #1\nit eq\nbxeq lr\nnop\n.balign 4\n2:"
CORES = ("cortex-m0plus", "cortex-m4", "cortex-m7")


@pytest.mark.parametrize("name", [M0, M4, M7])
@pytest.mark.parametrize(
    ("code", "instructions"),
    [
        ("nop", 1),
        # 1 before the loop, 100 x 2 in it.
        ("movs r0, #100\n1: subs r0, #1\nbne 1b", 201),
        # 1, then 7 x (2 + 5 x 2 + 2).
        ("movs r0, #7\n1: movs r1, #5\n nop\n2: subs r1, #1\nbne 2b\nsubs r0, #1\nbne 1b", 99),
        # A call: bl, 2 in the function; then b over one.
        ("bl 1f\nb 2f\n1: nop\nbx lr\n2: nop", 5),
        # blx through a register, and back by pop.
        ("ldr r0, =1f + 1\nblx r0\nb 2f\n1: push {r4, lr}\npop {r4, pc}\n2:", 5),
        # Branches not taken count too.
        ("movs r0, #1\ncmp r0, #1\nbne stop\nbeq 1f\nnop\n1: nop", 5),
    ],
)
def test_instructions_are_counted_exactly(name: str, code: str, instructions: int, tmp_path: Path) -> None:
    """Exact counts are what the gate compares, on every core."""
    assert (instructions,) == count(code, name, tmp_path)[:1]


@pytest.mark.parametrize("name", [M4, M7])
@pytest.mark.parametrize(
    ("code", "instructions"),
    [
        # Both arms of IT blocks count, run or skipped: the core fetches and passes them.
        ("movs r0, #0\nite eq\nmoveq r1, #1\nmovne r1, #2", 4),
        ("movs r0, #1\nitttt eq\nmoveq r1, #1\nmoveq r2, #1\nmoveq r3, #1\nmoveq r4, #1\nnop", 7),
        # A conditional return: skipped, then taken.
        (CONDITIONAL_RETURNS, 8),
        ("movs r0, #6\nmovs r1, #3\nudiv r2, r0, r1\nsdiv r2, r0, r1\nsmlad r0, r1, r2, r3", 5),
        ("movs r0, #9\ncbz r0, stop\ncbnz r0, 1f\nnop\n1: nop", 4),
        ("movs r0, #1\ntbb [pc, r0]\n.byte 1, 2, 0, 0\nnop\nnop\n", 4),
    ],
)
def test_thumb_2_is_counted_exactly(name: str, code: str, instructions: int, tmp_path: Path) -> None:
    """IT blocks, table branches and 32-bit encodings have their own traps."""
    assert (instructions,) == count(code, name, tmp_path)[:1]


def test_blocks_longer_than_a_translation_and_across_pages_are_counted(tmp_path: Path) -> None:
    """Unicorn cuts straight code at pages of 4 KB and after some hundred instructions."""
    assert count(".rept 5000\nnop\nadds r0, #1\n.endr", M4, tmp_path) == (10000, 10000)


# The cycles of Arm DDI 0484C (M0+) and DDI 0439D (M4), added up by hand.
@pytest.mark.parametrize(
    ("name", "code", "cycles"),
    [
        # Loop: subs 1, bne taken 2 or 1 + P; the last bne 1.
        (M0, "movs r0, #10\n1: subs r0, #1\nbne 1b", 1 + 9 * 3 + 2),
        (M4, "movs r0, #10\n1: subs r0, #1\nbne 1b", 1 + 9 * 3 + 2),
        (M0, "muls r0, r1\nadds r0, #1\nlsls r0, r0, #3\nuxtb r1, r0", 4),
        # ldr 2, str 2.
        (M0, "ldr r0, ={ram}\nldr r1, [r0]\nstr r1, [r0, #4]\nldrb r2, [r0]\nstrh r2, [r0, #2]", 10),
        # Lists: 1 + N each.
        (M0, "ldr r0, ={ram}\nldm r0!, {{r1, r2, r3}}\nstm r0!, {{r1, r2}}", 2 + 4 + 3),
        (M0, "push {{r0-r3, lr}}\npop {{r0-r4}}", 6 + 6),
        # bl 3, push 3, pop with pc 3 + 2.
        (M0, "bl 1f\nb 2f\n1: push {{r4, lr}}\npop {{r4, pc}}\n2:", 3 + 3 + 5 + 2),
        (M0, "mrs r0, primask\ndmb", 3 + 3),
        # M4 loads pipeline: n + 1 for n of them; a store behind a load takes 1.
        (M4, "ldr r0, ={ram}\nnop\nldr r1, [r0]\nldr r2, [r0, #4]\nldr r3, [r0, #8]", 2 + 1 + 4),
        (M4, "ldr r0, ={ram}\nnop\nldr r1, [r0]\nstr r1, [r0, #4]", 2 + 1 + 3),
        (M4, "ldr r0, ={ram}\nnop\nstr r1, [r0]\nstr r1, [r0, #4]", 2 + 1 + 2),
        # An address that the load before delivers ends the pipelining; one from the ALU waits a cycle.
        (M4, "ldr r0, ={ram}\nldr r1, [r0]", 2 + 2),
        (M4, "bl 1f\n1: ldr r0, [sp]", 2 + 2),
        (M4, "ldr r0, ={ram}\nadds r0, #4\nldr r1, [r0]", 2 + 1 + 1 + 2),
        (M4, "ldr r0, ={ram}\nnop\nldrd r2, r3, [r0]\nnop\nldm r0, {{r1, r2, r3, r4}}", 2 + 1 + 3 + 1 + 5),
        (M4, "push {{r0-r3, lr}}\npop {{r0-r4}}", 6 + 6),
        # Multiplications of every kind take 1 on the M4.
        (M4, "mul r0, r1, r2\nmla r0, r1, r2, r0\nsmull r0, r1, r2, r3\numlal r0, r1, r2, r3\nsmlad r0, r1, r2, r0", 5),
        # bl 1 + P, bx 1 + P.
        (M4, "bl 1f\nb 2f\n1: nop\nbx lr\n.balign 4\n2:", 2 + 1 + 3 + 2),
        # A conditional return that is not taken is one cycle, taken it costs the refill; IT folds behind 16 bits.
        (M4, CONDITIONAL_RETURNS, 2 + 1 + 0 + 1 + 1 + 0 + 3 + 2),
        # 32-bit loads and shifted operands.
        (M4, "add.w r0, r1, r2, lsl #3\nubfx r0, r1, #4, #8\nrev r0, r1\nclz r0, r1\nssat r0, #8, r1", 5),
    ],
)
def test_cycles_are_those_of_the_manuals(name: str, code: str, cycles: int, tmp_path: Path) -> None:
    """The sums were made by hand from the tables in the technical reference manuals."""
    code = code.format(ram=hex(board(name).ram.base + 0x1000))

    assert cycles == count(code, name, tmp_path)[1]


@pytest.mark.parametrize(
    ("code", "cycles"),
    [
        ("vadd.f32 s0, s1, s2\nvadd.f32 s3, s4, s5", 2),
        # The result of an arithmetic instruction is there one cycle later.
        ("vadd.f32 s0, s1, s2\nvadd.f32 s3, s0, s5", 3),
        ("vmul.f32 s0, s1, s2\nvmul.f32 s1, s1, s2\nvadd.f32 s0, s0, s0", 3),
        ("vfma.f32 s0, s1, s2\nvmla.f32 s3, s1, s2", 6),
        ("vdiv.f32 s0, s1, s2\nvsqrt.f32 s1, s2", 28),
        ("vmov s0, r0\nvmov r1, s0\nvmov r2, r3, s4, s5", 4),
        ("vpush {s0-s3}\nvpop {s0-s3}", 5 + 5),
        ("vcvt.f32.s32 s0, s1\nvabs.f32 s2, s3\nvcmp.f32 s4, s5\nvmrs apsr_nzcv, fpscr", 4),
    ],
)
def test_floating_point_cycles_are_those_of_the_manual(code: str, cycles: int, tmp_path: Path) -> None:
    """Arm DDI 0439D, table 7-1."""
    before = count(FPU_ON, M4, tmp_path)[1]

    assert cycles == count(FPU_ON + code, M4, tmp_path)[1] - before


@pytest.mark.parametrize(
    ("code", "cycles"),
    [
        # Two independent sums issue together, a chain does not.
        ("adds r0, r1, r2\nadds r3, r4, r5", 1),
        ("adds r0, r1, r2\nadds r3, r0, r5", 2),
        (".rept 8\nadds r0, r1, r2\nadds r3, r4, r5\n.endr", 8),
        # One multiplier; its accumulator may come a cycle late, other operands may not.
        ("mul r0, r1, r2\nmul r3, r4, r5", 2),
        ("mla r0, r1, r2, r0\nmla r0, r1, r2, r0\nmla r0, r1, r2, r0", 3),
        ("mul r0, r1, r2\nadds r0, #1", 3),
        ("mul r0, r1, r2\nadds r3, r4, r5", 1),
        # SIMD goes first in a pair, never second.
        ("sadd8 r0, r1, r2\nadds r3, r4, r5", 1),
        ("adds r3, r4, r5\nsadd8 r0, r1, r2", 2),
        # Divisions issue alone.
        ("nop\nudiv r0, r1, r2", 8),
    ],
)
def test_the_m7_pairs_what_its_table_lets_pair(code: str, cycles: int, tmp_path: Path) -> None:
    """Sums by hand from the units, latencies and the pairing rule in cortex-m7.toml."""
    assert cycles == count(code, M7, tmp_path)[1]


@pytest.mark.parametrize("core", CORES)
def test_every_cost_names_its_source(core: str) -> None:
    """A figure without a source cannot be checked."""
    table = tomllib.loads((paths.share() / "emulation" / "timing" / f"{core}.toml").read_text(encoding="utf-8"))

    for cost in (table["default"], *table["costs"].values()):
        assert any(word in cost["source"] for word in ("TRM", "LLVM", "Jnk0le", "estimate"))


@pytest.mark.parametrize("core", CORES)
def test_a_more_special_pattern_stands_before_a_more_general_one(core: str) -> None:
    """The first pattern that fits counts, so a pattern behind one that covers it could never count."""
    timing = load_timing(core)

    for rows in (timing.halfword, timing.word):
        for index, row in enumerate(rows):
            for earlier in rows[:index]:
                covers = row.mask & earlier.mask == earlier.mask and row.value & earlier.mask == earlier.value
                assert not covers, (row, earlier)


def test_a_pattern_with_a_mistake_is_an_error() -> None:
    """A lost bit would shift the rest of the pattern."""
    with pytest.raises(KilogradError, match="not 16 known letters"):
        parse_pattern("000 11 10 ... nnn dd", "alu", 16)
    with pytest.raises(KilogradError, match="not 16 known letters"):
        parse_pattern("000 11 10 ... nnn ddj", "alu", 16)


def test_an_unknown_core_lists_the_known_ones() -> None:
    """A board of one's own may name a core without a table."""
    with pytest.raises(KilogradError) as caught:
        load_timing("cortex-m3")

    assert "cortex-m0plus, cortex-m4, cortex-m7" in caught.value.hint


@pytest.mark.parametrize("name", [M4, M7])
@pytest.mark.parametrize(("gap", "code"), [(0, ""), (3, "nop\nadds r5, #1\nmul r5, r5, r6\n")])
def test_the_cycle_counter_reads_exactly_inside_a_block(name: str, gap: int, code: str, tmp_path: Path) -> None:
    """Two reads of CYCCNT without a branch between them must see the cycles that lie between."""
    begin = """ldr r0, =0xE000EDFC
        ldr r1, =0x01000000
        str r1, [r0]
        ldr r0, =0xE0001000
        movs r1, #1
        str r1, [r0]
        nop
    """
    end = f"ldr r4, ={board(name).ram.base + 0x1000:#x}\nstr r2, [r4]\nstr r3, [r4, #4]"
    body = f"ldr r2, [r0, #4]\n{code}ldr r3, [r0, #4]\n"

    with start(begin + body + end, name, tmp_path) as chip:
        chip.advance(1000)
        first, second = (ram(chip, 0x1000 + offset, name) for offset in (0, 4))

    if name == M4:
        # A load takes 2, and the second one reads in its first cycle.
        assert (2 if not gap else 2 + gap) == second - first
    assert 0 < second - first <= 2 + gap


def test_the_cycle_counter_stands_still_until_it_is_enabled(tmp_path: Path) -> None:
    """DEMCR.TRCENA gives the block its clock, DWT_CTRL.CYCCNTENA starts the counter."""
    code = f"""ldr r0, =0xE0001000
        movs r1, #1
        str r1, [r0]
        ldr r2, [r0, #4]
        ldr r3, [r0]
        ldr r4, ={board(M4).ram.base + 0x1000:#x}
        str r2, [r4]
        str r3, [r4, #4]"""

    with start(code, M4, tmp_path) as chip:
        chip.advance(1000)

        assert ram(chip, 0x1000, M4) == 0
        assert ram(chip, 0x1004, M4) == 0x40000000


@pytest.mark.parametrize("name", boards())
def test_systick_counts_cycles_down_and_wraps(name: str, tmp_path: Path) -> None:
    """On the M0+ it is the only cycle counter."""
    code = f"""ldr r0, =0xE000E010
        movs r1, #99
        str r1, [r0, #4]
        movs r1, #0
        str r1, [r0, #8]
        movs r1, #5
        str r1, [r0]
        ldr r2, [r0, #8]
        ldr r3, [r0, #8]
        movs r1, #100
    1:  subs r1, #1
        bne 1b
        ldr r5, [r0]
        ldr r6, [r0]
        ldr r4, ={board(name).ram.base + 0x1000:#x}
        stm r4!, {{r2, r3, r5, r6}}"""

    with start(code, name, tmp_path) as chip:
        chip.advance(100000)
        first, second, flagged, cleared = (ram(chip, 0x1000 + 4 * index, name) for index in range(4))

    assert 90 < second <= first <= 99  # the M7 may read twice in one cycle
    assert flagged == 0x10005
    assert cleared == 0x5


def test_the_rp2040_timer_counts_microseconds(tmp_path: Path) -> None:
    """133 cycles are one microsecond at 133 MHz."""
    code = f"""ldr r0, =0x40054000
        ldr r2, [r0, #0x28]
        ldr r1, =44333
    1:  subs r1, #1
        bne 1b
        ldr r3, [r0, #0x28]
        ldr r5, [r0, #0x24]
        ldr r4, ={board(M0).ram.base + 0x1000:#x}
        stm r4!, {{r2, r3, r5}}"""

    with start(code, M0, tmp_path) as chip:
        chip.advance(1_000_000)
        first, last, high = (ram(chip, 0x1000 + 4 * index, M0) for index in range(3))

    # 44,333 rounds of 3 cycles are 132,999 cycles.
    assert last - first in {1000, 1001}
    assert high == 0
