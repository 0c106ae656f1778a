# SPDX-License-Identifier: Apache-2.0
"""Measures how many instructions a second the virtual chip runs, counting cycles all the while."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilograd import paths, toolchain, tools
from kilograd.engines.builtin import BuiltinEngine
from kilograd.platforms.board import load_board

if TYPE_CHECKING:
    from kilograd.platforms.board import Board

INSTRUCTIONS = 1_000_000_000
CHUNK_CYCLES = 10_000_000


def bench(board: str = "nrf52840", instructions: int = INSTRUCTIONS) -> dict[str, Any]:
    """Run a convolution and a CRC for so many instructions, and return the speed: without, and with timed memories."""
    chosen = load_board(board)
    with tempfile.TemporaryDirectory() as folder:
        elf = build(chosen, Path(folder))
        ideal, timed = (_measure(elf, chosen, instructions, ideal_memory=ideal) for ideal in (True, False))
    return {
        "schema": 2,
        "engine": BuiltinEngine.name,
        "board": chosen.name,
        **ideal,
        **{f"{key}_with_memory": value for key, value in timed.items()},
    }


def _measure(elf: Path, board: Board, instructions: int, *, ideal_memory: bool) -> dict[str, Any]:
    """Return counts and speed; the first chunk is warm-up. Time is the processor's: other programs do not count."""
    with BuiltinEngine(elf, board, ideal_memory=ideal_memory) as engine:
        engine.advance(CHUNK_CYCLES)
        first, first_cycles, start = engine.instructions, engine.cycles, time.process_time()
        while engine.instructions - first < instructions:
            engine.advance(CHUNK_CYCLES)
        seconds = time.process_time() - start
        ran, cycles = engine.instructions - first, engine.cycles - first_cycles
    return {"mips": round(ran / seconds / 1e6, 1), "instructions": ran, "cycles": cycles, "seconds": round(seconds, 3)}


def build(board: Board, folder: Path, source: Path | None = None, optimise: str = "-O2") -> Path:
    """Return the ELF of one C file that runs without any firmware; without a file, the kernel of the benchmark."""
    compiler = toolchain.arm_compiler()
    registers = {lines.on_register: 0 for lines in board.lines.values() if lines.on_register}
    for lines in board.lines.values():
        if lines.on_register:
            registers[lines.on_register] |= lines.on_mask
    elf = folder / "kernel.elf"
    command: list[str | Path] = [
        *compiler.command,
        *toolchain.core_flags(compiler, board),
        *(optimise, "-std=c11", "-ffreestanding", "-nostdlib", "-Wl,--entry=reset"),
        f"-DSWITCHES={','.join(f'{{{register:#x}u,{mask:#x}u}}' for register, mask in registers.items())}",
        f"-DSTACK_TOP={board.ram.base + board.stack_bytes:#x}u",
        f"-Wl,--section-start=.vectors={board.vector_table:#x}",
        f"-Wl,-Ttext={board.vector_table + 0x100:#x}",
        f"-Wl,-Tdata={board.ram.base + board.stack_bytes:#x}",
        source or paths.share() / "emulation" / "chip" / "bench" / "kernel.c",
        *("-lgcc", "-o", elf),
    ]
    tools.run(command, what="compiling the benchmark")
    return elf
