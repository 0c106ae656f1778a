# SPDX-License-Identifier: Apache-2.0
"""The virtual chip: the board's ELF on unicorn, with native models of its peripherals and cycle counts."""

from __future__ import annotations

import ast
import ctypes
import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from elftools.elf.elffile import ELFFile

from kilograd import elf as elf_file
from kilograd.engines import _native, _source
from kilograd.engines.base import EngineBase, StepCount
from kilograd.errors import KilogradError
from kilograd.platforms.timing import load_timing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from kilograd.platforms.board import Board, Lines, Memory, Peripheral, Waits

READ_BYTES = 1 << 16
SLICES_PER_SECOND = 20
"""How often in a virtual second a run looks whether there is something to read."""

FINDINGS = ("unwritten", "unaligned")
"""kg_finding_kind_t."""
LAP = "kg_trainer_lap"
STUB = "Python.PythonPeripheral"

# kg_fault_kind_t: what happened; {size}, {address}, {value} are filled in.
FAULTS = (
    "",
    "read of {size} bytes from {address:#010x} (unmapped)",
    "write of {size} bytes to {address:#010x} (unmapped)",
    "write of {size} bytes to {address:#010x} (read-only memory)",
    "execution of {address:#010x} (unmapped)",
    "execution of {address:#010x} (not executable)",
    "stack overflow: access to {address:#010x}, below the stack: {deep:,} bytes deep, {reserved:,} are there",
    "stack overflow: the stack pointer is at {address:#010x}: {deep:,} bytes deep, {reserved:,} are there",
    "unaligned access",
    "undefined instruction",
    "branch to an even address (the Thumb bit is missing)",
    "floating point while CPACR has it switched off",
    "breakpoint",
    "supervisor call",
    "DMA of {size} bytes at {address:#010x} (not RAM)",
    "kg_trainer_lap with step {value}, which is out of range",
)


@dataclass(frozen=True)
class Finding:
    """Something about accesses to memory, in one place of the firmware: bytes read unwritten, or not aligned."""

    kind: str
    where: str
    """Function and line."""
    address: int
    """The first one."""
    bytes: int
    count: int


@dataclass(frozen=True)
class Watched:
    """What a watch has seen."""

    findings: tuple[Finding, ...]
    stack_bytes: int
    stack_where: str


@dataclass(frozen=True)
class Ran:
    """A basic block that ran: the cycles before it, its address and its instructions."""

    cycles: int
    address: int
    instructions: int


@dataclass(frozen=True)
class Call:
    """A function, and the calls that led to it, outermost first: what it took itself, without what it called."""

    stack: tuple[str, ...]
    cycles: int
    instructions: int
    calls: int


