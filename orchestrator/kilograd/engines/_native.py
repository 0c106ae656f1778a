# SPDX-License-Identifier: Apache-2.0
"""Finds or builds the native part of the virtual chip, and mirrors emulation/chip/chip.h for ctypes."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import sysconfig
import tempfile
from ctypes import (
    POINTER,
    Structure,
    c_bool,
    c_char_p,
    c_int32,
    c_size_t,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from kilograd import paths, toolchain, tools
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from kilograd.platforms.timing import Row, Timing

LIBRARY = "kilograd_chip.so"
STEPS = 16384
REGISTERS = 17
OPERANDS = 6
BITS = 5
MAY_WRITE, MAY_EXECUTE = 1, 2

# kg_reason_t
SLICE, WAITING, FAULT, HALTED, RESET, INTERRUPTS, BROKEN = range(7)
FLOWS = ("straight", "conditional", "always", "indirect", "it")


class _Operand(Structure):
    _fields_ = (("bits", c_uint8 * BITS), ("count", c_uint8), ("first", c_uint8), ("access", c_uint8))


class _Row(Structure):
    _fields_ = (
        *((name, c_uint32) for name in ("mask", "value", "list", "number")),
        ("kind", c_uint16),
        ("flow", c_uint8),
        ("fpu", c_uint8),
        ("literal", c_uint8),
        ("accesses", c_uint8),
        ("operands", _Operand * OPERANDS),
    )


class _EarlyOut(Structure):
    _fields_ = tuple((name, c_uint8) for name in ("zero", "smaller", "first", "bits_per_cycle", "is_signed"))


class _Cost(Structure):
    _fields_ = (
        *(
            (name, c_uint8)
            for name in (
                *("cycles", "per_register", "width", "taken", "latency", "early", "late", "after_load"),
                *("follow", "load", "folds", "unit", "copies", "first_only", "missing"),
            )
        ),
        ("early_out", _EarlyOut),
        ("not_with", c_uint32),
    )


class Fetch(Structure):
    """How the core fetches behind branches."""

    _fields_ = tuple((name, c_uint32) for name in ("unaligned_target", "targets", "mispredicted", "unknown_target"))


class Settings(Structure):
    """What a chip is made from."""

    _fields_ = (
        ("cpu_model", c_int32),
        ("cpuid", c_uint32),
        ("fpu", c_uint32),
        ("clock_hz", c_uint64),
        *((name, c_uint32) for name in ("vector_table", "stack_base", "lap")),
        ("rows16", POINTER(_Row)),
        ("rows32", POINTER(_Row)),
        ("rows16_count", c_uint32),
        ("rows32_count", c_uint32),
        ("costs", POINTER(_Cost)),
        ("costs_count", c_uint32),
        ("fetch", Fetch),
    )


class Lines(Structure):
    """A cache, or a buffer that reads whole lines."""

    _fields_ = tuple(
        (name, c_uint32) for name in ("sets", "ways", "line_shift", "fill", "fill_next", "on_register", "on_mask")
    )


class Waits(Structure):
    """What a memory makes code and data wait for."""

    _fields_ = (
        ("code", c_uint8 * 2),
        ("data", c_uint8 * 2),
        *((name, c_uint32) for name in ("fetch", "fill", "fill_next")),
    )


class Fault(Structure):
    """What the core refused, and its registers at that moment."""

    _fields_ = (
        *((name, c_uint32) for name in ("kind", "address", "size", "value")),
        ("registers", c_uint32 * REGISTERS),
        ("output", c_uint32),
    )


class State(Structure):
    """Counts so far, and why the last run ended."""

    _fields_ = (
        ("instructions", c_uint64),
        ("cycles", c_uint64),
        *((name, c_uint32) for name in ("reason", "error", "pc")),
        ("fault", Fault),
    )


class Node(Structure):
    """A function as it was called from one place."""

    _fields_ = (
        *((name, c_uint32) for name in ("parent", "child", "sibling", "function")),
        *((name, c_uint64) for name in ("cycles", "instructions", "calls")),
    )


class StepCounts(Structure):
    """Counts of one step."""

    _fields_ = tuple((name, c_uint64) for name in ("instructions", "cycles", "runs"))


class Finding(Structure):
    """What a watch has found in one block."""

    _fields_ = (*((name, c_uint32) for name in ("kind", "pc", "address", "bytes")), ("count", c_uint64))


class StackDepth(Structure):
    """How deep the stack was, and where."""

    _fields_ = (("bytes", c_uint32), ("pc", c_uint32))


class MemorySpan(Structure):
    """A piece of memory."""

    _fields_ = (("base", c_uint32), ("size", c_uint32))


class TraceEntry(Structure):
    """A block that ran."""

    _fields_ = (("cycles", c_uint64), ("pc", c_uint32), ("instructions", c_uint32))


# Of each function: the type of its result, then those of its arguments.
_FUNCTIONS = {
    "kg_chip_layout": (c_uint64,),
    "kg_chip_create": (c_void_p, POINTER(Settings)),
    "kg_chip_destroy": (None, c_void_p),
    "kg_chip_map": (c_bool, c_void_p, c_uint32, c_uint32, c_uint32),
    "kg_chip_alias": (c_bool, c_void_p, c_uint32, c_uint32),
    "kg_chip_add": (c_bool, c_void_p, c_char_p, c_uint32, c_uint32),
    "kg_chip_add_stub": (c_bool, c_void_p, c_uint32, c_uint32, POINTER(c_uint32), POINTER(c_uint32), c_size_t),
    "kg_chip_add_cache": (c_bool, c_void_p, POINTER(Lines)),
    "kg_chip_time_memory": (c_bool, c_void_p, c_uint32, c_uint32, POINTER(Waits)),
    "kg_chip_time_data": (c_bool, c_void_p, c_uint32, c_uint32),
    "kg_chip_model": (c_char_p, c_size_t),
    "kg_chip_poke": (c_bool, c_void_p, c_uint32, c_char_p, c_uint32),
    "kg_chip_peek": (c_bool, c_void_p, c_uint32, c_char_p, c_uint32),
    "kg_chip_reset": (c_bool, c_void_p),
    "kg_chip_run": (POINTER(State), c_void_p, c_uint64),
    "kg_chip_state": (POINTER(State), c_void_p),
    "kg_chip_send": (c_bool, c_void_p, c_char_p, c_size_t),
    "kg_chip_receive": (c_size_t, c_void_p, c_char_p, c_size_t),
    "kg_chip_profile": (c_bool, c_void_p, POINTER(c_uint32), c_uint32),
    "kg_chip_nodes": (POINTER(Node), c_void_p, POINTER(c_uint32)),
    "kg_chip_watch": (c_bool, c_void_p, c_uint32, c_uint32, c_uint32, POINTER(MemorySpan), c_uint32),
    "kg_chip_findings": (POINTER(Finding), c_void_p, POINTER(c_uint32)),
    "kg_chip_stack_depth": (StackDepth, c_void_p),
    "kg_chip_trace": (c_bool, c_void_p, c_uint32),
    "kg_chip_trace_entries": (POINTER(TraceEntry), c_void_p, POINTER(c_uint64)),
    "kg_chip_steps": (POINTER(StepCounts), c_void_p),
    "kg_chip_reset_steps": (None, c_void_p),
}


@cache
def library() -> ctypes.CDLL:
    """Return the native part: the installed one, else one that is built now into the user's cache."""
    try:
        # unicorn's own library is loaded first, so that the native part finds it wherever it lies itself.
        ctypes.CDLL(str(_unicorn_library()), mode=ctypes.RTLD_GLOBAL)
        loaded = ctypes.CDLL(str(_installed() or _build()))
    except OSError as error:
        message = f"the native part of the virtual chip cannot be loaded: {error}"
        raise KilogradError(message, "install kilograd again, or remove its cache folder") from error
    _declare(loaded)
    return loaded


