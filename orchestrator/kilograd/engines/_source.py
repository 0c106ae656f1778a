# SPDX-License-Identifier: Apache-2.0
"""Names the place of an address in a firmware: function, source file and line (DWARF)."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

from elftools.elf.elffile import ELFFile

from kilograd import elf as elf_file

if TYPE_CHECKING:
    from pathlib import Path

    from elftools.dwarf.dwarfinfo import DWARFInfo


def describe(elf: Path, address: int) -> str:
    """Return `function+0x12 (file.c:34)`, with what is known of it."""
    place = address & ~1
    line = _line(elf, place)
    name = _function(elf, place) or f"{place:#010x}"
    return f"{name} ({line})" if line else name


def _function(elf: Path, address: int) -> str:
    symbols = [symbol for symbol in elf_file.symbols(elf) if not symbol.name.startswith("$")]
    index = bisect.bisect_right([symbol.address for symbol in symbols], address)
    for symbol in reversed(symbols[:index]):
        if address < symbol.address + symbol.size:
            offset = address - symbol.address
            return f"{symbol.name}+{offset:#x}" if offset else symbol.name
    return ""


def _line(elf: Path, address: int) -> str:
    with elf.open("rb") as stream:
        file = ELFFile(stream)
        return _dwarf_line(file.get_dwarf_info(), address) if file.has_dwarf_info() else ""


def _dwarf_line(dwarf: DWARFInfo, address: int) -> str:
    """
    Search all line programs: the row before the first row behind the address is its place.

    Functions that the linker dropped have their rows too, from address 0 on, where no firmware has code.
    """
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        before, dropped = None, False
        for entry in program.get_entries() if program else ():
            row = entry.state
            if row is None:
                continue
            if before is None:
                dropped = row.address == 0
            elif before.address <= address < row.address and not dropped:
                return _file_and_line(program, before)
            before = None if row.end_sequence else row
    return ""


def _file_and_line(program, row) -> str:  # type: ignore[no-untyped-def] # noqa: ANN001 - pyelftools has no types
    header = program.header
    first = 0 if header["version"] >= 5 else 1  # noqa: PLR2004 - DWARF 5 numbers files from 0
    return f"{header['file_entry'][row.file - first].name.decode(errors='replace')}:{row.line}"
