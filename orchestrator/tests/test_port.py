# SPDX-License-Identifier: Apache-2.0
"""The Cortex-M port: boot, memory, UART, cycles, stack and faults, on the virtual chips and on QEMU."""

from __future__ import annotations

import ctypes
import os
import random
import re
import select
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import pytest

from builds import CHIPS, PROBE, model_firmware, mps2, needs_binutils, probe_firmware
from kilograd import __version__, elf, paths, toolchain, tools
from kilograd.build import build_firmware
from kilograd.engines.builtin import BuiltinEngine
from kilograd.errors import KilogradError
from kilograd.platforms.board import load_board

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kilograd.platforms.board import Board

ALL_BOARDS = pytest.mark.parametrize("name", CHIPS)
READY = "probe ready\n"
SPIN = 1 << 20


class Probe:
    """Talks to firmware/tests/port_probe.c on a virtual chip."""

    def __init__(self, path: Path, board: Board) -> None:
        self._engine = BuiltinEngine(path, board)
        self.boot = self.line()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.close()

    def line(self) -> str:
        """Return what comes up to the end of a line."""
        text = b""
        while not text.endswith(b"\n"):
            text += self._engine.read()
        return text.decode()

    def ask(self, command: bytes) -> int:
        """Send a command and return the number that it answers."""
        self._engine.write(command)
        return int(self.line(), 16)


def start(name: str, temporary: pytest.TempPathFactory) -> Probe:
    """Boot the probe on a board."""
    board = load_board(name)
    return Probe(probe_firmware(board, temporary), board)