def _declare(loaded: ctypes.CDLL) -> None:
    """Give the functions their types; a library of another version is an error, not a crash."""
    missing = [name for name in _FUNCTIONS if not hasattr(loaded, name)]
    for name, (result, *arguments) in _FUNCTIONS.items():
        if name not in missing:
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
    if missing or loaded.kg_chip_layout() != _layout():
        message = "the native part of the virtual chip belongs to another version of kilograd"
        raise KilogradError(message, "install kilograd again")


def models() -> tuple[str, ...]:
    """Return the names of the peripherals that the virtual chip has models of."""
    found: list[str] = []
    while (name := library().kg_chip_model(len(found))) is not None:
        found.append(name.decode())
    return tuple(found)


def timing_tables(timing: Timing) -> tuple[ctypes.Array[_Row], ctypes.Array[_Row], ctypes.Array[_Cost]]:
    """Return the rows for 16 and 32 bits and the costs by class, as the native part wants them."""
    halfword = (_Row * len(timing.halfword))(*(_row(row, timing) for row in timing.halfword))
    word = (_Row * len(timing.word))(*(_row(row, timing) for row in timing.word))
    costs = (_Cost * len(timing.classes))(*(_cost(name, timing) for name in timing.classes))
    return halfword, word, costs


def _layout() -> int:
    """Return the sizes of the structs here, as kg_chip_layout does."""
    layout = 0
    for struct in (Settings, State, _Row, _Cost):
        layout = layout << 16 | ctypes.sizeof(struct)
    return layout


