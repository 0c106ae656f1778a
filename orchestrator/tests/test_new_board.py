# SPDX-License-Identifier: Apache-2.0
"""Boards of one's own: the folder that `new-board` makes, and the names it refuses."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from command_line import QUICK, Cli
from kilograd import paths
from kilograd.errors import KilogradError
from kilograd.platforms import make
from kilograd.platforms.board import load_board

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunCli


def test_a_new_board_trains_digits_at_once(cli: Cli, run_cli: RunCli) -> None:
    """What the user changes next then has something that works to be compared with."""
    made = run_cli("new-board", "tiny_board", "--from", "rp2040", "--out", "boards", "--json")
    folder = json.loads(made.stdout)["folder"]

    done = cli.run("run", "digits", "--board", folder, *QUICK)

    assert (0, 0) == (made.returncode, done.returncode), made.stderr + done.stderr
    (board,) = json.loads(done.stdout)["boards"]
    assert ("tiny_board", True) == (board["board"], board["same_bits"])
    assert ["board.toml", "tiny_board.repl", "tiny_board.resc"] == json.loads(made.stdout)["files"]


def test_a_new_board_differs_in_its_names_only(tmp_path: Path) -> None:
    """The driver, the programmer's target and the sources of figures are still those of the other chip."""
    folder = make.make_board("mine", "nrf52840", tmp_path)

    mine, like = load_board(str(folder)), load_board("nrf52840")
    assert ("mine", "mine, made from Nordic nRF52840") == (mine.name, mine.title)
    assert (like.memories, like.port, like.programmer) == (mine.memories, mine.port, mine.programmer)
    assert "$ORIGIN/mine.repl" in (folder / "mine.resc").read_text()
    assert "nrf52840" not in (folder / "mine.resc").read_text()


def test_a_copy_of_a_qemu_board_is_none(tmp_path: Path) -> None:
    """QEMU's machine would stay as it is, whatever the user changes."""
    folder = make.make_board("mine", "mps2_an386", tmp_path)

    assert load_board(str(folder)).qemu_machine is None


def test_a_board_is_known_by_its_name_in_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There it stands among the others; an installed kilograd is not written to."""
    monkeypatch.chdir(tmp_path)

    assert paths.share() / "emulation" / "platforms" == make._own_boards()
    monkeypatch.setattr(paths, "share", lambda: paths.PACKAGE / "_share")
    assert tmp_path == make._own_boards().resolve()


@pytest.mark.parametrize(
    ("name", "like", "said", "hint"),
    [
        ("nrf52840", "rp2040", "there is a board nrf52840 already", "choose another name"),
        ("Mine", "rp2040", "'Mine' cannot be the name of a board", "small letters"),
        ("../mine", "rp2040", "'../mine' cannot be the name", "small letters"),
        ("host", "rp2040", "host means something else", "another name"),
        ("mine", "z80", "there is no board 'z80'", "nrf52840, rp2040"),
    ],
)
def test_bad_names_are_refused(cli: Cli, run_cli: RunCli, name: str, like: str, said: str, hint: str) -> None:
    """Nothing is made."""
    told = cli.told(run_cli("new-board", name, "--from", like, "--out", "boards"), 2)

    assert said in told
    assert hint in told
    assert not (cli.place.here / "boards").exists()


def test_a_folder_that_exists_is_left_alone(cli: Cli, run_cli: RunCli) -> None:
    """Somebody's work may be in it."""
    (cli.place.here / "boards" / "mine").mkdir(parents=True)

    assert "boards/mine is there already" in cli.told(run_cli("new-board", "mine", "--out", "boards"), 2)
    assert [] == list((cli.place.here / "boards" / "mine").iterdir())


def test_half_a_board_is_never_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A full disk in the middle."""

    def fail(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(make, "_replace", fail)

    with pytest.raises(KilogradError, match="mine cannot be made: No space left"):
        make.make_board("mine", "nrf52840", tmp_path)
    assert [] == list(tmp_path.iterdir())
