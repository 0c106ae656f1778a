# SPDX-License-Identifier: Apache-2.0
"""Starts whole commands in an empty place, and checks that failures have the right form."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from kilograd import paths

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from conftest import Place, RunCli

QUICK = ("--set", "train.steps=48", "--set", "pretrain.epochs=1", "--set", "data.test_samples=50")
"""Options for an experiment whose result does not matter."""


class Cli:
    """The command line in a place of its own."""

    def __init__(self, run_cli: RunCli, place: Place) -> None:
        self._run = run_cli
        self.place = place

    def experiment(self, text: str) -> Path:
        """Write an experiment file."""
        path = self.place.here / "experiment.toml"
        path.write_text(text, encoding="utf-8")
        return path

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a verb with --json and warm builds, and without progress."""
        verb, source, *options = map(str, arguments)
        return self._run(verb, source, "--json", "--quiet", "--out", str(self.place.out), *options)

    def fails(self, *arguments: str | Path, code: int = 2) -> str:
        """Run a verb that must fail in the right form, and return what it says."""
        done = self.run(*arguments)
        return self.told(done, code)

    @staticmethod
    def told(done: subprocess.CompletedProcess[str], code: int) -> str:
        """Check the form of a failure: one error, one hint, no traceback, nothing for scripts to misread."""
        assert (done.returncode, done.stdout) == (code, "")
        assert re.match(r"\Aerror: \S.*\nhint: \S", done.stderr), done.stderr
        assert done.stderr.count("error: ") == 1
        assert "Traceback" not in done.stderr
        assert "defect of kilograd" not in done.stderr
        return done.stderr


def own_board(folder: Path, **replacements: str) -> Path:
    """Copy the nRF52840's folder under another name, with lines of its files replaced."""
    shutil.copytree(paths.share() / "emulation" / "platforms" / "nrf52840", folder)
    (folder / "nrf52840.repl").rename(folder / f"{folder.name}.repl")
    for file in folder.iterdir():
        text = file.read_text(encoding="utf-8")
        for before, after in replacements.items():
            text = re.sub(before, after, text)
        file.write_text(text, encoding="utf-8")
    return folder
