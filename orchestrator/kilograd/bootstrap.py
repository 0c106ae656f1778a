# SPDX-License-Identifier: Apache-2.0
"""
Set up a checkout: virtual environment, Python packages, native part, compilers.

The launcher starts this with nothing but a bare Python 3.11: only the standard library is at hand, and perhaps not all
of it (Debian's python3 comes without ensurepip).
"""

from __future__ import annotations

import configparser
import contextlib
import fcntl
import hashlib
import html
import os
import re
import shutil
import ssl
import sys
import tempfile
import tomllib
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilograd import toolchain, tools
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).parents[2]
STAMP = "kilograd.stamp"
STAMP_LINES = 4  # packages, native part, Python, what the user wants besides
PACKAGES = "KILOGRAD_PACKAGES"
ZIG_PROGRAMS = ("cc", "ar", "ranlib")
BUILD_HINT = "the C compiler says why; another one can be set as CC"


def main(arguments: list[str]) -> int:
    """Set up the environment in a folder; the other arguments are fingerprints of what it is made from."""
    folder, *wanted = arguments
    os.environ.pop("PYTHONPATH", None)  # the launcher's, which pip must not see
    try:
        with _locked(Path(folder)) as venv:
            set_up(venv, *wanted)
    except KilogradError as error:
        _print(f"error: {error.message}")
        _print(f"hint: {error.hint}")
        return error.exit_code
    except KeyboardInterrupt:
        _print("kilograd: interrupted; the next start sets up again")
        return 130
    return 0


def set_up(venv: Path, packages: str, native: str, more: str) -> None:
    """
    Bring the environment up to date; the stamp tells what is done, so an interrupted set-up is taken up again.

    Args:
        venv: its folder.
        packages: fingerprint of what kilograd requires.
        native: fingerprint of the native part's sources.
        more: fingerprint of KILOGRAD_PACKAGES; empty: what is installed stays.

    """
    python = venv / "bin" / "python"
    done = [*_read_stamp(venv), *[""] * STAMP_LINES][:STAMP_LINES]  # another launcher may have been faster
    if [done[0], done[2]] != [packages, os.path.realpath(python)]:
        _write_stamp(venv, [])
        install_required(venv)
        done = [packages, "", os.path.realpath(python), ""]
        _write_stamp(venv, done)
    if done[1] != native:
        _write_stamp(venv, [done[0], "", *done[2:]])
        compiler = host_compiler(venv)
        say("building the native part ...")
        pip(python, "--no-build-isolation", "--no-deps", "--editable", ".", compiler=compiler)
        arm_compiler()
        done[1] = native
        _write_stamp(venv, done)
    if more and done[3] != more:
        install_wanted(python, os.environ.get(PACKAGES, "").split())
        _write_stamp(venv, [*done[:3], more])


def install_required(venv: Path) -> None:
    """Make the environment and install what kilograd and its tests require."""
    say("making a virtual environment ...")
    make_environment(venv)
    say("installing Python packages (some minutes the first time) ...")
    pip(
        venv / "bin" / "python",
        *_pyproject("build-system", "requires"),
        *_pyproject("project", "dependencies"),
        *_pyproject("project", "optional-dependencies", "test"),
    )


def install_wanted(python: Path, wanted: list[str]) -> None:
    """Install what the user wants besides."""
    say(f"installing {' '.join(wanted)} ...")
    try:
        pip(python, *wanted)
    except KilogradError as error:
        told = [line.removeprefix("ERROR: ") for line in error.message.splitlines() if line.startswith("ERROR: ")]
        message = f"{PACKAGES}: {' '.join(wanted)} cannot be installed: {(told or [error.message])[-1]}"
        raise KilogradError(
            message, f"correct or unset {PACKAGES}; pip needs the network, or your own index"
        ) from error


def make_environment(venv: Path) -> None:
    """Make an empty environment with pip: from ensurepip, from Debian as root, or from the package index."""
    python = venv / "bin" / "python"
    make = [sys.executable, "-m", "venv", "--clear"]
    with contextlib.suppress(KilogradError):
        tools.run([*make, venv], what="python3 -m venv")
        return
    with contextlib.suppress(KilogradError):
        toolchain.apt_install(["python3-venv"], say_more)
        tools.run([*make, venv], what="python3 -m venv")
        return
    tools.run([*make, "--without-pip", venv], what="python3 -m venv --without-pip")
    say("fetching pip ...")
    with tempfile.TemporaryDirectory() as folder:
        wheel = fetch_pip(Path(folder))
        tools.run([python, wheel / "pip", "install", "--no-index", wheel], what="installing pip")


def pip(python: Path, *arguments: str, compiler: str = "") -> None:
    """Install with the environment's pip and the user's settings; `compiler` is for what is built from source."""
    environment = os.environ | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    if compiler:
        environment["CC"] = compiler  # else the builder asks for the compiler that made Python
    command: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    try:
        tools.run([*command, *arguments], what="pip install", cwd=CHECKOUT, env=environment)
    except KilogradError as error:
        message = f"{error.message}\n{error.hint}"
        hint = "pip needs the network, or a package index in its settings (pip config, PIP_INDEX_URL)"
        raise KilogradError(message, BUILD_HINT if compiler else hint) from error


