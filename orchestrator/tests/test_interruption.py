# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and damaged folders: no run leaves anything behind that harms the next one."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from command_line import QUICK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from command_line import Cli


@pytest.mark.parametrize("engine", ["builtin", "host"])
def test_an_interrupted_run_ends_at_once_and_the_next_one_works(cli: Cli, engine: str) -> None:
    """Ctrl-C in the middle of training: one line, exit code 130, nothing half-written."""
    (before,) = json.loads(cli.run("run", "digits", *QUICK, "--engine", engine, "--board", "nrf52840").stdout)["boards"]
    made = {path for path in cli.place.out.rglob("*") if path.is_file()}
    where = "host" if engine == "host" else "nrf52840"
    endless = ("--set", "train.steps=1000000000", "--set", "train.epochs=20000", "--set", "pretrain.epochs=1")
    command = ["run", "digits", "--json", "--out", cli.place.out, "--engine", engine, "--board", "nrf52840", *endless]
    with subprocess.Popen(
        [sys.executable, "-m", "kilograd", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell in the background hands on that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as process:
        for line in process.stderr:
            if line.startswith(f"training on {where} ..."):
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err
    assert {path for path in cli.place.out.rglob("*") if path.is_file()} == made
    assert list((cli.place.cache / "pretrained").glob("*.tmp*")) == []
    (after,) = json.loads(cli.run("run", "digits", *QUICK, "--engine", engine, "--board", "nrf52840").stdout)["boards"]
    assert before == after


def damaged(path: Path) -> None:
    """Cut a file off in the middle."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda build: damaged(build / "build.ninja"), id="rules of ninja cut off"),
        pytest.param(lambda build: damaged(build / "CMakeCache.txt"), id="cache of cmake cut off"),
        pytest.param(lambda build: damaged(next(build.rglob("link.c.o*"))), id="object cut off"),
        pytest.param(lambda build: damaged(build / "settings.cmake"), id="settings cut off"),
        pytest.param(lambda build: shutil.rmtree(build / "CMakeFiles"), id="folder removed"),
        pytest.param(lambda build: damaged(build.parent / "model.c"), id="tables cut off"),
    ],
)
def test_a_damaged_build_folder_is_repaired(cli: Cli, damage: Callable[[Path], None]) -> None:
    """A full disk or a power cut during a build must not need `rm -r build`."""
    arguments = ("plan", "digits", "--board", "nrf52840")
    before = cli.run(*arguments)
    elf = cli.place.out / "nrf52840" / "build" / "firmware.elf"
    whole = elf.read_bytes()
    damage(elf.parent)

    after = cli.run(*arguments)

    assert (after.returncode, after.stdout) == (0, before.stdout)
    assert elf.read_bytes() == whole


def test_a_damaged_pretrained_model_is_made_again(cli: Cli) -> None:
    """The numbers are those of the undamaged file."""
    arguments = ("run", "digits", *QUICK, "--engine", "host")
    before = cli.run(*arguments)
    (newest, *_) = sorted((cli.place.cache / "pretrained").iterdir(), key=lambda path: -path.stat().st_mtime_ns)
    damaged(newest)

    after = cli.run(*arguments)

    assert (after.returncode, after.stdout) == (0, before.stdout)
