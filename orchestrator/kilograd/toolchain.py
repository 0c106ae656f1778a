# SPDX-License-Identifier: Apache-2.0
"""Finds the compilers and build programs, and installs the one that most machines lack."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kilograd import paths, tools
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kilograd.platforms.board import Board, Core

ARM_GCC = "arm-none-eabi-gcc"
PACKAGE = "gcc-arm-none-eabi"
WAYS_OUT = (
    "either apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi"
    ", or pip install ziglang and set KILOGRAD_COMPILER=zig"
)

# zig names a core's floating-point unit in -mcpu: without it, it calls soft float without a word.
ZIG_FLAGS: dict[Core, tuple[str, ...]] = {
    "cortex-m0plus": ("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m0plus"),
    "cortex-m4": ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m4+vfp4d16sp"),
    "cortex-m7": ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m7+fp_armv8d16sp"),
}


@dataclass(frozen=True)
class Compiler:
    """A C compiler and the command that starts it."""

    kind: Literal["gcc", "zig", "host"]
    command: tuple[str, ...]


def arm_compiler() -> Compiler:
    """
    Return the compiler for boards: gcc, or zig when KILOGRAD_COMPILER=zig.

    gcc is taken from the folder KILOGRAD_TOOLCHAIN, else from PATH, else from the copy of `install_arm_gcc`.
    zig's division on Cortex-M0+ is wrong for subnormal numbers, so its bits may differ from gcc's there.
    """
    choice = os.environ.get("KILOGRAD_COMPILER", "gcc")
    if choice == "zig":
        return Compiler("zig", _zig())
    if choice != "gcc":
        message = f"KILOGRAD_COMPILER={choice} is not a compiler that kilograd knows"
        raise KilogradError(message, "set it to gcc or zig, or unset it")
    return Compiler("gcc", (str(_arm_gcc()),))


def core_flags(compiler: Compiler, board: Board) -> tuple[str, ...]:
    """Return the flags that pick the board's core."""
    return ZIG_FLAGS[board.core] if compiler.kind == "zig" else board.compile_flags


def host_compiler() -> Compiler:
    """Return the compiler of this machine: cc, gcc or clang, else zig."""
    for name in ("cc", "gcc", "clang"):
        if path := shutil.which(name):
            return Compiler("host", (path,))
    if find_spec("ziglang"):
        return Compiler("host", _zig())
    message = "no C compiler was found for this machine (cc, gcc, clang)"
    raise KilogradError(message, "either apt-get install gcc, or pip install ziglang")


def describe(compiler: Compiler) -> str:
    """Return the name and version of a compiler, as it tells them itself."""
    return tools.run([*compiler.command, "--version"], what="asking the compiler for its version").splitlines()[0]


def build_program(name: str) -> Path:
    """Return cmake or ninja, preferably the one of this Python environment."""
    beside = Path(sys.executable).parent / name
    return beside if beside.is_file() else Path(tools.find(name, f"pip install {name}"))


def has_arm_compiler() -> bool:
    """Tell whether boards can be built for."""
    try:
        arm_compiler()
    except KilogradError:
        return False
    return True


def install_arm_gcc(progress: Callable[[str], None]) -> None:
    """
    Install gcc for Cortex-M from Debian's packages: for all when root, else unpacked into the user's cache.

    Args:
        progress: is told each thing that begins.

    """
    if shutil.which("apt-get") is None:
        message = f"{ARM_GCC} was not found, and there is no apt-get to install it with"
        raise KilogradError(message, WAYS_OUT)
    try:
        if os.geteuid() == 0:
            apt_install([PACKAGE], progress)
        else:
            _install_private(progress)
    except KilogradError as error:
        message = f"{ARM_GCC} could not be installed: {error.message}"
        raise KilogradError(message, f"{WAYS_OUT}\n{error.hint}".rstrip()) from error


def _zig() -> tuple[str, ...]:
    spec = find_spec("ziglang")
    if spec is None or spec.origin is None:
        message = "the Python package ziglang was not found"
        raise KilogradError(message, "pip install ziglang, or unset KILOGRAD_COMPILER to use gcc")
    return str(Path(spec.origin).parent / "zig"), "cc"


