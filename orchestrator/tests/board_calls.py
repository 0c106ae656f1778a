# SPDX-License-Identifier: Apache-2.0
"""Calls the C kernels on a virtual board: what ctypes is to this machine."""

from __future__ import annotations

import atexit
import ctypes
import functools
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from numpy.typing import NDArray

from kilograd import paths
from kilograd.build import build_firmware
from kilograd.engines.builtin import BuiltinEngine
from kilograd.platforms.board import load_board

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilograd.platforms.board import Board

Bytes = NDArray[np.uint8]

ARGUMENTS = 12
PROBE = paths.share() / "firmware" / "tests" / "call_probe.c"
OPS = paths.share() / "firmware" / "ops"
DEFINITION = re.compile(r"^(?:void|int32_t|size_t|float) (kg_\w+)\(", re.MULTILINE)


class BoardCalls:
    """The kernels of one core on a virtual board."""

    def __init__(self, board: Board, suffix: str) -> None:
        self.names = sorted(
            name
            for dtype in ("u8", "f32")
            for file in OPS.glob(f"*_{dtype}{suffix}.c")
            for name in DEFINITION.findall(file.read_text(encoding="utf-8"))
        )
        with tempfile.TemporaryDirectory() as folder:
            elf = build_firmware([self._table(Path(folder))], board, Path(folder) / "out", app=PROBE)
            with elf.open("rb") as stream:
                symbols = ELFFile(stream).get_section_by_name(".symtab")
                (memory,) = symbols.get_symbol_by_name("kg_probe_memory")
                self._memory, self._room = memory["st_value"], memory["st_size"]
            self._engine = BuiltinEngine(elf, board, ideal_memory=True)
        self._image = b""
        atexit.register(self._engine.close)

    def _table(self, folder: Path) -> Path:
        """Write the table of functions; their real types do not matter to it."""
        lines = [f"int {name}(void);" for name in self.names]
        entries = ", ".join(self.names)
        table = folder / "functions.c"
        text = "\n".join([*lines, f"int (*const kg_probe_functions[])(void) = {{{entries}}};", ""])
        table.write_text("extern int (*const kg_probe_functions[])(void);\n" + text, encoding="utf-8")
        return table

    def call(self, name: str, arguments: Sequence[object]) -> int:
        """
        Call a function and return its int32.

        Args:
            name: one of `names`.
            arguments: whole numbers, None, structures, and arrays, which the function may change; one given
                twice is one array. (array, offset) is the address of a byte inside of one.

        """
        words: list[int] = []
        placed: dict[int, tuple[int, Bytes]] = {}
        end = 0
        for argument in arguments:
            if argument is None or isinstance(argument, int):
                words.append(argument or 0)
                continue
            array, offset = argument if isinstance(argument, tuple) else (argument, 0)
            if id(array) not in placed:
                view = _bytes(array)
                placed[id(array)] = end, view
                if end + view.size > self._room:
                    pytest.skip("the arrays are too large for the board")
                self._send(end, view.tobytes())
                end += (view.size + 7) // 8 * 8
            words.append(self._memory + placed[id(array)][0] + offset)
        words += [0] * (ARGUMENTS - len(words))
        self._engine.write(b"c" + _words(self.names.index(name), *words))
        result = b""
        while len(result) < 4:
            result += self._engine.read()
        self._image = self._engine.memory(self._memory, end)
        for start, view in placed.values():
            if view.flags.writeable:
                view[...] = np.frombuffer(self._image, np.uint8, view.size, start)
        return int.from_bytes(result, "little", signed=True)

    def _send(self, start: int, data: bytes) -> None:
        """Write to the memory of functions what is not there from the last call."""
        if self._image[start : start + len(data)] != data:
            self._engine.write(b"w" + _words(start, len(data)) + data)


def _words(*numbers: int) -> bytes:
    return b"".join((number & 0xFFFFFFFF).to_bytes(4, "little") for number in numbers)


def _bytes(argument: object) -> Bytes:
    """Return the memory of an array or structure."""
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        return argument.reshape(-1).view(np.uint8)
    assert isinstance(argument, ctypes.Array | ctypes.Structure)
    return np.frombuffer(argument, np.uint8)


@functools.cache
def board_calls(board: str, suffix: str) -> BoardCalls:
    """Return the kernels with a suffix on a board, built once for a run of the tests."""
    return BoardCalls(load_board(board), suffix)
