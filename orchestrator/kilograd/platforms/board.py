# SPDX-License-Identifier: Apache-2.0
"""A board: its memories, peripherals, clock, compiler flags and currents, read from its folder."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kilograd import paths
from kilograd.errors import KilogradError
from kilograd.platforms.repl import Entry, Value, read_repl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

Core = Literal["cortex-m0plus", "cortex-m4", "cortex-m7"]
MemoryKind = Literal["flash", "ram", "rom"]

# What a Renode peripheral occupies when its entry has no `size`.
REGISTER_BLOCK = 0x1000
# Renode's own speed of a core that has no PerformanceInMips.
RENODE_MIPS = 100


@dataclass(frozen=True)
class Memory:
    """A piece of memory; `aliases` are further addresses that show the same bytes."""

    name: str
    base: int
    size: int
    kind: MemoryKind
    executable: bool
    aliases: tuple[int, ...] = ()

    @property
    def end(self) -> int:
        """Return the first address behind it."""
        return self.base + self.size


@dataclass(frozen=True)
class Peripheral:
    """A block of registers; `kind` is the Renode class."""

    name: str
    kind: str
    base: int
    size: int
    properties: Mapping[str, Value]


@dataclass(frozen=True)
class Lines:
    """A cache or a buffer: lines of `line_bytes` that take `fill` clocks to read."""

    bytes: int
    ways: int
    line_bytes: int
    fill: int
    fill_next: int
    on_register: int
    on_mask: int
    clock_hz: int | None = None
    """The clock that `fill` and `fill_next` count; None: the core's own, however fast it runs."""

    def core_cycles(self, clocks: int, core_hz: int) -> int:
        """Return how many cycles a core waits for so many clocks: what comes between two cycles counts as the later."""
        return clocks if self.clock_hz is None else -(-clocks * core_hz // self.clock_hz)


@dataclass(frozen=True)
class Waits:
    """What serves code and data of a memory: names of lines; the second serves while the first is off."""

    memory: Memory
    code: tuple[str, ...]
    data: tuple[str, ...]
    fetch: int
    """Cycles from one word of code to the next, over a bus that data take, too; 0: that is no limit."""
    fill: int
    """Cycles of the core that a line of the first lines for data takes from here, instead of their own; 0: theirs."""
    fill_next: int


@dataclass(frozen=True)
class Board:
    """Everything kilograd knows about one board."""

    name: str
    title: str
    core: Core
    clock_hz: int
    """Of the core: at first the fastest that it may run."""
    clock_range: ClockRange | None
    """Slower clocks that the port can set; None where there is only one."""
    compile_flags: tuple[str, ...]
    port: str
    """Stem of the UART driver's C file in firmware/port/cortex_m."""
    memories: tuple[Memory, ...]
    peripherals: tuple[Peripheral, ...]
    flash: Memory
    """Where code goes."""
    ram: Memory
    """Where data goes."""
    code_places: tuple[str, ...]
    """Where hot code may go: "flash", "ram", or another memory by its name."""
    code: str
    """Where it does go: one of these."""
    tensor_places: tuple[str, ...]
    """Where feature maps and errors may go: "ram", or another memory by its name."""
    tensors: str
    """Where they do go: one of these."""
    carved: tuple[Memory, ...]
    """Memories that are made of the RAM's own banks when they are asked for."""
    vector_table: int
    mips: int
    """Million instructions a second in Renode, whose time counts instructions."""
    stack_bytes: int
    active_ma: float | None
    """Current while computing, and the supply: None where a board has none worth naming."""
    idle_ma: float | None
    volts: float | None
    qemu_machine: str | None
    """What QEMU calls this board: None where it does not know it."""
    images: tuple[str, ...]
    """Formats of images that its boot loader or probe takes, the usual one first."""
    uf2_family: int | None
    boot_checksum: bool
    """Whether the boot ROM wants a checksum in the first 256 bytes of flash."""
    programmer: tuple[str, ...]
    """The command that brings an image onto the board; {hex}, {bin}, {uf2} and {elf} stand for files."""
    wiring: str
    """What to connect and press."""
    folder: Path
    lines: Mapping[str, Lines]
    """Caches and buffers, by name."""
    waits: tuple[Waits, ...]
    """Memories that make code or data wait."""

    @property
    def code_memory(self) -> Memory:
        """Return the memory that hot code runs from."""
        return self.memory(self.code)

    @property
    def tensor_memory(self) -> Memory:
        """Return the memory of feature maps and errors."""
        return self.memory(self.tensors)

    @property
    def ram_used(self) -> tuple[Memory, ...]:
        """Return the memories that a firmware fills besides flash, each once, the RAM first."""
        wanted = (self.ram, self.code_memory, self.tensor_memory)
        return tuple(dict.fromkeys(memory for memory in wanted if memory != self.flash))

    @property
    def ram_bytes(self) -> int:
        """Return the size of these together."""
        return sum(memory.size for memory in self.ram_used)

    def memory(self, place: str) -> Memory:
        """Return the memory of a place for code or tensors."""
        roles = {"flash": self.flash, "ram": self.ram}
        return roles.get(place) or _find((*self.memories, *self.carved), place, self.folder)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClockRange(_Strict):
    """Clocks of a core: multiples of a step, from the slowest that the port can set."""

    least_hz: int = Field(gt=0)
    step_hz: int = Field(gt=0)


class _MemorySettings(_Strict):
    flash: str
    ram: str
    rom: tuple[str, ...] = ()
    executable: tuple[str, ...] = ()
    code: tuple[str, ...] = ("flash",)
    tensors: tuple[str, ...] = ("ram",)
    carved: tuple[str, ...] = ()


class _Switch(_Strict):
    peripheral: str
    offset: int = Field(ge=0, multiple_of=4)
    mask: int = Field(gt=0)


class _Lines(_Strict):
    bytes: int = Field(gt=0)
    ways: int = Field(default=1, gt=0)
    line_bytes: int = Field(gt=0)
    fill: int = Field(ge=0)
    fill_next: int | None = Field(default=None, ge=0)
    clock_hz: int | None = Field(default=None, gt=0)
    on: _Switch | None = None
    source: str

    @model_validator(mode="after")
    def _powers_of_two(self) -> Self:
        sets = self.bytes // (self.ways * self.line_bytes)
        if sets * self.ways * self.line_bytes != self.bytes or any(n & (n - 1) for n in (sets, self.line_bytes)):
            message = "bytes must be sets x ways x line_bytes, with powers of two for sets and line_bytes"
            raise ValueError(message)
        return self


class _Waits(_Strict):
    code: tuple[str, ...] = Field(default=(), max_length=2)
    data: tuple[str, ...] = Field(default=(), max_length=2)
    fetch: int = Field(default=0, ge=0, le=16)
    fill: int = Field(default=0, ge=0)
    fill_next: int | None = Field(default=None, ge=0)
    source: str = ""


class _Power(_Strict):
    active_ma: float = Field(gt=0)
    idle_ma: float = Field(ge=0)
    volts: float = Field(gt=0)
    source: str


class _Programming(_Strict):
    images: tuple[str, ...] = ("hex", "bin")
    uf2_family: int | None = None
    boot_checksum: bool = False
    command: tuple[str, ...] = ()
    wiring: str = ""


class BoardFile(_Strict):
    """What board.toml may hold."""

    title: str
    core: Core
    clock_hz: int = Field(gt=0)
    clock_range: ClockRange | None = None
    compile_flags: tuple[str, ...]
    port: str
    memory: _MemorySettings
    vector_table: int = Field(ge=0)
    stack_bytes: int = Field(default=2048, gt=0)
    power: _Power | None = None
    qemu_machine: str | None = None
    lines: dict[str, _Lines] = {}
    waits: dict[str, _Waits] = {}
    programming: _Programming = _Programming()


def boards() -> tuple[str, ...]:
    """Return the names of the boards that kilograd brings."""
    return tuple(sorted(file.parent.name for file in _platforms().glob("*/board.toml")))


def load_board(name: str) -> Board:
    """Return a board by its name, or by the path of a folder with `board.toml` and `<folder>.repl`."""
    folder = _platforms() / name if name in boards() else Path(name)
    if not (folder / "board.toml").is_file():
        message = f"there is no board {name!r}"
        known = ", ".join(boards())
        hint = f"boards: {known}; or the path of a folder with board.toml and a .repl of the folder's name"
        raise KilogradError(message, hint)
    folder = folder.resolve()
    settings = _read_settings(folder / "board.toml")
    repl = folder / f"{folder.name}.repl"
    if not repl.is_file():
        message = f"{repl} is missing"
        hint = "a board's folder holds its memory map as <folder>.repl"
        raise KilogradError(message, hint)
    described = list(read_repl(repl))
    entries = [entry for entry in described if entry.addresses]
    mapped = tuple(_memory(entry, settings.memory, repl) for entry in entries if _is_memory(entry))
    carved = tuple(_find(mapped, name, folder) for name in settings.memory.carved)
    memories = tuple(memory for memory in mapped if memory not in carved)
    for place in {*settings.memory.code, *settings.memory.tensors} - {"flash", "ram"}:
        _find(mapped, place, folder)
    peripherals = tuple(_peripheral(entry) for entry in entries if not _is_memory(entry))
    return Board(
        name=folder.name,
        title=settings.title,
        core=settings.core,
        clock_hz=settings.clock_hz,
        clock_range=settings.clock_range,
        compile_flags=settings.compile_flags,
        port=settings.port,
        memories=memories,
        peripherals=peripherals,
        flash=_find(memories, settings.memory.flash, folder),
        ram=_find(memories, settings.memory.ram, folder),
        code_places=settings.memory.code,
        code="flash",
        tensor_places=settings.memory.tensors,
        tensors="ram",
        carved=carved,
        vector_table=settings.vector_table,
        mips=_mips(described),
        stack_bytes=settings.stack_bytes,
        active_ma=settings.power.active_ma if settings.power else None,
        idle_ma=settings.power.idle_ma if settings.power else None,
        volts=settings.power.volts if settings.power else None,
        qemu_machine=settings.qemu_machine,
        images=settings.programming.images,
        uf2_family=settings.programming.uf2_family,
        boot_checksum=settings.programming.boot_checksum,
        programmer=settings.programming.command,
        wiring=settings.programming.wiring,
        folder=folder,
        lines={name: _lines(settings, name, peripherals, folder) for name in settings.lines},
        waits=tuple(_waits(settings, name, memories, folder) for name in settings.waits),
    )


def with_code_in(board: Board, place: str) -> Board:
    """Return the board with its hot code in another place."""
    _check_place(board, place, lambda other: other.code_places, "run.code", "run code from")
    return _carve(replace(board, code=place), board.memory(place))


def with_tensors_in(board: Board, place: str) -> Board:
    """Return the board with feature maps and errors in another place."""
    _check_place(board, place, lambda other: other.tensor_places, "run.tensors", "keep tensors in")
    return replace(board, tensors=place)


def _check_place(board: Board, place: str, places: Callable[[Board], tuple[str, ...]], key: str, what: str) -> None:
    if place not in places(board):
        able = ", ".join(name for name in boards() if place in places(load_board(name))) or "none"
        message = f"{key}: {board.name} cannot {what} {place}"
        raise KilogradError(message, f"it has: {', '.join(places(board))}; boards with {place}: {able}")


def _carve(board: Board, memory: Memory) -> Board:
    """Return the board with a memory that takes its bytes from the end of the RAM, if it is of that kind."""
    if memory not in board.carved:
        return board
    ram = replace(board.ram, size=board.ram.size - memory.size)
    rest = tuple(ram if other == board.ram else other for other in board.memories)
    return replace(board, ram=ram, memories=(*rest, memory))


def with_clock(board: Board, hz: int | None) -> Board:
    """
    Return the board with its core at another clock; None leaves the fastest.

    Memories with a clock of their own keep it. Currents were measured at the fastest clock: another has none.
    """
    if hz is None or hz == board.clock_hz:
        return board
    if board.clock_range is None:
        message = f"run.clock_hz: {board.name} cannot run at {hz:,} Hz"
        raise KilogradError(message, f"it has one clock: {board.clock_hz:,} Hz")
    least, step = board.clock_range.least_hz, board.clock_range.step_hz
    if not least <= hz <= board.clock_hz or hz % step:
        message = f"run.clock_hz: {board.name} cannot run at {hz:,} Hz"
        raise KilogradError(message, f"it can at {least:,} to {board.clock_hz:,} Hz in steps of {step:,} Hz")
    return replace(board, clock_hz=hz, active_ma=None, idle_ma=None)


def uart_of(board: Board) -> Peripheral:
    """Return the board's first UART: the link runs over it."""
    for peripheral in board.peripherals:
        if peripheral.kind.startswith("UART."):
            return peripheral
    message = f"{board.folder / board.name}.repl has no UART"
    raise KilogradError(message, "the firmware talks over the first peripheral whose class begins with UART.")


def _mips(entries: list[Entry]) -> int:
    """Return how many million instructions a second Renode runs for this board."""
    found = [entry.properties.get("PerformanceInMips") for entry in entries if entry.kind == "CPU.CortexM"]
    return int(found[0]) if found and isinstance(found[0], int) else RENODE_MIPS


def _platforms() -> Path:
    return paths.share() / "emulation" / "platforms"


def _read_settings(path: Path) -> BoardFile:
    try:
        return BoardFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        message = f"{path}: {error}"
        raise KilogradError(message, "board.toml is a TOML file") from error
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        message = f"{path}: {key}: {problem['msg']}"
        keys = ", ".join(BoardFile.model_fields)
        raise KilogradError(message, f"keys of a board: {keys}; see emulation/platforms") from error


def _is_memory(entry: Entry) -> bool:
    # Memory.ArrayMemory holds registers that nothing models: a peripheral.
    return entry.kind == "Memory.MappedMemory"


def _memory(entry: Entry, settings: _MemorySettings, repl: Path) -> Memory:
    size = entry.properties.get("size")
    if not isinstance(size, int) or size <= 0:
        message = f"{repl}:{entry.line}: memory {entry.name} needs `size: <bytes>`"
        raise KilogradError(message)
    kind: MemoryKind = "ram"
    if entry.name == settings.flash:
        kind = "flash"
    elif entry.name in settings.rom:
        kind = "rom"
    executable = kind == "flash" or entry.name in settings.executable
    return Memory(entry.name, entry.addresses[0], size, kind, executable, entry.addresses[1:])


def _peripheral(entry: Entry) -> Peripheral:
    size = entry.properties.get("size", REGISTER_BLOCK)
    return Peripheral(entry.name, entry.kind, entry.addresses[0], int(size), entry.properties)


def _lines(settings: BoardFile, name: str, peripherals: tuple[Peripheral, ...], folder: Path) -> Lines:
    how = settings.lines[name]
    register = mask = 0
    if how.on is not None:
        places = {peripheral.name: peripheral.base for peripheral in peripherals}
        if how.on.peripheral not in places:
            message = f"{folder / 'board.toml'}: lines.{name}.on: {how.on.peripheral!r} is not in {folder.name}.repl"
            raise KilogradError(message, f"peripherals there: {', '.join(sorted(places))}")
        register, mask = places[how.on.peripheral] + how.on.offset, how.on.mask
    following = how.fill if how.fill_next is None else how.fill_next
    return Lines(how.bytes, how.ways, how.line_bytes, how.fill, following, register, mask, how.clock_hz)


def _waits(settings: BoardFile, name: str, memories: tuple[Memory, ...], folder: Path) -> Waits:
    how = settings.waits[name]
    for used in (*how.code, *how.data):
        if used not in settings.lines:
            message = f"{folder / 'board.toml'}: waits.{name}: there are no lines {used!r}"
            raise KilogradError(message, f"lines: {', '.join(settings.lines)}")
    following = how.fill if how.fill_next is None else how.fill_next
    return Waits(_find(memories, name, folder), how.code, how.data, how.fetch, how.fill, following)


def _find(memories: tuple[Memory, ...], name: str, folder: Path) -> Memory:
    for memory in memories:
        if memory.name == name:
            return memory
    message = f"{folder / 'board.toml'}: memory {name!r} is not in {folder.name}.repl"
    raise KilogradError(message, f"memories there: {', '.join(memory.name for memory in memories)}")
