# SPDX-License-Identifier: Apache-2.0
"""Cycles known only when code runs: operands of divisions, skipped instructions, branches, what a block leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chip.programs import FPU_ON, board, count, start

if TYPE_CHECKING:
    from pathlib import Path

M0, M4, M7 = "rp2040", "nrf52840", "imxrt1062"


def cycles(code: str, name: str, folder: Path, without: str = "") -> int:
    """Return the cycles of a piece of assembly beyond those of another one."""
    return count(code, name, folder)[1] - (count(without, name, folder)[1] if without else 0)


# By the formula: 2 with a zero, 3 if the dividend has fewer bits, else 5 + (difference in bits) / 4.
@pytest.mark.parametrize(
    ("operation", "dividend", "divisor", "expected"),
    [
        ("udiv", "0", "5", 2),
        ("udiv", "5", "0", 2),
        ("udiv", "3", "100", 3),
        ("udiv", "100", "100", 5),
        ("udiv", "0x7F", "8", 5),
        ("udiv", "0xFF", "8", 6),
        ("udiv", "0xFFFFFFFF", "1", 12),
        ("sdiv", "0xFFFFFFFF", "1", 5),  # -1 / 1
        ("sdiv", "-100", "3", 6),  # 7 and 2 bits
        ("sdiv", "100", "-3", 6),
        ("sdiv", "0x80000000", "1", 12),
    ],
)
def test_a_division_on_the_m4_takes_what_its_operands_ask(
    operation: str, dividend: str, divisor: str, expected: int, tmp_path: Path
) -> None:
    """A constant would be wrong by up to ten cycles."""
    before = f"ldr r0, ={dividend}\nldr r1, ={divisor}\nnop\n"

    assert expected == cycles(f"{before}{operation} r2, r0, r1", M4, tmp_path, without=before)


def test_every_run_of_a_division_is_counted(tmp_path: Path) -> None:
    """The block is translated again when its division is first met; before and after, the operands change."""
    code = "ldr r0, =0x80000000\nmovs r1, #1\n1: udiv r2, r0, r1\nlsrs r0, r0, #4\nbne 1b"

    # 2 + 1; eight rounds of division (12 cycles for 32 bits, down to 5 for 4), lsrs 1, bne 2 (the last 1).
    rounds = sum(5 + (bits - 1) // 4 for bits in range(32, 0, -4))
    # The target of bne is a 32-bit instruction; it lies on a word boundary.
    assert 3 + rounds + 8 * (1 + 2) - 1 == cycles(code.replace("1: udiv", ".balign 4\n1: udiv"), M4, tmp_path)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        # IT folds behind 16 bits; a skipped load takes the cycle of its slot.
        ("movs r0, #1\nit eq\nldreq r1, [sp]", 1 + 0 + 1),
        ("movs r0, #0\nit eq\nldreq r1, [sp]", 1 + 0 + 2),
        ("movs r0, #1\nittt eq\nldmeq sp, {{r1, r2, r3}}\nnopeq\nmlaeq r1, r2, r3, r4", 1 + 0 + 1 + 1 + 1),
        ("movs r0, #0\nittt eq\nldmeq sp, {{r1, r2, r3}}\nnopeq\nmlaeq r1, r2, r3, r4", 1 + 0 + 4 + 1 + 1),
        # Behind 32 bits it takes a cycle.
        ("movs.w r0, #1\nit eq\nmoveq r1, #1", 1 + 1 + 1),
        # A division is skipped, or takes 2 for a zero.
        ("movs r0, #1\nit eq\nudiveq r0, r0, r1", 1 + 0 + 1),
        ("movs r0, #0\nit eq\nudiveq r0, r0, r1", 1 + 0 + 2),
    ],
)
def test_what_an_if_then_block_skips_takes_a_cycle(code: str, expected: int, tmp_path: Path) -> None:
    """Compilers put loads, stores and divisions into IT blocks."""
    assert expected == cycles(code.format(), M4, tmp_path)


# b.w 1 + P; the target 1; behind an odd halfword, .balign fills with a nop before the barrier.
@pytest.mark.parametrize(("before", "expected"), [("", 2 + 1), ("nop\n", 2 + 1 + 1 + 1)])
def test_a_32_bit_target_off_a_word_boundary_costs_a_cycle(before: str, expected: int, tmp_path: Path) -> None:
    """The refill of the M4's pipeline depends on alignment and width of the target."""
    code = f".balign 4\nb.w 1f\n.balign 4\n{before}1: add.w r0, r0, r1\n.balign 4"

    assert expected == cycles(code, M4, tmp_path)


def test_a_result_is_waited_for_across_the_end_of_a_block(tmp_path: Path) -> None:
    """A branch that is not taken does not make the floating-point unit faster."""
    start_up = FPU_ON + "movs r0, #1\n.rept 6\nnop\n.endr\n"
    apart = cycles(start_up + "vadd.f32 s0, s1, s2\ncbz r0, stop\nvadd.f32 s3, s4, s5", M7, tmp_path)

    waiting = cycles(start_up + "vadd.f32 s0, s1, s2\ncbz r0, stop\nvadd.f32 s3, s0, s5", M7, tmp_path)

    # One float unit: the second would issue a cycle behind the first; the result takes three.
    assert 2 == waiting - apart


def test_a_branch_target_cache_learns_loops(tmp_path: Path) -> None:
    """Of a hundred rounds the first and the last are mispredicted; sum and branch issue together."""
    assert 1 + 100 + 2 * 8 == cycles("movs r0, #100\n1: subs r0, #1\nbne 1b", M7, tmp_path)


def test_a_branch_that_changes_its_mind_is_mispredicted(tmp_path: Path) -> None:
    """A branch that goes every other way costs more than one that is never taken."""
    loop = "movs r0, #100\n1: tst r0, #{mask}\nbeq 2f\nnop\n2: subs r0, #1\nbne 1b"

    steady, changing = (cycles(loop.format(mask=mask), M7, tmp_path) for mask in (0x80000000, 1))

    assert 40 * 8 < changing - steady <= 100 * 8 + 100


@pytest.mark.parametrize("name", [M0, M4, M7])
def test_counts_do_not_depend_on_where_a_run_is_interrupted(name: str, tmp_path: Path) -> None:
    """The host looks for output now and then: that must not be seen in the counts."""
    code = "movs r0, #200\n1: movs r1, #3\n2: subs r1, #1\nbne 2b\npush {r0}\npop {r2}\nsubs r0, #1\nbne 1b"
    totals = set()

    for slice_cycles in (13, 100, 1_000_000):
        with start(code, name, tmp_path) as chip:
            while not chip.advance(slice_cycles):
                pass
            totals.add((chip.instructions, chip.cycles))

    assert len(totals) == 1
    assert board(name).core.startswith("cortex-m")
