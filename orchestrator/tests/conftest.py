# SPDX-License-Identifier: Apache-2.0
"""What all tests share: the checkout, the command line, and the switch that rewrites golden texts."""

from __future__ import annotations

import contextlib
import io
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from command_line import Cli
from kilograd import paths, toolchain
from kilograd.__main__ import main
from twins import Twins, make_twins

if TYPE_CHECKING:
    from collections.abc import Callable

    RunCli = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Place:
    """A user's machine as kilograd sees it: current folder, home, cache, data sets, and a folder of warm builds."""

    here: Path
    home: Path
    cache: Path
    data: Path
    out: Path


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --update-golden, and how much of the matrix of same bits is compared."""
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files and generated parts of docs")
    parser.addoption("--matrix", choices=("sample", "pairs", "all"), default="sample", help="cells of the matrix")
    parser.addoption("--steps", type=int, default=8, help="training samples in each cell of the matrix")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Tell whether golden texts are to be rewritten instead of compared."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Return the root of the checkout."""
    return Path(__file__).parents[2]


@pytest.fixture(scope="session")
def run_cli() -> RunCli:
    """Return a function that runs a command line in this process and returns exit code, stdout and stderr."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(list(arguments))
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    """Return a maker of host twins: every model is built once."""
    return make_twins(tmp_path_factory.mktemp("twins"))


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the cache and the output folder that whole experiments share: only their tables compile anew."""
    folders = {"KILOGRAD_CACHE": tmp_path_factory.mktemp("cache"), "out": tmp_path_factory.mktemp("out")}
    if (paths.cache() / "toolchain").is_dir() and toolchain.has_arm_compiler():
        folders["KILOGRAD_TOOLCHAIN"] = paths.cache() / "toolchain"
    return folders


@pytest.fixture
def place(warm: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Put the test into an empty folder, with an empty home and no data sets, but with warm builds."""
    place = Place(tmp_path / "here", tmp_path / "home", warm["KILOGRAD_CACHE"], tmp_path / "data", warm["out"])
    for folder in (place.here, place.home, place.data):
        folder.mkdir()
    settings = {name: folder for name, folder in warm.items() if name.isupper()}
    for name, folder in (settings | {"HOME": place.home, "KILOGRAD_DATA": place.data}).items():
        monkeypatch.setenv(name, str(folder))
    monkeypatch.chdir(place.here)
    return place


@pytest.fixture
def cli(run_cli: RunCli, place: Place, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return the command line, without a network."""
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return Cli(run_cli, place)
