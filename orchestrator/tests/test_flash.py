# SPDX-License-Identifier: Apache-2.0
"""Flashing, with a programmer that only writes down what it was told."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from command_line import QUICK, Cli

if TYPE_CHECKING:
    import pytest

    from conftest import Place, RunCli


def test_flash_hands_the_image_to_the_programmer_of_the_board(
    run_cli: RunCli, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command of board.toml, with the file that was made."""
    programs = place.here / "programs"
    programs.mkdir()
    picotool = programs / "picotool"
    picotool.write_text('#!/bin/sh\necho "$@" > "$(dirname "$0")/told"\n')
    picotool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")

    done = Cli(run_cli, place).run("flash", "digits", "--board", "rp2040", *QUICK)
    (board,) = json.loads(done.stdout)["boards"]
    image = board["images"]["uf2"]

    assert ("rp2040", True) == (board["board"], board["programmed"])
    assert f"load --execute {image}\n" == (programs / "told").read_text()


def test_missing_programmer_says_how_to_get_it_and_leaves_the_images(run_cli: RunCli, place: Place) -> None:
    """Without the tool, copying the file by hand still works."""
    cli = Cli(run_cli, place)

    told = cli.fails("flash", "digits", "--board", "imxrt1062", *QUICK)
    done = cli.run("flash", "digits", "--board", "imxrt1062", "--images-only", *QUICK)
    (board,) = json.loads(done.stdout)["boards"]

    assert "error: teensy_loader_cli was not found" in told
    assert "--images-only" in told
    assert not board["programmed"]
    assert {"hex", "bin"} == set(board["images"])
