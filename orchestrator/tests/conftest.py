# SPDX-License-Identifier: Apache-2.0
"""What all tests share: the checkout, the command line, and the switch that rewrites golden texts."""

from __future__ import annotations

import contextlib
import io
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kilograd.__main__ import main
from twins import Twins, make_twins

if TYPE_CHECKING:
    from collections.abc import Callable

    RunCli = Callable[..., subprocess.CompletedProcess[str]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --update-golden."""
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files and generated parts of docs")


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
