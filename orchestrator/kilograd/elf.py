# SPDX-License-Identifier: Apache-2.0
"""Reads a firmware's ELF: where its memory goes, and its symbols."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from elftools.common.exceptions import ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from elftools.elf.sections import Section

    from kilograd.platforms.board import Board, Memory


PAGE = 4096
"""The virtual chip treats memory by pages of this size."""


@dataclass(frozen=True)
class RamUse:
    """Bytes of RAM by segment; `limit` is what the board has."""

    features: int
    trained: int
    """Trained weights and their gradient buffers."""
    stack_reserved: int
    code: int
    """Instructions that were copied there."""
    other: int
    total: int
    limit: int


@dataclass(frozen=True)
class FlashUse:
    """Bytes of flash by segment; `limit` is what the board has."""

    weights: int
    """Weights that stay, and the first values of those that are trained."""
    code: int
    """All else: instructions, constants, vectors, and the room for the boot loader before them."""
    total: int
    limit: int


@dataclass(frozen=True)
class MemoryUse:
    """What a firmware takes of a board's memories."""

    ram: RamUse
    flash: FlashUse


@dataclass(frozen=True)
class Symbol:
    """A function or object of the firmware."""

    name: str
    address: int
    size: int
    section: str
    function: bool


def memory_use(elf: Path, board: Board) -> MemoryUse:
    """Return the memory use of a firmware, from its section headers; gaps between sections count as other and code."""
    sizes, loads = _sections(elf)
    features = sizes.get(".kg_features", 0)
    trained = sizes.get(".kg_trained", 0) + sizes.get(".kg_gradients", 0)
    stack = sizes.get(".stack", 0)
    hot = sizes.get(".kg_code", 0)
    ram = sum(_used(loads, memory) for memory in board.ram_used)
    weights = sizes.get(".kg_weights", 0) + sizes.get(".kg_trained", 0)
    flash = _used(loads, board.flash)
    return MemoryUse(
        RamUse(features, trained, stack, hot, ram - features - trained - stack - hot, ram, board.ram_bytes),
        FlashUse(weights, flash - weights, flash, board.flash.size),
    )


def data_pages(elf: Path, memory: Memory) -> list[tuple[int, int]]:
    """Return the ranges (first, end) of a memory's pages on which a firmware has data, but no code."""
    pages: dict[int, bool] = {}
    with elf.open("rb") as stream:
        for section in _open(stream, elf).iter_sections():
            flags, first, size = section["sh_flags"], section["sh_addr"], section["sh_size"]
            if flags & SH_FLAGS.SHF_ALLOC and size > 0 and memory.base <= first < memory.end:
                code = bool(flags & SH_FLAGS.SHF_EXECINSTR)
                for page in range(first // PAGE, (first + size - 1) // PAGE + 1):
                    pages[page] = pages.get(page, False) or code
    ranges: list[tuple[int, int]] = []
    for page in sorted(page for page, code in pages.items() if not code):
        if ranges and ranges[-1][1] == page * PAGE:
            ranges[-1] = (ranges[-1][0], (page + 1) * PAGE)
        else:
            ranges.append((page * PAGE, (page + 1) * PAGE))
    return ranges


def code_pages(elf: Path, memory: Memory) -> tuple[int, int] | None:
    """Return the range (first, end) of a memory's pages that hold code of a firmware, if any do."""
    found: list[int] = []
    with elf.open("rb") as stream:
        for section in _open(stream, elf).iter_sections():
            first, size = section["sh_addr"], section["sh_size"]
            if section["sh_flags"] & SH_FLAGS.SHF_EXECINSTR and size > 0 and memory.base <= first < memory.end:
                found += [first // PAGE * PAGE, -(-(first + size) // PAGE) * PAGE]
    return (min(found), max(found)) if found else None


def section_range(elf: Path, name: str) -> tuple[int, int]:
    """Return the range (first, end) of a section; an empty one where there is none."""
    with elf.open("rb") as stream:
        section = _open(stream, elf).get_section_by_name(name)
        return (0, 0) if section is None else (section["sh_addr"], section["sh_addr"] + section["sh_size"])


def symbols(elf: Path) -> tuple[Symbol, ...]:
    """Return all functions and objects, by address; addresses of functions without the Thumb bit."""
    with elf.open("rb") as stream:
        file = _open(stream, elf)
        table = file.get_section_by_name(".symtab")
        if not isinstance(table, SymbolTableSection):
            message = f"{elf} has no symbols"
            raise KilogradError(message, "kilograd needs the ELF as it was built, not a stripped one")
        found = []
        for entry in table.iter_symbols():
            kind, index = entry["st_info"]["type"], entry["st_shndx"]
            if not entry.name or not isinstance(index, int) or kind not in {"STT_FUNC", "STT_OBJECT", "STT_NOTYPE"}:
                continue
            address = entry["st_value"] & ~1 if kind == "STT_FUNC" else entry["st_value"]
            section = file.get_section(index).name
            found.append(Symbol(entry.name, address, entry["st_size"], section, kind == "STT_FUNC"))
    return tuple(sorted(found, key=lambda symbol: (symbol.address, symbol.name)))


def code(elf: Path, function: Symbol) -> bytes:
    """Return the bytes of a function, with the constants between its instructions."""
    with elf.open("rb") as stream:
        section = cast("Section", _open(stream, elf).get_section_by_name(function.section))
        start = function.address - section["sh_addr"]
        return bytes(section.data()[start : start + function.size])


def functions(elf: Path) -> tuple[Symbol, ...]:
    """Return the functions, by address."""
    return tuple(found for found in symbols(elf) if found.function)


def symbol(elf: Path, name: str) -> Symbol:
    """Return one symbol by its name."""
    for found in symbols(elf):
        if found.name == name:
            return found
    message = f"{elf} has no symbol {name}"
    raise KilogradError(message)


def largest_symbols(elf: Path, count: int) -> tuple[Symbol, ...]:
    """Return the symbols that take the most bytes, the largest first."""
    return tuple(sorted(symbols(elf), key=lambda symbol: (-symbol.size, symbol.name))[:count])


def _open(stream: BinaryIO, elf: Path) -> ELFFile:
    try:
        return ELFFile(stream)
    except ELFError as error:
        message = f"{elf} is not an ELF file: {error}"
        raise KilogradError(message) from error


def _sections(elf: Path) -> tuple[dict[str, int], list[tuple[int, int]]]:
    """Return the sizes of the sections in memory, and the ranges (first, end) of RAM and flash that are taken."""
    sizes: dict[str, int] = {}
    ranges: list[tuple[int, int]] = []
    with elf.open("rb") as stream:
        file = _open(stream, elf)
        for section in file.iter_sections():
            if section["sh_flags"] & SH_FLAGS.SHF_ALLOC and section["sh_size"] > 0:
                sizes[section.name] = section["sh_size"]
                ranges.append((section["sh_addr"], section["sh_addr"] + section["sh_size"]))
        ranges.extend(_load_ranges(file))
    return sizes, ranges


def _load_ranges(file: ELFFile) -> Iterator[tuple[int, int]]:
    """Give the ranges of loaded bytes at their load addresses: initialised RAM lies in flash, too."""
    for segment in file.iter_segments("PT_LOAD"):
        if segment["p_filesz"] > 0:
            yield segment["p_paddr"], segment["p_paddr"] + segment["p_filesz"]


def _used(ranges: list[tuple[int, int]], memory: Memory) -> int:
    """Return how far a memory is filled from its start."""
    ends = [end for first, end in ranges if memory.base <= first < memory.end]
    return max(ends, default=memory.base) - memory.base