def host_compiler(venv: Path) -> str:
    """Return a C compiler for this computer: its own, else Debian's as root, else zig from the package index."""
    zig = venv / "bin" / "cc"
    candidates = (os.environ.get("CC", "cc"), "gcc", "clang", str(zig))
    if found := next(filter(_compiles, candidates), None):
        return found
    with contextlib.suppress(KilogradError):
        toolchain.apt_install(["gcc", "libc6-dev"], say_more)
        return "gcc"
    say("installing zig as the C compiler ...")
    python = venv / "bin" / "python"
    pip(python, *_pyproject("project", "optional-dependencies", "zig"))
    for name in ZIG_PROGRAMS:
        program = zig.with_name(name)
        program.write_text(f'#!/bin/sh\nexec "{python}" -m ziglang {name} "$@"\n')
        program.chmod(0o755)
    return str(zig)


def arm_compiler() -> None:
    """Make sure that there is a compiler for the boards; without one, only what needs it fails later."""
    if toolchain.has_arm_compiler():
        return
    try:
        toolchain.install_arm_gcc(say_more)
    except KilogradError as error:
        _print(f"warning: {error.message}\nhint: {error.hint}")


def fetch_pip(folder: Path) -> Path:
    """Download the newest pip wheel from the package index that pip's settings name, and check its hash."""
    index = _pip_setting("index-url", "https://pypi.org/simple").rstrip("/")
    certificates = _pip_setting("cert", "")
    context = ssl.create_default_context(cafile=certificates or None)
    try:
        with urllib.request.urlopen(f"{index}/pip/", context=context) as page:  # noqa: S310 - the user's own setting
            link = newest_wheel(page.read().decode())
        address = urllib.parse.urljoin(f"{index}/pip/", link)
        with urllib.request.urlopen(address, context=context) as file:  # noqa: S310 - as above
            content = file.read()
    except (urllib.error.URLError, ValueError) as error:
        message = f"python3 comes without pip, and it cannot be fetched from {index}: {error}"
        raise KilogradError(message, "as root: apt-get install python3-venv ca-certificates") from error
    address, _, digest = address.partition("#sha256=")
    if digest and hashlib.sha256(content).hexdigest() != digest:
        message = f"{address} is damaged: its hash differs from the index's"
        raise KilogradError(message, "try again, or as root: apt-get install python3-venv")
    wheel = folder / address.rpartition("/")[2]
    wheel.write_bytes(content)
    return wheel


def newest_wheel(page: str) -> str:
    """Return the link of the newest release of pip on an index page."""
    links = re.findall(r'href="((?:[^"]*/)?pip-(\d+(?:\.\d+)*)-py3-none-any\.whl[^"]*)"', page)
    if not links:
        message = "the index lists no pip"
        raise ValueError(message)
    newest: str = max(links, key=lambda link: [int(part) for part in link[1].split(".")])[0]
    return html.unescape(newest)


def say(text: str) -> None:
    """Tell what is under way."""
    _print(f"kilograd: {text}")


def say_more(text: str) -> None:
    """Tell what is under way, in a line that more may follow."""
    say(f"{text} ...")


def _print(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _read_stamp(venv: Path) -> list[str]:
    return (venv / STAMP).read_text(encoding="utf-8").splitlines()


def _write_stamp(venv: Path, lines: list[str]) -> None:
    new = venv / f"{STAMP}.new"
    new.write_text("\n".join(lines), encoding="utf-8")
    new.replace(venv / STAMP)


@contextlib.contextmanager
def _locked(venv: Path) -> Iterator[Path]:
    """Make the folder and hold it alone; the system frees the lock when the process ends, however it ends."""
    try:
        venv.mkdir(parents=True, exist_ok=True)
        (venv / STAMP).touch()
        handle = os.open(venv, os.O_RDONLY)
    except OSError as error:
        message = f"the virtual environment cannot be made: {error}"
        raise KilogradError(message, "set KILOGRAD_VENV to a folder that you can write to") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another kilograd that is setting up ...")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield venv
    finally:
        os.close(handle)


def _compiles(compiler: str) -> bool:
    """Tell whether a C compiler is there and has the C library's headers."""
    if shutil.which(compiler) is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.c"
        source.write_text("#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n")
        try:
            tools.run([compiler, source, "-o", source.with_suffix("")], what=compiler)
        except KilogradError:
            return False
    return True


def _pip_setting(name: str, default: str) -> str:
    """Return a setting of pip: from its environment variable, or from the user's or the system's file."""
    if value := os.environ.get(f"PIP_{name.replace('-', '_').upper()}"):
        return value
    config = Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config")) / "pip" / "pip.conf"
    own = Path(os.environ.get("PIP_CONFIG_FILE", os.devnull))
    parser = configparser.ConfigParser(interpolation=None)
    parser.read([Path("/etc/pip.conf"), Path.home() / ".pip" / "pip.conf", config, own])
    return parser.get("install", name, fallback=parser.get("global", name, fallback=default))


def _pyproject(*keys: str) -> list[str]:
    """Return a list of requirements from pyproject.toml."""
    content: Any = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    for key in keys:
        content = content[key]
    return list(content)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