def _arm_gcc() -> Path:
    setting = os.environ.get("KILOGRAD_TOOLCHAIN")
    if setting:
        for folder in ("bin", "usr/bin", "."):
            candidate = Path(setting).expanduser() / folder / ARM_GCC
            if candidate.is_file():
                return candidate
        message = f"KILOGRAD_TOOLCHAIN={setting} holds no bin/{ARM_GCC}"
        raise KilogradError(message, "set it to the folder of a gcc for arm-none-eabi, or unset it")
    if path := shutil.which(ARM_GCC):
        return Path(path)
    private = _private_folder() / "bin" / ARM_GCC
    if private.is_file():
        return private
    message = f"{ARM_GCC} was not found: it compiles the firmware for boards"
    raise KilogradError(message, WAYS_OUT)


def _private_folder() -> Path:
    return paths.cache() / "toolchain"


def apt_install(packages: Sequence[str], progress: Callable[[str], None]) -> None:
    """Install Debian packages for all users; only root can."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        message = f"only root can install {' '.join(packages)} with apt-get"
        raise KilogradError(message, f"apt-get install {' '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    progress(f"installing {' '.join(packages)} with apt-get")
    try:
        tools.run(install, what="apt-get install", env=environment)
    except KilogradError:
        # Most often the package lists are missing or old.
        progress("updating the package lists")
        tools.run(["apt-get", "update"], what="apt-get update", env=environment)
        tools.run(install, what="apt-get install", env=environment)


def _install_private(progress: Callable[[str], None]) -> None:
    """Unpack the package and what it needs beyond what is installed; nothing appears before all of it is there."""
    folder = _private_folder()
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)
        apt = _apt_with_lists(work, progress)
        packages = _missing_packages(apt)
        progress(f"downloading {', '.join(packages)}")
        downloads = work / "downloads"
        downloads.mkdir()
        tools.run([*apt, "download", *packages], what="apt-get download", cwd=downloads)
        root = work / "root"
        for package in sorted(downloads.glob("*.deb")):
            progress(f"unpacking {package.name}")
            tools.run(["dpkg-deb", "-x", package, root], what=f"unpacking {package.name}")
        _write_wrappers(root, folder)
        shutil.rmtree(folder, ignore_errors=True)
        root.rename(folder)
    tools.run([folder / "bin" / ARM_GCC, "--version"], what=f"starting the unpacked {ARM_GCC}")


def _apt_with_lists(work: Path, progress: Callable[[str], None]) -> list[str | Path]:
    """Return an apt-get that knows the package: the system's, else one with package lists of its own."""
    apt: list[str | Path] = ["apt-get"]
    try:
        _missing_packages(apt)
    except KilogradError:
        progress("downloading the package lists")
        lists = work / "lists"
        (lists / "partial").mkdir(parents=True)
        (work / "archives" / "partial").mkdir(parents=True)
        for setting in (f"Dir::State::lists={lists}", f"Dir::Cache={work}", f"Dir::Cache::archives={work}/archives"):
            apt += ["-o", setting]
        tools.run([*apt, "update"], what="apt-get update")
    return apt


def _missing_packages(apt: list[str | Path]) -> list[str]:
    """Return the packages that an installation would add, by a dry run."""
    command = [*apt, "install", "--simulate", "--no-install-recommends", PACKAGE]
    output = tools.run(command, what=f"looking for the package {PACKAGE}")
    return [line.split()[1] for line in output.splitlines() if line.startswith("Inst ")]


def _write_wrappers(root: Path, folder: Path) -> None:
    """Write bin/<program> for each unpacked program: it sets the way to the unpacked libraries, once in `folder`."""
    found = {file.parent.relative_to(root) for file in root.glob("usr/lib/*-linux-gnu*/*.so*")}
    libraries = ":".join(str(folder / path) for path in sorted(found))
    (root / "bin").mkdir()
    for program in sorted((root / "usr" / "bin").glob("arm-none-eabi-*")):
        wrapper = root / "bin" / program.name
        wrapper.write_text(
            "#!/bin/sh\n"
            f'export LD_LIBRARY_PATH="{libraries}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"\n'
            f'exec "{folder}/usr/bin/{program.name}" "$@"\n',
            encoding="utf-8",
        )
        wrapper.chmod(0o755)
