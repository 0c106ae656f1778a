# SPDX-License-Identifier: Apache-2.0
"""The cycle model as a whole: against llvm-mca on straight code, and against what silicon is published to do."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from chip.programs import FPU_ON, board, start
from kilograd import bench_engine, elf
from kilograd.engines.builtin import BuiltinEngine

M0, M4, M7 = "rp2040", "nrf52840", "imxrt1062"
MCA = next(filter(None, map(shutil.which, ("llvm-mca", "llvm-mca-14", "llvm-mca-15", "llvm-mca-16"))), None)
needs_mca = pytest.mark.skipif(MCA is None, reason="llvm-mca is not installed: apt-get install llvm")
READY = FPU_ON + "movs r1, #1\nmovs r2, #3\nb 1f\n.ltorg\n.balign 16\n1:\n"

INTEGER = {
    "independent sums": "add.w r0, r1, r2\nadd.w r3, r4, r5\nadd.w r6, r1, r4\nadd.w r7, r2, r5",
    "a chain of sums": "add.w r0, r0, r1\nadd.w r0, r0, r2\nadd.w r0, r0, r3\nadd.w r0, r0, r4",
    "shifted operands": "add.w r0, r1, r2, lsl #2\nadd.w r3, r4, r5, lsl #3\neor.w r6, r1, r2, lsr #1",
    "loads": "ldr.w r0, [sp]\nldr.w r1, [sp, #4]\nldr.w r2, [sp, #8]\nldr.w r3, [sp, #12]",
    "stores": "str.w r0, [sp]\nstr.w r1, [sp, #4]\nstr.w r2, [sp, #8]\nstr.w r3, [sp, #12]",
    "loads and sums": "ldr.w r0, [sp]\nadd.w r4, r4, r0\nldr.w r1, [sp, #4]\nadd.w r5, r5, r1",
    "products and sums": "mul r0, r1, r2\nadd.w r3, r4, r5\nmul r6, r1, r4\nadd.w r7, r2, r5",
    "bit fields": "ubfx r0, r1, #3, #5\nadd.w r2, r3, r4\nuxtb.w r5, r6\nadd.w r7, r3, r4",
}
M7_ONLY = {
    "loads and stores": "ldr.w r0, [sp]\nstr.w r1, [sp, #4]\nldr.w r2, [sp, #8]\nstr.w r3, [sp, #12]",
    "bytes and sums": "ldrb.w r0, [sp]\nldrb.w r1, [sp, #4]\nadd.w r4, r4, r0\nadd.w r5, r5, r1",
    "a chain of products": "mul r0, r0, r1\nmul r0, r0, r2",
    "multiply-accumulate": "mla r0, r1, r2, r0\nmla r0, r3, r4, r0\nmla r0, r5, r6, r0\nmla r0, r7, r1, r0",
    "long products": "smull r0, r1, r2, r3\numull r4, r5, r6, r7",
    "a dot product": "ldr.w r0, [sp]\nldr.w r1, [sp, #4]\nsmlad r4, r0, r1, r4\nldr.w r2, [sp, #8]\n"
    "ldr.w r3, [sp, #12]\nsmlad r5, r2, r3, r5",
    "a chain of float sums": "vadd.f32 s0, s0, s1\nvadd.f32 s0, s0, s2",
    "float products": "vmul.f32 s0, s1, s2\nvmul.f32 s3, s4, s5\nvadd.f32 s6, s0, s3\nvadd.f32 s7, s6, s3",
    "float accumulation": "vfma.f32 s0, s1, s2\nvfma.f32 s0, s4, s5",
}
# Where the tables follow measurements rather than LLVM: SMLAD issues beside a sum; VLDR feeds a sum one cycle earlier;
# nothing issues beside a division.
M7_OTHERWISE = {
    "dual products": "smlad r0, r1, r2, r0\nsmlad r3, r4, r5, r3\nadd.w r6, r6, #1\nadd.w r7, r7, #1",
    "float loads": "vldr s0, [sp]\nvldr s1, [sp, #4]\nvadd.f32 s4, s4, s0\nvadd.f32 s5, s5, s1",
    "division": "udiv r0, r1, r2\nadd.w r3, r4, r5",
}


def mca_cycles(code: str, core: str) -> float:
    """Return the cycles of one round of a kernel in steady state, by LLVM."""
    totals = []
    for rounds in (100, 200):
        command = [str(MCA), "-mtriple=thumbv7em-none-eabihf", f"-mcpu={core}", f"-iterations={rounds}"]
        out = subprocess.run(command, input=code, capture_output=True, text=True, check=True).stdout
        found = re.search(r"Total Cycles:\s+(\d+)", out)
        assert found, out
        totals.append(int(found[1]))
    return (totals[1] - totals[0]) / 100


def own_cycles(code: str, name: str, folder: Path) -> float:
    """Return the same by the virtual chip."""
    totals = []
    for rounds in (100, 200):
        with start(f"{READY}.rept {rounds}\n{code}\n.endr", name, folder) as chip:
            assert "has halted" in chip.advance(1_000_000)
            totals.append(chip.cycles)
    return (totals[1] - totals[0]) / 100


def mean_error(ratios: list[float]) -> float:
    """Return the geometric mean of how far ratios are from 1."""
    return math.exp(sum(abs(math.log(ratio)) for ratio in ratios) / len(ratios)) - 1


@needs_mca
@pytest.mark.parametrize(("name", "core"), [(M4, "cortex-m4"), (M7, "cortex-m7")])
@pytest.mark.parametrize("kernel", INTEGER)
def test_straight_code_takes_what_llvm_says(kernel: str, name: str, core: str, tmp_path: Path) -> None:
    """LLVM's model of the M4 leaves out what the manual says of floats, stores behind loads and MLA: see its manual."""
    assert mca_cycles(INTEGER[kernel], core) == own_cycles(INTEGER[kernel], name, tmp_path)


