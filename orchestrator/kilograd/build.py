# SPDX-License-Identifier: Apache-2.0
"""Compiles generated tables and the firmware: for a board, as the host twin, or as a library of its kernels."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from kilograd import __version__, paths, toolchain, tools
from kilograd.errors import CheckFailedError, KilogradError
from kilograd.images import seal_boot_block
from kilograd.platforms.board import uart_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from kilograd.platforms.board import Board, Memory

TWIN_BUFFER_BYTES = 1 << 20
STAMP = "configured.txt"

# What ld and lld say of a memory that is too small.
_OVERFLOW = re.compile(r"region [`'](\w+)'(?: overflowed by |: overflowed by )(\d+) bytes")

Settings = dict[str, "Sequence[str | Path]"]


class TooLargeError(CheckFailedError):
    """The linker found the board too small; `needed` has the bytes that "RAM" or "flash" would need."""

    def __init__(self, board: Board, needed: Mapping[str, int]) -> None:
        available = {name: memory.size for name, memory in _regions(board).values()}
        parts = (f"{name}: {size:,} bytes needed, {available[name]:,} available" for name, size in needed.items())
        message = f"the model is too large for {board.name}: {'; '.join(parts)}"
        super().__init__(message, "train fewer layers, choose a smaller model, or another board")
        self.needed = needed


def build_firmware(sources: Sequence[Path], board: Board, out: Path, *, app: Path | None = None) -> Path:
    """
    Return the ELF of the firmware with generated sources, built for a board in the folder `out`.

    Args:
        sources: the generated C files.
        board: what to build for.
        out: a folder for this one build; a later build there compiles only what changed.
        app: the C file with `main`; without it, firmware/app/main.c.

    """
    compiler = toolchain.arm_compiler()
    out.mkdir(parents=True, exist_ok=True)
    script = out / "linker.ld"
    _write(script, linker_script(board))
    flags = toolchain.core_flags(compiler, board)
    settings: Settings = {
        "KILOGRAD_SOURCES": [*sources, app or _firmware() / "app" / "main.c"],
        "KILOGRAD_DEFINITIONS": [*_common_definitions(), *_board_definitions(board)],
        "KILOGRAD_PREFIX_MAP": _prefix_map(sources, out),
        "KILOGRAD_CORE": [board.core],
        "KILOGRAD_PORT": [board.port],
        "KILOGRAD_CORE_FLAGS": flags,
        "KILOGRAD_LINKER_SCRIPT": [script],
    }
    try:
        _build("board", settings, compiler, out, what=f"building the firmware for {board.name}")
    except KilogradError as error:
        raise _explain_overflow(error, board) from error
    seal_boot_block(out / "firmware.elf", board)
    return out / "firmware.elf"


def build_twin(sources: Sequence[Path], out: Path) -> Path:
    """Return the host twin: the firmware with generated sources as a program for this machine."""
    settings: Settings = {
        "KILOGRAD_SOURCES": [*sources, _firmware() / "app" / "main.c"],
        "KILOGRAD_DEFINITIONS": [*_common_definitions(), f"KG_LINK_BUFFER_BYTES={TWIN_BUFFER_BYTES}"],
        "KILOGRAD_PREFIX_MAP": _prefix_map(sources, out),
    }
    _build("twin", settings, toolchain.host_compiler(), out, what="building the host twin")
    return out / "kilograd_twin"


def build_kernels(out: Path) -> Path:
    """Return firmware/ops and firmware/runtime as a shared library for this machine."""
    settings: Settings = {
        "KILOGRAD_SOURCES": [],
        "KILOGRAD_DEFINITIONS": _common_definitions(),
        "KILOGRAD_PREFIX_MAP": _prefix_map([], out),
    }
    _build("kernels", settings, toolchain.host_compiler(), out, what="building the kernels")
    return out / "libkilograd_kernels.so"


def linker_script(board: Board) -> str:
    """Return the linker script for a board."""
    environment = Environment(
        loader=PackageLoader("kilograd"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - this makes C, not HTML
    )
    regions = _regions(board)
    names = {memory: region for region, (_, memory) in regions.items()}
    memories = {region: memory for region, (_, memory) in regions.items()}
    places = {"code_region": names[board.code_memory], "tensor_region": names[board.tensor_memory]}
    return environment.get_template("linker.ld.j2").render(board=board, memories=memories, **places)


def _firmware() -> Path:
    return paths.share() / "firmware"


def _common_definitions() -> list[str]:
    return [f'KG_VERSION="{__version__}"']


def _board_definitions(board: Board) -> list[str]:
    code, tensors = (
        (memory.base, memory.size) if memory in board.ram_used[1:] else (0, 0)
        for memory in (board.code_memory, board.tensor_memory)
    )
    values: Mapping[str, int] = {
        "KG_CORE_HZ": board.clock_hz,
        "KG_UART_BASE": uart_of(board).base,
        "KG_FLASH_BASE": board.flash.base,
        "KG_FLASH_BYTES": board.flash.size,
        "KG_RAM_BASE": board.ram.base,
        "KG_RAM_BYTES": board.ram.size,
        "KG_CODE_RAM_BASE": code[0],
        "KG_CODE_RAM_BYTES": code[1],
        "KG_TENSOR_RAM_BASE": tensors[0],
        "KG_TENSOR_RAM_BYTES": tensors[1],
    }
    return [f"{name}={value:#x}u" for name, value in values.items()]


def _build(target: str, settings: Settings, compiler: toolchain.Compiler, out: Path, *, what: str) -> None:
    """Configure if something about it changed, then let ninja compile what is out of date; repair a damaged folder."""
    out.mkdir(parents=True, exist_ok=True)
    settings_file = out / "settings.cmake"
    _write(settings_file, _settings_text(settings))
    ninja = toolchain.build_program("ninja")
    configure = [
        str(toolchain.build_program("cmake")),
        *("-S", str(paths.share())),
        *("-B", str(out)),
        *("-G", "Ninja"),
        f"-DCMAKE_MAKE_PROGRAM={ninja}",
        f"-DCMAKE_C_COMPILER={';'.join(compiler.command)}",
        f"-DKILOGRAD_TARGET={target}",
        f"-DKILOGRAD_SETTINGS={settings_file}",
    ]
    if target == "board":
        configure.append(f"-DCMAKE_TOOLCHAIN_FILE={paths.share() / 'cmake' / 'arm-none-eabi.cmake'}")
    stamp = out / STAMP
    text = "\n".join(configure)
    compile_all = partial(tools.run, [ninja, "--quiet", "-C", out], what=what)
    if stamp.is_file() and stamp.read_text(encoding="utf-8", errors="replace") == text:
        with suppress(KilogradError):  # what fails here may be what an interrupted build has left: a fresh one tells
            compile_all()
            return
    _clear(out)
    tools.run(configure, what=f"{what}: cmake")
    stamp.write_text(text, encoding="utf-8")
    compile_all()


def _clear(out: Path) -> None:
    """Remove what cmake and ninja have made."""
    for name in (STAMP, "CMakeCache.txt", "build.ninja", ".ninja_deps", ".ninja_log"):
        (out / name).unlink(missing_ok=True)
    for name in ("CMakeFiles", "firmware"):
        shutil.rmtree(out / name, ignore_errors=True)


def _prefix_map(sources: Sequence[Path], out: Path) -> list[str]:
    """Return flags that keep the places of folders out of the ELF; of those that fit a path, the last counts."""
    names = {f"{paths.share()}/": "", f"{out}": "."}
    names |= {f"{source}": f"generated/{source.name}" for source in sources}
    return [f"-ffile-prefix-map={place}={name}" for place, name in names.items()]


def _settings_text(settings: Settings) -> str:
    lines = ["# Generated file, do not edit. What kilograd/build.py tells CMake."]
    for name, values in settings.items():
        lines.append(" ".join([f"set({name}", *(f"[==[{value}]==]" for value in values)]) + ")")
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    """Write a file unless it holds the text already: its time is what ninja looks at."""
    if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
        path.write_text(text, encoding="utf-8")


def _regions(board: Board) -> Mapping[str, tuple[str, Memory]]:
    """Return the regions of the linker script: what people call them, and their memory."""
    regions = {"FLASH": ("flash", board.flash), "RAM": ("RAM", board.ram)}
    for memory in board.ram_used[1:]:
        regions[memory.name.upper()] = (memory.name, memory)
    return regions


def _explain_overflow(error: KilogradError, board: Board) -> KilogradError:
    """Return an error with bytes needed and available if the linker ran out of memory, else the error itself."""
    memories = _regions(board)
    needed = {}
    for region, excess in sorted(_OVERFLOW.findall(error.hint)):
        name, memory = memories[region]
        needed[name] = memory.size + int(excess)
    return TooLargeError(board, needed) if needed else error