@ALL_BOARDS
def test_board_boots_and_prints(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Reset handler, clocks and UART come up where oscillators and PLLs are stubs."""
    with start(name, tmp_path_factory) as probe:
        assert probe.boot == READY


@ALL_BOARDS
def test_application_prints_its_boot_line(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The real main with the smallest model greets people with its name and version."""
    board = load_board(name)
    text = b""

    with BuiltinEngine(model_firmware(board, tmp_path_factory), board) as engine:
        while b"ready" not in text:
            text += engine.read()

    assert f"kilograd smallest {__version__} ready" in text.decode()


@ALL_BOARDS
def test_every_byte_value_passes_the_uart(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Frames are binary: no value may be changed or swallowed, in whatever number they arrive at once."""
    with start(name, tmp_path_factory) as probe:
        probe._engine.write(b"".join(b"e" + bytes([value]) for value in range(256)))
        echoed = []
        while len(echoed) < 256:
            echoed += [int(line, 16) for line in probe.line().split()]

    assert list(range(256)) == echoed


@ALL_BOARDS
def test_memory_is_initialised(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Trained weights and data come from flash, everything else is zero, and memcpy, memmove and memset are right."""
    with start(name, tmp_path_factory) as probe:
        assert probe.ask(b"m") == 1


@ALL_BOARDS
def test_cycles_follow_the_core_clock(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The counter that measures training agrees with the chip's own count of cycles."""
    with start(name, tmp_path_factory) as probe:
        first, chip_first = probe.ask(b"c"), probe._engine.cycles
        probe.ask(b"w\x01")
        second, chip_second = probe.ask(b"c"), probe._engine.cycles

    assert second - first >= 1 * SPIN
    assert second - first == pytest.approx(chip_second - chip_first, abs=50_000)


def test_cycles_survive_wraps_of_systick(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A step may take longer than the 126 ms after which the RP2040's 24-bit counter wraps: here 15 wraps."""
    with start("rp2040", tmp_path_factory) as probe:
        first = probe.ask(b"c")
        probe.ask(b"w\x55")
        second = probe.ask(b"c")

    cycles_per_turn = 3  # subs, and a taken branch of two cycles (Cortex-M0+ TRM, table 3-1)
    assert second - first > 15 << 24
    assert second - first == pytest.approx(0x55 * SPIN * cycles_per_turn, rel=1e-4)


class FakeClock:
    """A counter of the port, compiled for this machine, over registers that show any time a test likes."""

    def __init__(self, source: str, core_hz: int, folder: Path) -> None:
        self.cycles = 0
        self._mhz = core_hz // 1_000_000
        firmware = paths.share() / "firmware"
        library = folder / f"{source}.so"
        tools.run(
            [
                *toolchain.host_compiler().command,
                *("-std=c11", "-shared", "-fPIC", f"-DKG_CORE_HZ={core_hz}u", "-o", library),
                *("-I", firmware / "tests" / "fake", "-I", firmware),
                *(firmware / "port" / "cortex_m" / f"{source}.c", firmware / "tests" / "fake" / "get.c"),
            ],
            what=f"compiling {source}",
        )
        self._library = ctypes.CDLL(str(library))
        self._library.kg_port_cycles.restype = ctypes.c_uint64
        kind = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32)
        self._get = kind(self._register)  # kept: C calls it as long as the library lives
        ctypes.c_void_p.in_dll(self._library, "kg_fake_get").value = ctypes.cast(self._get, ctypes.c_void_p).value

    def _register(self, address: int) -> int:
        shown = {
            0xE0001004: self.cycles & 0xFFFFFFFF,  # DWT CYCCNT
            0xE000E018: -self.cycles & 0xFFFFFF,  # SysTick counts down
            0x40054028: (self.cycles // self._mhz) & 0xFFFFFFFF,  # microseconds, rounded down
        }
        return shown[address]

    def start(self) -> None:
        """Start the counter."""
        self._library.kg_cycles_start()

    def read(self) -> int:
        """Return the cycles since the start, as the firmware sees them."""
        return int(self._library.kg_port_cycles())


@pytest.mark.parametrize(
    ("source", "core_hz", "longest"),
    [("cycles_dwt", 600_000_000, (1 << 32) - 1), ("cycles_rp2040", 133_000_000, 133 * ((1 << 32) - 2))],
)
def test_cycles_are_exact_over_any_time(source: str, core_hz: int, longest: int, tmp_path: Path) -> None:
    """Counters wrap after 126 ms (SysTick), 7 s (DWT) or 71 minutes (microseconds): not one cycle may get lost."""
    clock = FakeClock(source, core_hz, tmp_path)
    generator = random.Random(1)
    clock.cycles = started = 0xFFFF_FFFF_0000
    clock.start()

    for _ in range(2000):
        clock.cycles += int(longest ** generator.random())
        assert clock.cycles - started == clock.read()


@ALL_BOARDS
def test_stack_peak_grows_with_use_and_stays(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The high-water mark counts the deepest use since reset, not the present one."""
    board = load_board(name)
    with start(name, tmp_path_factory) as probe:
        at_start = probe.ask(b"s")
        probe.ask(b"d\x20")
        deep = probe.ask(b"s")
        probe.ask(b"d\x01")
        after = probe.ask(b"s")

    assert 0 < at_start < 512
    assert at_start + 0x20 * 8 <= deep < board.stack_bytes
    assert deep == after


@ALL_BOARDS
@pytest.mark.parametrize(
    ("command", "what"), [(b"l", "read of 4 bytes from 0x5fffff00"), (b"u", "undefined instruction")]
)
def test_fault_reports_registers(
    name: str, command: bytes, what: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A crash on a board tells where: the firmware prints the registers of the moment, and stops."""
    path = probe_firmware(load_board(name), tmp_path_factory)
    with start(name, tmp_path_factory) as probe, pytest.raises(KilogradError, match=what) as caught:
        probe.ask(command)

    place = elf.symbol(path, "kg_probe_obey")
    pc = int(re.search(r"FAULT HardFault pc=0x([0-9a-f]{8})", caught.value.hint)[1], 16)
    assert place.address <= pc < place.address + place.size
    assert ("cfsr=0x" in caught.value.hint) == (name != "rp2040")
    assert command != b"u" or "r0=0x0000600d" in caught.value.hint


@ALL_BOARDS
def test_stack_overflow_faults_and_is_named(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The stack lies at the start of RAM: running over it changes no data."""
    with start(name, tmp_path_factory) as probe, pytest.raises(KilogradError, match="stack overflow"):
        probe.ask(b"o")


def object_symbols(folder: Path, option: str) -> set[str]:
    """Return the names that nm lists over all objects of a build, with the linker's garbage collection out of play."""
    lines = tools.run(["arm-none-eabi-nm", option, *sorted(folder.rglob("*.obj"))], what="nm").splitlines()
    return {line.split()[-1] for line in lines if line and not line.endswith(":")}


@needs_binutils
@ALL_BOARDS
def test_nothing_but_libgcc_is_needed(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No C library, no libm, no double arithmetic: their results differ between toolchains, and they cost kilobytes."""
    folder = model_firmware(load_board(name), tmp_path_factory).parent

    needed = object_symbols(folder, "-u") - object_symbols(folder, "--defined-only")
    from_libgcc = {symbol for symbol in needed if re.match(r"__(aeabi|gnu)_", symbol)}

    assert [symbol for symbol in needed - from_libgcc if not symbol.startswith("kg_")] == []  # those the linker defines
    assert [symbol for symbol in from_libgcc if re.search(r"aeabi_(d|\w+2d$)", symbol)] == []
    assert ("__aeabi_fmul" in from_libgcc) == (name == "rp2040")


@pytest.mark.skipif(os.environ.get("KILOGRAD_COMPILER") == "zig", reason="only gcc writes .su files here")
@ALL_BOARDS
def test_stack_use_is_known_at_compile_time(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No variable-length array and no alloca anywhere: the compiler gives each function a fixed frame."""
    folder = model_firmware(load_board(name), tmp_path_factory).parent
    frames = [line.rsplit("\t", 2) for file in folder.rglob("*.su") for line in file.read_text().splitlines()]

    assert len(frames) > 50
    assert [frame for frame in frames if frame[2] != "static"] == []


@needs_binutils
def test_flexram_is_set_up_without_the_stack(tmp_path_factory: pytest.TempPathFactory) -> None:
    """On the i.MX RT the stack's memory moves while kg_chip_reset runs, so it must not touch it."""
    path = probe_firmware(load_board("imxrt1062"), tmp_path_factory)

    code = tools.run(["arm-none-eabi-objdump", "-d", "--disassemble=kg_chip_reset", path], what="objdump")

    assert "<kg_chip_reset>:" in code
    assert re.findall(r"\b(?:push|pop|sp|bl|blx)\b", code) == []


@contextmanager
def running(machine: str, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a probe on one of QEMU's MPS2 boards: an independent model of the core's exceptions."""
    program = shutil.which("qemu-system-arm")
    if program is None:
        pytest.skip("needs qemu-system-arm")
    command = [program, "-M", machine, "-display", "none", "-monitor", "none", "-serial", "stdio", "-kernel", str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, bufsize=0) as process:
        yield process
        process.kill()


def talk(process: subprocess.Popen[bytes], command: bytes, until: str) -> str:
    """Send a command once the probe is ready, and return what it prints up to a pattern."""
    text = ""
    for request, pattern in ((b"", READY), (command, until)):
        process.stdin.write(request)
        while not re.search(pattern, text):
            assert select.select([process.stdout], [], [], 30)[0], f"QEMU printed only {text!r}"
            text += process.stdout.read(1 << 12).decode()
    return text


def test_core_delivers_a_fault_to_the_handler(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Exception entry as the architecture defines it: stacked registers, status registers, address of the access."""
    path = probe_firmware(mps2(), tmp_path_factory)
    with running("mps2-an386", path) as process:
        text = talk(process, b"l", r"bfar=\w{10}\n")

    place = elf.symbol(path, "kg_probe_obey")
    assert place.address <= int(re.search(r"pc=0x(\w{8})", text)[1], 16) < place.address + place.size
    assert re.search(r"cfsr=0x00008200 hfsr=0x40000000 .*bfar=0x5fffff00\n", text)  # precise, address valid; escalated


def test_handler_survives_a_stack_that_is_gone(tmp_path_factory: pytest.TempPathFactory) -> None:
    """After an overflow the stack pointer is outside RAM: the handler takes a fresh stack and says so."""
    with running("mps2-an386", probe_firmware(mps2(), tmp_path_factory)) as process:
        text = talk(process, b"o", r"bfar=\w{10}\n")

    assert re.search(r"FAULT HardFault sp=0x1\w{7} outside the stack\n", text)


def test_cortex_m7_memory_protection_shuts_the_rest(tmp_path: Path) -> None:
    """Speculative reads of memory that is not there hang a Cortex-M7; protected, even a deliberate read is refused."""
    flags = ("-mcpu=cortex-m7", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv5-sp-d16")
    board = replace(mps2(), name="mps2_an500", core="cortex-m7", compile_flags=flags)
    board = replace(board, ram=replace(board.ram, size=0x300000))  # three quarters of what a region could be
    path = build_firmware([], board, tmp_path, app=PROBE.with_name("cortex_m7_probe.c"))

    said = []
    for where in (b"x", b"e", b"l"):
        with running("mps2-an500", path) as process:
            said.append(talk(process, where, r"bfar=\w{10}\n|read it"))

    # Data access violations, address valid: far away, and behind the RAM. Its last word is open.
    assert re.search(r"cfsr=0x00000082 .*mmfar=0x60000000", said[0])
    assert re.search(r"cfsr=0x00000082 .*mmfar=0x20300000", said[1])
    assert "read it" in said[2]
