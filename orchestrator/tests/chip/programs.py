# SPDX-License-Identifier: Apache-2.0
"""Builds small bare-metal programs for the virtual chip."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest

from kilograd import toolchain, tools
from kilograd.engines.builtin import BuiltinEngine
from kilograd.errors import KilogradError
from kilograd.platforms.board import Board, load_board

if TYPE_CHECKING:
    from pathlib import Path

# Vectors, then the code of a test; a barrier ends its last block. It runs into `stop`, and so does a fault.
FRAME = """
    .syntax unified
    .thumb
    .text
    .word {stack}
    .word reset + 1
    .word 0
    .word fault + 1
    .balign 16
    .type reset, %function
    .thumb_func
    .global reset
reset:
{code}
    isb
    .type stop, %function
    .thumb_func
stop:
    b .
    .type fault, %function
    .thumb_func
fault:
    b .
    .balign 4
    .ltorg
"""


HOT = 0x4000
"""Where in RAM the section .hot lies: code."""

TENSORS = 0x20200000
"""Where the section .tensors lies: in the OCRAM of the i.MX RT1062."""

FPU_ON = "ldr r0, =0xE000ED88\nldr r1, =0xF00000\nstr r1, [r0]\ndsb\nisb\n"


@cache
def board(name: str) -> Board:
    """Return a board."""
    return load_board(name)


def assemble(code: str, name: str, folder: Path) -> Path:
    """Return the ELF of a piece of assembly for a board: it runs from reset and falls into `stop`."""
    where = board(name)
    source = folder / "program.s"
    stack = where.ram.base + where.stack_bytes
    source.write_text(FRAME.format(stack=hex(stack), code=code), encoding="utf-8")
    elf = folder / "program.elf"
    flags = ["-g", "-nostdlib", "-Wl,--entry=reset", f"-Wl,-Ttext={where.vector_table:#x}"]
    flags += [f"-Wl,--section-start=.hot={where.ram.base + HOT:#x}", f"-Wl,--section-start=.tensors={TENSORS:#x}"]
    command = [*toolchain.arm_compiler().command, *where.compile_flags, *flags, source, "-o", elf]
    tools.run(command, what="assembling a test program")
    return elf


def start(code: str, name: str, folder: Path, *, ideal_memory: bool = True) -> BuiltinEngine:
    """Return a chip at reset with a piece of assembly."""
    return BuiltinEngine(assemble(code, name, folder), board(name), ideal_memory=ideal_memory)


def count(code: str, name: str, folder: Path) -> tuple[int, int]:
    """Return the instructions and cycles of a piece of assembly, without the barrier behind it."""
    with start(code, name, folder) as chip, start("", name, folder) as empty:
        assert "has halted" in chip.advance(10_000_000)
        assert "has halted" in empty.advance(10_000_000)
        return chip.instructions - empty.instructions, chip.cycles - empty.cycles


def waits(code: str, name: str, folder: Path) -> int:
    """Return the cycles that a piece of assembly waits for memories, from reset on."""
    cycles = []
    for ideal_memory in (False, True):
        with start(code, name, folder, ideal_memory=ideal_memory) as chip:
            assert "has halted" in chip.advance(100_000_000)
            cycles.append(chip.cycles)
    return cycles[0] - cycles[1]


def ram(chip: BuiltinEngine, offset: int, name: str) -> int:
    """Return a word of a board's RAM."""
    return int.from_bytes(chip.memory(board(name).ram.base + offset, 4), "little")


def fault(code: str, name: str, folder: Path) -> KilogradError:
    """Return the error with which a program ends."""
    with start(code, name, folder) as chip, pytest.raises(KilogradError) as caught:
        chip.read()
    return caught.value
