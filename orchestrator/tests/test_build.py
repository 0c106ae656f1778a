# SPDX-License-Identifier: Apache-2.0
"""Builds: reproducible, incremental, complete, and clear about what is wrong."""

from __future__ import annotations

import concurrent.futures
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from builds import CHIPS, MODEL, PROBE, model_firmware
from kilograd import __version__, build, elf, paths, toolchain, tools
from kilograd.errors import CheckFailedError, KilogradError
from kilograd.platforms.board import load_board

if TYPE_CHECKING:
    from pathlib import Path


def write_model(path: Path, **numbers: int) -> Path:
    """Write the smallest model with other numbers of FEATURES or WEIGHTS."""
    text = MODEL.read_text(encoding="utf-8")
    for name, value in numbers.items():
        text = re.sub(rf"#define {name} \d+", f"#define {name} {value}", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def copied_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give kilograd a copy of its own sources, in another folder, that a test may change."""
    share = tmp_path / "another place" / "share"
    for folder in ("firmware", "cmake", "emulation/platforms"):
        shutil.copytree(paths.share() / folder, share / folder)
    shutil.copy(paths.share() / "CMakeLists.txt", share)
    monkeypatch.setattr(paths, "share", lambda: share)
    return share


@pytest.fixture
def small_share(copied_share: Path) -> Path:
    """Give kilograd a firmware without operators and runtime: enough for the probe, and quick to build."""
    for folder in ("ops", "runtime"):
        for source in (copied_share / "firmware" / folder).glob("*.c"):
            source.unlink()
    return copied_share


@pytest.mark.parametrize("name", CHIPS)
def test_elf_is_the_same_from_other_folders(
    name: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever builds a commit gets the same bytes, wherever the checkout and the build folder are."""
    board = load_board(name)
    first = model_firmware(board, tmp_path_factory).read_bytes()
    request.getfixturevalue("copied_share")
    monkeypatch.delenv("CMAKE_C_COMPILER_LAUNCHER", raising=False)  # a cache of objects would prove nothing
    model = write_model(tmp_path / "deep" / "er" / MODEL.name)

    second = build.build_firmware([model], board, tmp_path / "out").read_bytes()

    assert first == second


def test_second_build_compiles_only_what_changed(tmp_path: Path) -> None:
    """A user who changes one layer does not wait for the whole runtime."""
    board = load_board("nrf52840")
    model = write_model(tmp_path / "model.c")
    path = build.build_firmware([model], board, tmp_path / "out")
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*.obj")}
    built = path.stat().st_mtime_ns

    build.build_firmware([model], board, tmp_path / "out")
    unchanged = path.stat().st_mtime_ns
    write_model(model, FEATURES=512)
    build.build_firmware([model], board, tmp_path / "out")
    changed = {file.name for file, time in before.items() if file.stat().st_mtime_ns != time}

    assert built == unchanged
    assert changed == {"model.c.obj"}
    assert elf.memory_use(path, board).ram.features == 512


@pytest.mark.usefixtures("small_share")
def test_changed_board_is_built_anew(tmp_path: Path) -> None:
    """A board's numbers are part of the build: a changed board file must not leave old objects behind."""
    board = load_board("nrf52840")
    first = build.build_firmware([], board, tmp_path / "out", app=PROBE).read_bytes()
    ram = type(board.ram)(board.ram.name, board.ram.base + 0x8000, board.ram.size - 0x8000, "ram", executable=False)

    moved = type(board)(**{**vars(board), "ram": ram})
    second = build.build_firmware([], moved, tmp_path / "out", app=PROBE)

    assert first != second.read_bytes()
    assert elf.symbol(second, "kg_stack_start").address == board.ram.base + 0x8000


def test_too_large_features_name_the_bytes_of_ram(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The numbers are exact: as many bytes needed as the small model takes plus what was added."""
    board = load_board("nrf52840")
    small = elf.memory_use(model_firmware(board, tmp_path_factory), board).ram.total
    model = write_model(tmp_path / "model.c", FEATURES=256 + board.ram.size)

    with pytest.raises(CheckFailedError) as caught:
        build.build_firmware([model], board, tmp_path / "out")

    needed = small + board.ram.size
    assert caught.value.message == (
        f"the model is too large for nrf52840: RAM: {needed:,} bytes needed, {board.ram.size:,} available"
    )


def test_too_large_weights_name_the_bytes_of_flash(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Flash overflows are told apart from RAM overflows."""
    board = load_board("nrf52840")
    small = elf.memory_use(model_firmware(board, tmp_path_factory), board).flash.total
    model = write_model(tmp_path / "model.c", WEIGHTS=128 + board.flash.size)

    with pytest.raises(CheckFailedError) as caught:
        build.build_firmware([model], board, tmp_path / "out")

    assert f"flash: {small + board.flash.size:,} bytes needed, {board.flash.size:,} available" in caught.value.message
    assert "RAM" not in caught.value.message


def test_compiler_errors_reach_the_user(tmp_path: Path) -> None:
    """A generator bug shows the compiler's own line, with the file's name."""
    model = tmp_path / "broken.c"
    model.write_text("int kg_broken(void);\nint kg_broken(void) { return nowhere; }\n", encoding="utf-8")

    with pytest.raises(KilogradError, match="building the firmware for nrf52840 failed") as caught:
        build.build_firmware([model], load_board("nrf52840"), tmp_path / "out")

    assert "broken.c:2" in caught.value.hint
    assert "'nowhere' undeclared" in caught.value.hint


def test_warnings_are_errors(tmp_path: Path) -> None:
    """A silent conversion in generated code is a wrong number later."""
    model = tmp_path / "narrow.c"
    model.write_text("char kg_narrow(int x);\nchar kg_narrow(int x) { return x; }\n", encoding="utf-8")

    with pytest.raises(KilogradError) as caught:
        build.build_firmware([model], load_board("nrf52840"), tmp_path / "out")

    assert "-Werror=conversion" in caught.value.hint


@pytest.mark.parametrize(("name", "expected"), [("nrf52840", {"dsp"}), ("imxrt1062", {"m7"}), ("rp2040", {"v6m"})])
def test_variants_are_compiled_for_their_cores_only(
    name: str, expected: set[str], tmp_path: Path, small_share: Path
) -> None:
    """Adding a fast variant is adding one file: its suffix says where it belongs, and what it replaces."""
    for suffix in ("dsp", "m7", "v6m", "host"):
        text = f"void kg_variant_{suffix}(void);\nvoid kg_variant_{suffix}(void) {{}}\n"
        (small_share / "firmware" / "ops" / f"variant_{suffix}.c").write_text(text, encoding="utf-8")

    build.build_firmware([], load_board(name), tmp_path / "out", app=PROBE)

    found = {file.name.split(".")[0].removeprefix("variant_") for file in (tmp_path / "out").rglob("variant_*.obj")}
    assert expected == found


def test_kernels_are_a_library_with_variants(tmp_path: Path, small_share: Path) -> None:
    """Tests call kernels through ctypes: every symbol must be there when it loads, boards' kernels in C as well."""
    for value, suffix in enumerate(("dsp", "host", "v6m")):
        text = f"int kg_variant_{suffix}(void);\nint kg_variant_{suffix}(void) {{ return {value}; }}\n"
        (small_share / "firmware" / "ops" / f"variant_{suffix}.c").write_text(text, encoding="utf-8")

    library = build.build_kernels(tmp_path / "out")

    calls = "x.kg_variant_dsp(), x.kg_variant_host(), x.kg_variant_v6m()"
    script = f"import ctypes; x = ctypes.CDLL({str(library)!r}); print({calls})"
    assert tools.run([sys.executable, "-c", script], what="loading the kernels") == "0 1 2\n"


def test_twin_greets_and_ends_with_its_input(tmp_path: Path) -> None:
    """The twin is the firmware as a program: it prints the boot line of a board."""
    twin = build.build_twin([MODEL], tmp_path)

    done = subprocess.run([twin], input=b"", capture_output=True, check=True, timeout=30)

    assert f"kilograd smallest {__version__} ready" in done.stdout.decode()


@pytest.mark.usefixtures("small_share")
def test_two_builds_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Sweeps build boards in parallel."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        builds = [
            pool.submit(build.build_firmware, [], load_board(name), tmp_path / name, app=PROBE)
            for name in ("nrf52840", "rp2040")
        ]
        done = [future.result() for future in builds]

    assert [path.parent.name for path in done] == ["nrf52840", "rp2040"]
    assert all(elf.symbol(path, "main").size > 0 for path in done)


@pytest.mark.skipif(find_spec("ziglang") is None, reason="needs the Python package ziglang")
@pytest.mark.parametrize("name", ["nrf52840", "imxrt1062"])
def test_zig_uses_the_floating_point_unit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the unit's name in its flags zig calls soft float and says nothing."""
    monkeypatch.setenv("KILOGRAD_COMPILER", "zig")

    path = build.build_firmware([MODEL], load_board(name), tmp_path)

    names = {symbol.name for symbol in elf.symbols(path)}
    assert names.isdisjoint({"__aeabi_fadd", "__aeabi_fmul", "__aeabi_i2f"})
    assert "kg_reset_entry" in names


def test_missing_compiler_names_both_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a toolchain learns what to type."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("KILOGRAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KILOGRAD_TOOLCHAIN", raising=False)
    monkeypatch.delenv("KILOGRAD_COMPILER", raising=False)

    with pytest.raises(KilogradError, match="arm-none-eabi-gcc was not found") as caught:
        build.build_firmware([MODEL], load_board("nrf52840"), tmp_path / "out")

    assert "apt-get install gcc-arm-none-eabi" in caught.value.hint
    assert "pip install ziglang and set KILOGRAD_COMPILER=zig" in caught.value.hint


def test_private_copy_is_found_when_path_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the launcher unpacked without root is used by itself."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("KILOGRAD_CACHE", str(tmp_path))
    monkeypatch.delenv("KILOGRAD_TOOLCHAIN", raising=False)
    monkeypatch.delenv("KILOGRAD_COMPILER", raising=False)
    program = tmp_path / "toolchain" / "bin" / "arm-none-eabi-gcc"
    program.parent.mkdir(parents=True)
    program.touch()

    assert toolchain.arm_compiler().command == (str(program),)


@pytest.mark.parametrize(("name", "value"), [("KILOGRAD_COMPILER", "icc"), ("KILOGRAD_TOOLCHAIN", "/nowhere")])
def test_wrong_setting_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that is spelled wrong must not fall back to another compiler in silence."""
    monkeypatch.setenv(name, value)

    with pytest.raises(KilogradError, match=f"{name}={value}"):
        toolchain.arm_compiler()


def test_installation_without_apt_names_both_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On other systems the launcher says what to do instead of failing in apt."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(KilogradError, match="there is no apt-get") as caught:
        toolchain.install_arm_gcc(lambda _: None)

    assert "KILOGRAD_COMPILER=zig" in caught.value.hint