def _row(row: Row, timing: Timing) -> _Row:
    kind = timing.kinds[row.kind]
    made = _Row(row.mask, row.value, row.list, row.number)
    made.kind = timing.classes.index(row.kind)
    made.flow = FLOWS.index(kind.flow)
    made.fpu = kind.fpu
    made.literal = kind.literal
    made.accesses = kind.accesses
    for index, operand in enumerate(row.operands):
        bits = (c_uint8 * BITS)(*operand.bits)
        made.operands[index] = _Operand(bits, len(operand.bits), operand.first, operand.access)
    return made


def _cost(name: str, timing: Timing) -> _Cost:
    cost = timing.cost(name)
    units = ["", *timing.core.units]
    out = cost.early_out
    return _Cost(
        **{field: getattr(cost, field) for field in ("cycles", "per_register", "width", "taken", "early", "late")},
        **{field: getattr(cost, field) for field in ("after_load", "follow", "load", "folds", "first_only")},
        latency=cost.cycles if cost.latency is None else cost.latency,
        unit=units.index(cost.unit),
        copies=timing.core.units.get(cost.unit, 1),
        missing=name in timing.core.missing,
        early_out=_EarlyOut(**out.model_dump()) if out else _EarlyOut(),
        not_with=sum(1 << units.index(unit) for unit in cost.not_with),
    )


def _unicorn() -> Path:
    spec = find_spec("unicorn")
    if spec is None or spec.origin is None:
        message = "the Python package unicorn was not found"
        raise KilogradError(message, "pip install unicorn: it runs the virtual chips")
    return Path(spec.origin).parent


def _unicorn_library() -> Path:
    for library_file in sorted((_unicorn() / "lib").glob("libunicorn.*2*")):
        return library_file
    message = f"{_unicorn()} brings no library for this machine"
    raise KilogradError(message, "install the wheel of unicorn 2 for this machine")


def _installed() -> Path | None:
    # An editable installation keeps compiled files apart from the sources.
    for package in (paths.PACKAGE, Path(sysconfig.get_path("platlib")) / "kilograd"):
        candidate = package / "_native" / LIBRARY
        if candidate.is_file():
            return candidate
    return None


def _build() -> Path:
    """Compile emulation/ once for each state of its sources; the finished file appears in one step."""
    built = paths.cache() / "native" / _fingerprint() / LIBRARY
    if built.is_file():
        return built
    built.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=built.parent) as folder:
        configure: list[str | Path] = [
            *(toolchain.build_program("cmake"), "-S", _sources(), "-B", folder, "-G", "Ninja"),
            f"-DCMAKE_MAKE_PROGRAM={toolchain.build_program('ninja')}",
            f"-DCMAKE_C_COMPILER={';'.join(toolchain.host_compiler().command)}",
            f"-DUNICORN_DIR={_unicorn()}",
        ]
        tools.run(configure, what="configuring the virtual chip")
        tools.run([toolchain.build_program("ninja"), "-C", folder], what="compiling the virtual chip")
        shutil.move(Path(folder) / LIBRARY, built)
    return built


def _sources() -> Path:
    return paths.share() / "emulation"


def _fingerprint() -> str:
    digest = hashlib.sha256(version("unicorn").encode())
    for file in [_sources() / "CMakeLists.txt", *sorted((_sources() / "chip").glob("*.[ch]"))]:
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
