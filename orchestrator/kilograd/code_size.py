# SPDX-License-Identifier: Apache-2.0
"""Bytes of code that a function and all that it calls take, read from the branches of a firmware's ELF."""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import TYPE_CHECKING

from kilograd import elf as elf_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kilograd.elf import Symbol


class CodeSize:
    """The functions of one firmware, with their sizes and calls."""

    def __init__(self, elf: Path) -> None:
        """Read the symbols of an ELF."""
        found = {symbol.address: symbol for symbol in elf_file.functions(elf) if symbol.size}
        self._functions = [found[address] for address in sorted(found)]
        self._starts = [symbol.address for symbol in self._functions]
        self._named = {symbol.name: symbol for symbol in elf_file.functions(elf)}
        self._elf = elf

    def of(self, *names: str) -> int:
        """Return the bytes of some functions together with all that they call, each counted once."""
        known, waiting = set[int](), [self._named[name].address for name in names]
        while waiting:
            address = waiting.pop()
            if address not in known:
                known.add(address)
                waiting += self._calls(self._at(address))
        return sum(self._at(address).size for address in known)

    def _at(self, address: int) -> Symbol:
        return self._functions[bisect_right(self._starts, address) - 1]

    def _calls(self, function: Symbol) -> Iterator[int]:
        """Give the starts of the functions that one branches to, with or without coming back."""
        for target in branch_targets(elf_file.code(self._elf, function), function.address):
            if not function.address <= target < function.address + function.size:
                yield self._at(target).address


def branch_targets(code: bytes, address: int) -> Iterator[int]:
    """
    Give the targets of BL and B.W in Thumb code that lies at an address.

    Constants between the code are read as code, too: that one looks like a branch to a function is unlikely.
    """
    halves = struct.unpack(f"<{len(code) // 2}H", code[: len(code) // 2 * 2])
    at = 0
    while at < len(halves):
        first = halves[at]
        wide = first >> 11 in {0b11101, 0b11110, 0b11111}
        if first >> 11 == 0b11110 and at + 1 < len(halves) and halves[at + 1] & 0x9000 == 0x9000:  # noqa: PLR2004
            yield address + 2 * at + 4 + _offset(first, halves[at + 1])
        at += 2 if wide else 1


def _offset(first: int, second: int) -> int:
    """Return how far BL or B.W (encoding T4) branches."""
    sign = first >> 10 & 1
    j1, j2 = second >> 13 & 1, second >> 11 & 1
    bits = (
        sign << 24 | (1 - (j1 ^ sign)) << 23 | (1 - (j2 ^ sign)) << 22 | (first & 0x3FF) << 12 | (second & 0x7FF) << 1
    )
    return bits - (sign << 25)
