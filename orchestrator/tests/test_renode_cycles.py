# SPDX-License-Identifier: Apache-2.0
"""The cycle counter for Renode, compiled and run by mono over blocks that the virtual chip ran."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from chip.programs import board, start
from kilograd.errors import KilogradError
from kilograd.platforms.renode_cycles import counter, with_tables

STAND_IN = Path(__file__).parent / "renode" / "stand_in.cs"
CODE_BYTES = 512
MCS, MONO = shutil.which("mcs"), shutil.which("mono")
# Loops, a call, lists, multiplication, status and barrier: each class that costs more than a cycle, but WFI.
PROGRAM = f"""
ldr r7, ={board("rp2040").ram.base + 0x1000:#x}
movs r0, #20
1: bl 2f
muls r1, r0
str r1, [r7]
strb r1, [r7, #4]
ldr r2, [r7]
ldrh r3, [r7, #4]
mov r4, r7
stm r4!, {{r1, r2, r3}}
mov r4, r7
ldm r4!, {{r1, r2}}
mrs r5, primask
dmb
subs r0, #1
bne 1b
b 3f
2: push {{r4-r6, lr}}
cmp r0, #10
beq 4f
nop
4: pop {{r4-r6, pc}}
3: ldr r6, =5f + 1
blx r6
b 6f
5: bx lr
6: nop
"""


def test_the_tables_are_those_of_the_core() -> None:
    """A change of emulation/timing must reach the counter."""
    text = counter().read_text(encoding="utf-8")

    assert with_tables(text) == text, "run: python -m kilograd.platforms.renode_cycles"


def test_a_core_that_needs_a_pipeline_is_refused() -> None:
    """Sums of costs would be wrong for it."""
    with pytest.raises(KilogradError, match=r"cannot time cortex-m4: divide.* asks for a pipeline"):
        with_tables("", "cortex-m4")


@pytest.mark.skipif(not (MCS and MONO), reason="mono is missing: apt install mono-mcs")
def test_it_counts_the_cycles_of_the_virtual_chip(tmp_path: Path) -> None:
    """The same blocks in another program and language: the same instructions, the same cycles."""
    program = tmp_path / "counter.exe"
    command = [str(MCS), "-langversion:7.2", "-warnaserror", f"-out:{program}", str(counter()), str(STAND_IN)]
    subprocess.run(command, check=True)
    with start(PROGRAM, "rp2040", tmp_path) as chip:
        chip.start_trace(1000)
        assert "has halted" in chip.advance(100_000)
        blocks = chip.trace()
        base = board("rp2040").vector_table
        code = chip.memory(base, CODE_BYTES)
        expected = f"{chip.cycles} {chip.instructions}"
    lines = [f"code {base + at} {int.from_bytes(code[at : at + 2], 'little')}" for at in range(0, CODE_BYTES, 2)]
    lines += [f"block {ran.address} {ran.instructions}" for ran in blocks]

    said = subprocess.run([str(MONO), str(program)], input="\n".join(lines), capture_output=True, text=True, check=True)

    assert len(blocks) > 50
    assert said.stdout.split("\n")[:2] == [expected, "0 0"]