@needs_mca
@pytest.mark.parametrize("kernel", M7_ONLY)
def test_the_m7_takes_what_llvm_says(kernel: str, tmp_path: Path) -> None:
    """For the M7, LLVM's model is one of the two documents behind the table."""
    assert mca_cycles(M7_ONLY[kernel], "cortex-m7") == own_cycles(M7_ONLY[kernel], M7, tmp_path)


@needs_mca
def test_where_the_m7_is_not_as_llvm_says_it_is_near(tmp_path: Path) -> None:
    """The differences are those that measurements on silicon show."""
    ratios = [own_cycles(code, M7, tmp_path) / mca_cycles(code, "cortex-m7") for code in M7_OTHERWISE.values()]

    assert ratios == [pytest.approx(2 / 3), pytest.approx(3 / 4), pytest.approx(8 / 7)]
    assert mean_error([*ratios, *(1.0 for _ in (*INTEGER, *M7_ONLY))]) < 0.05


@cache
def rounds_per_megacycle(name: str, optimise: str, folder: Path, *, ideal_memory: bool = True) -> float:
    """Return the speed of the mixed program: its steady state, after eight rounds of start."""
    program = bench_engine.build(board(name), folder, Path(__file__).parent / "chip" / "mixed.c", optimise)
    done = elf.symbol(program, "mixed_rounds").address
    with BuiltinEngine(program, board(name), ideal_memory=ideal_memory) as chip:
        marks = []
        for rounds in (8, 48):
            while int.from_bytes(chip.memory(done, 4), "little") < rounds:
                chip.advance(100)
            marks.append(chip.cycles)
    return 40 / (marks[1] - marks[0]) * 1e6


# CoreMark per MHz as Arm publishes it, compiled with armclang: M0+ 2.46, M4 3.42, M7 5.01.
@pytest.mark.parametrize("optimise", ["-O2", "-O3"])
@pytest.mark.parametrize(("faster", "slower", "published"), [(M4, M0, 3.42 / 2.46), (M7, M4, 5.01 / 3.42)])
def test_cores_differ_by_what_silicon_is_published_to_do(
    faster: str, slower: str, published: float, optimise: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A program with the mix of CoreMark, by another compiler (gcc): only ratios can be compared."""
    folder = tmp_path_factory.getbasetemp()

    ratio = rounds_per_megacycle(faster, optimise, folder) / rounds_per_megacycle(slower, optimise, folder)

    assert published == pytest.approx(ratio, rel=0.08)


def test_the_mean_error_of_the_ratios_is_within_five_per_cent(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the README says of the error."""
    folder = tmp_path_factory.getbasetemp()
    speeds = {
        (name, optimise): rounds_per_megacycle(name, optimise, folder)
        for name in (M0, M4, M7)
        for optimise in ("-O2", "-O3")
    }
    published = {M0: 2.46, M4: 3.42, M7: 5.01}
    ratios = [
        speeds[faster, optimise] / speeds[slower, optimise] / (published[faster] / published[slower])
        for faster, slower in ((M4, M0), (M7, M4))
        for optimise in ("-O2", "-O3")
    ]

    assert mean_error(ratios) < 0.05


def test_cached_flash_costs_little(tmp_path: Path) -> None:
    """The nRF52840's data sheet has 3.3 CoreMark per MHz from cached flash, of the M4's 3.42: at most 4 % are lost."""
    ideal, flash = (rounds_per_megacycle(M4, "-O3", tmp_path, ideal_memory=ideal) for ideal in (True, False))

    assert 0.96 <= flash / ideal <= 1