class BuiltinEngine(EngineBase):
    """Runs a board's firmware in this process; the host's clock plays no part."""

    name = "builtin"
    window = 64

    def __init__(self, elf: Path, board: Board, *, time_limit_s: float = 60.0, ideal_memory: bool = False) -> None:
        """
        Make a chip at reset.

        Args:
            elf: the firmware.
            board: what it runs on.
            time_limit_s: virtual seconds that the firmware may be silent.
            ideal_memory: no memory makes code or data wait; faster, and independent of where code lies.

        """
        self._elf = elf
        self._functions: tuple[str, ...] = ()
        self._traced = 0
        self._addresses: ctypes.Array[ctypes.c_uint32] | None = None
        self._ideal_memory = ideal_memory
        self._board = board
        self._limit = int(time_limit_s * board.clock_hz)
        self._library = _native.library()
        self._timing = _native.timing_tables(load_timing(board.core))
        settings = self._settings()
        self._chip = self._library.kg_chip_create(ctypes.byref(settings))
        if not self._chip:
            message = "unicorn cannot open a virtual core"
            raise KilogradError(message, "is there enough memory?")
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    @property
    def instructions(self) -> int:
        """Return the instructions that have run since reset."""
        return int(self._state().instructions)

    @property
    def cycles(self) -> int:
        """Return the cycles that they took by the core's table."""
        return int(self._state().cycles)

    def write(self, data: bytes) -> None:
        """Put bytes on the firmware's UART; they wait there until it reads them."""
        if not self._library.kg_chip_send(self._handle(), data, len(data)):
            message = "there is no memory for more input to the virtual chip"
            raise KilogradError(message)

    def read(self) -> bytes:
        """Run until the firmware has sent something, and return it."""
        slice_cycles = max(self._board.clock_hz // SLICES_PER_SECOND, 1)
        end = self.cycles + self._limit
        while True:
            state = self._library.kg_chip_run(self._handle(), min(slice_cycles, self._limit)).contents
            if state.reason == _native.FAULT:
                raise self._fault(state.fault)
            if sent := self._receive():
                return sent
            if state.reason != _native.SLICE:
                raise self._end(state)
            if state.cycles >= end:
                raise self._hang(state)

    def advance(self, cycles: int) -> str:
        """Run for so many cycles; return why the run ended earlier, or nothing. A fault is raised."""
        state = self._library.kg_chip_run(self._handle(), cycles).contents
        if state.reason == _native.FAULT:
            raise self._fault(state.fault)
        return "" if state.reason == _native.SLICE else self._end(state).message

    def step_counts(self) -> dict[int, StepCount]:
        """Return counts by step number since the last reset of counts."""
        steps = self._library.kg_chip_steps(self._handle())
        counts = ((number, steps[number]) for number in range(_native.STEPS))
        return {
            number: StepCount(count.instructions, count.cycles, count.runs) for number, count in counts if count.runs
        }

    def reset_counts(self) -> None:
        """Forget the counts of all steps."""
        self._library.kg_chip_reset_steps(self._handle())

    def start_profile(self) -> None:
        """
        Attribute what runs from now on to functions and the calls that led to them.

        Calls that lie before are not known; so start at reset, and again, which only forgets counts, where it matters.
        """
        if self._addresses is None:  # the chip keeps the first array
            found = {symbol.address: symbol.name for symbol in elf_file.functions(self._elf)}
            self._functions = tuple(found[address] for address in sorted(found))
            self._addresses = (ctypes.c_uint32 * len(found))(*sorted(found))
        if not self._library.kg_chip_profile(self._handle(), self._addresses, len(self._functions)):
            message = "there is no memory for a profile"
            raise KilogradError(message)

    def profile(self) -> list[Call]:
        """Return what each function took since `start_profile`, by the calls that led to it."""
        count = ctypes.c_uint32()
        nodes = self._library.kg_chip_nodes(self._handle(), ctypes.byref(count))
        stacks: list[tuple[str, ...]] = []
        calls = []
        for node in nodes[: count.value] if nodes else ():
            name = self._functions[node.function] if node.function < len(self._functions) else ""
            stacks.append((*stacks[node.parent], name) if stacks else ())
            calls.append(Call(stacks[-1], node.cycles, node.instructions, node.calls))
        return [call for call in calls if call.stack and call.instructions]

    def start_watch(self, fresh: Sequence[tuple[int, int]]) -> None:
        """
        See every access to RAM from now on: reads of what nothing has written, and accesses that are not aligned.

        Args:
            fresh: ranges (first, end) whose bytes mean nothing yet; so do those below the stack pointer.

        """
        spans = (_native.MemorySpan * len(fresh))(*(_native.MemorySpan(first, end - first) for first, end in fresh))
        used, chip = (self._board.ram, self._board.tensor_memory), self._handle()
        first, last = min(memory.base for memory in used), max(memory.end for memory in used) - 1
        if not self._library.kg_chip_watch(chip, first, last, self._stack_top(), spans, len(fresh)):
            message = "the virtual chip's memory cannot be watched"
            raise KilogradError(message, "it can be once, if the computer has the memory for it")

    def watched(self) -> Watched:
        """Return what was seen since `start_watch`."""
        count = ctypes.c_uint32()
        found = self._library.kg_chip_findings(self._handle(), ctypes.byref(count))
        findings = tuple(
            Finding(FINDINGS[one.kind], self._place(one.pc), one.address, one.bytes, one.count)
            for one in (found[: count.value] if found else ())
        )
        depth = self._library.kg_chip_stack_depth(self._handle())
        return Watched(findings, depth.bytes, self._place(depth.pc))

    def start_trace(self, blocks: int) -> None:
        """Remember the last so many blocks that run from now on."""
        if not self._library.kg_chip_trace(self._handle(), blocks):
            message = f"there is no memory for a trace of {blocks} blocks"
            raise KilogradError(message)
        self._traced = blocks

    def trace(self) -> list[Ran]:
        """Return the last blocks that ran, in order."""
        count = ctypes.c_uint64()
        entries = self._library.kg_chip_trace_entries(self._handle(), ctypes.byref(count))
        first = max(count.value - self._traced, 0)
        found = (entries[number % self._traced] for number in range(first, count.value))
        return [Ran(entry.cycles, entry.pc, entry.instructions) for entry in found]

    def memory(self, address: int, count: int) -> bytes:
        """Return bytes of the chip's memory as they are now."""
        buffer = ctypes.create_string_buffer(count)
        if not self._library.kg_chip_peek(self._handle(), address, buffer, count):
            message = f"{count} bytes at {address:#010x} are outside the memory of {self._board.name}"
            raise KilogradError(message)
        return buffer.raw

    def close(self) -> None:
        """Free the chip; closing it again does nothing."""
        chip, self._chip = self._chip, None
        if chip:
            self._library.kg_chip_destroy(chip)

    def _handle(self) -> int:
        if not self._chip:
            message = "the virtual chip is closed"
            raise KilogradError(message)
        return int(self._chip)

    def _state(self) -> _native.State:
        state: _native.State = self._library.kg_chip_state(self._handle()).contents
        return state

    def _settings(self) -> _native.Settings:
        from unicorn import arm_const  # noqa: PLC0415 - loads unicorn, which only a running chip needs

        core = load_timing(self._board.core).core
        halfword, word, costs = self._timing
        lap = [symbol.address for symbol in elf_file.symbols(self._elf) if symbol.name == LAP]
        return _native.Settings(
            cpu_model=getattr(arm_const, core.unicorn),
            cpuid=core.cpuid,
            fpu=core.fpu,
            clock_hz=self._board.clock_hz,
            vector_table=self._board.vector_table,
            stack_base=self._board.ram.base,
            lap=lap[0] if lap else 0,
            rows16=halfword,
            rows32=word,
            rows16_count=len(halfword),
            rows32_count=len(word),
            costs=costs,
            costs_count=len(costs),
            fetch=_native.Fetch(**core.fetch.model_dump(exclude={"source"})),
        )

    def _build(self) -> None:
        for memory in self._board.memories:
            for part in self._pieces(memory):
                self._map(part)
        for peripheral in self._board.peripherals:
            self._add(peripheral)
        if not self._ideal_memory:
            self._time_memories()
        self._load()
        if not self._library.kg_chip_reset(self._handle()):
            message = "unicorn cannot watch the memory of the virtual chip"
            raise KilogradError(message)

    def _pieces(self, memory: Memory) -> list[Memory]:
        """Return a memory in parts, so that only those pages of RAM can be executed that code was copied to."""
        pages = None if memory.executable or memory.aliases else elf_file.code_pages(self._elf, memory)
        if pages is None:
            return [memory]
        edges = [memory.base, *pages, memory.end]
        parts = [replace(memory, base=first, size=end - first) for first, end in pairwise(edges)]
        parts[1] = replace(parts[1], executable=True)
        return [part for part in parts if part.size > 0]

    def _map(self, memory: Memory) -> None:
        rights = _native.MAY_WRITE if memory.kind == "ram" else 0
        rights |= _native.MAY_EXECUTE if memory.executable else 0
        chip = self._handle()
        mapped = self._library.kg_chip_map(chip, memory.base, memory.size, rights)
        if not mapped or not all(self._library.kg_chip_alias(chip, memory.base, alias) for alias in memory.aliases):
            message = f"{self._board.name}.repl: {memory.name} cannot be mapped"
            raise KilogradError(message, "memories are whole multiples of 4 KB that do not overlap")

    def _add(self, peripheral: Peripheral) -> None:
        chip, where = self._handle(), (peripheral.base, peripheral.size)
        ready = ready_bits(peripheral)
        if ready is not None:
            array = ctypes.c_uint32 * len(ready)
            added = self._library.kg_chip_add_stub(chip, *where, array(*ready), array(*ready.values()), len(ready))
        else:
            model = peripheral.name if peripheral.kind == STUB else peripheral.kind
            if model not in _native.models():
                message = f"{self._board.name}.repl: the virtual chip has no model of {model} ({peripheral.name})"
                raise KilogradError(
                    message, f"it has: {', '.join(_native.models())}; and {STUB} with `ready = {{...}}`"
                )
            added = self._library.kg_chip_add(chip, model.encode(), *where)
        if not added:
            message = f"{self._board.name}.repl: {peripheral.name} cannot be mapped at {peripheral.base:#010x}"
            raise KilogradError(message, "peripherals start at multiples of 4 KB and do not overlap")

    def _time_memories(self) -> None:
        numbers = {name: number for number, name in enumerate(self._board.lines, start=1)}
        hz = self._board.clock_hz
        done = [self._library.kg_chip_add_cache(self._handle(), _lines(how, hz)) for how in self._board.lines.values()]
        for waits in self._board.waits:
            how = _waits(waits, numbers)
            place = (waits.memory.base, waits.memory.size)
            done.append(self._library.kg_chip_time_memory(self._handle(), *place, ctypes.byref(how)))
            pages = elf_file.data_pages(self._elf, waits.memory) if waits.data else []
            done += [self._library.kg_chip_time_data(self._handle(), first, end - first) for first, end in pages]
        if not all(done):
            message = f"{self._board.name}: its memories cannot be timed"
            raise KilogradError(message, "the virtual chip has room for 16 caches and buffers")

    def _load(self) -> None:
        with self._elf.open("rb") as stream:
            for segment in ELFFile(stream).iter_segments("PT_LOAD"):
                data, address = segment.data(), segment["p_paddr"]
                if data and not self._library.kg_chip_poke(self._handle(), address, data, len(data)):
                    what = f"{self._elf.name}: {len(data)} bytes at {address:#010x}"
                    message = f"{what} are outside the memory of {self._board.name}"
                    raise KilogradError(message, f"build the firmware for {self._board.name}")

    def _receive(self) -> bytes:
        buffer = ctypes.create_string_buffer(READ_BYTES)
        taken = self._library.kg_chip_receive(self._handle(), buffer, READ_BYTES)
        return buffer.raw[:taken]

    def _stack_top(self) -> int:
        """Return where the stack begins: the first word of the vector table."""
        return int.from_bytes(self.memory(self._board.vector_table, 4), "little")

    def _place(self, address: int) -> str:
        return _source.describe(self._elf, address)

    def _fault(self, fault: _native.Fault) -> KilogradError:
        what = FAULTS[fault.kind].format(
            size=fault.size,
            address=fault.address,
            value=ctypes.c_int32(fault.value).value,
            deep=self._stack_top() - fault.address,
            reserved=self._stack_top() - self._board.ram.base,
        )
        said = b""
        while more := self._receive():
            said += more
        registers = list(fault.registers)
        lines = [
            f"at   {self._place(registers[15])}",
            f"from {self._place(registers[14] - 2)}",  # the call, not what it returns to
            *_register_lines(registers),
        ]
        if text := _text(said[fault.output :]):
            lines += ["the firmware's fault handler said:", text]
        return KilogradError(f"fault on {self._board.name}: {what}", "\n".join(lines))

    def _hang(self, state: _native.State) -> KilogradError:
        seconds = self._limit / self._board.clock_hz
        message = f"the firmware on {self._board.name} sent nothing for {seconds:g} s of its time"
        return KilogradError(message, f"it is at {self._place(state.pc)}; it hangs, or needs a higher time limit")

    def _end(self, state: _native.State) -> KilogradError:
        why = {
            _native.WAITING: "waits for more input and has sent no answer",
            _native.HALTED: "has halted",
            _native.RESET: "asked for a system reset",
            _native.INTERRUPTS: "enabled an interrupt, which the virtual chip does not have",
        }.get(state.reason, f"made unicorn fail (error {state.error})")
        return KilogradError(f"the firmware on {self._board.name} {why}", f"it is at {self._place(state.pc)}")


def _lines(how: Lines, core_hz: int) -> _native.Lines:
    return _native.Lines(
        sets=how.bytes // (how.ways * how.line_bytes),
        ways=how.ways,
        line_shift=how.line_bytes.bit_length() - 1,
        fill=how.core_cycles(how.fill, core_hz),
        fill_next=how.core_cycles(how.fill_next, core_hz),
        on_register=how.on_register,
        on_mask=how.on_mask,
    )


def _waits(waits: Waits, numbers: Mapping[str, int]) -> _native.Waits:
    pairs = ([numbers[name] for name in names] for names in (waits.code, waits.data))
    code, data = ((ctypes.c_uint8 * 2)(*pair) for pair in pairs)
    return _native.Waits(code, data, waits.fetch, waits.fill, waits.fill_next)


def ready_bits(peripheral: Peripheral) -> Mapping[int, int] | None:
    """Return the register bits that a stub's script sets for ever, by offset; None: the script is no such stub."""
    script = peripheral.properties.get("script")
    found = re.search(r"^\s*ready = (\{.*\})\s*$", str(script), re.MULTILINE)
    if peripheral.kind != STUB or found is None:
        return None
    try:
        bits: dict[int, int] = ast.literal_eval(found[1])
    except (ValueError, SyntaxError) as error:
        message = f"{peripheral.name}: `ready` in its script is not a table of numbers"
        raise KilogradError(message, "write it as ready = {0x08: 0xFFFFFFFF}") from error
    return bits


def _register_lines(registers: list[int]) -> list[str]:
    names = [*(f"r{number}" for number in range(13)), "sp", "lr", "pc", "xpsr"]
    cells = [f"{name:>4} {value:08x}" for name, value in zip(names, registers, strict=True)]
    return ["  ".join(cells[first : first + 4]) for first in range(0, len(cells), 4)]


def _text(data: bytes) -> str:
    return "".join(c for c in data.decode("utf-8", "replace") if c.isprintable() or c in "\n\t").strip()
