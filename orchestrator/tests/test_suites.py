# SPDX-License-Identifier: Apache-2.0
"""The Robot suites: which boards meet which engines, what is counted, and how plain Robot finds kilograd."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import robot

from kilograd import suites
from kilograd.console import SilentProgress
from kilograd.engines import qemu
from kilograd.errors import KilogradError
from kilograd.paths import share
from kilograd.platforms.board import boards

if TYPE_CHECKING:
    from conftest import RunCli

QEMU_BOARDS = ["mps2_an385", "mps2_an386", "mps2_an500"]


def cells(chosen: list[str], engines: list[str]) -> list[tuple[str, str]]:
    """Return a matrix as pairs."""
    return [(cell.name, cell.engine) for cell in suites.matrix(chosen, engines, SilentProgress())]


def test_matrix_holds_every_board_on_every_engine_that_knows_it() -> None:
    """The virtual chip runs all; QEMU its own; Renode those that have more than QEMU's."""
    assert [(name, "builtin") for name in boards()] == cells([], ["builtin"])
    assert [(name, "qemu") for name in QEMU_BOARDS] == cells([], ["qemu"])
    assert [("rp2040", "renode")] == cells(["rp2040", "mps2_an385"], ["renode"])


def test_engines_that_are_not_installed_are_left_out_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most machines have neither QEMU nor Renode; nobody should think that they passed."""
    notes: list[str] = []
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("RENODE_ROOT", raising=False)
    monkeypatch.setattr(SilentProgress, "note", lambda _, text: notes.append(text))

    assert [("mps2_an385", "builtin")] == cells(["mps2_an385"], [])
    assert [f"without qemu: {qemu.PROGRAM} was not found", "without renode: renode was not found"] == notes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--board", "z80"), "there is no board 'z80'"),
        (("--engine", "abacus"), "abacus is no engine"),
        (("--engine", "host"), "host cannot run the suites"),
        (("--engine", "qemu", "--board", "rp2040"), "qemu cannot run rp2040"),
    ],
)
def test_wrong_names_end_with_the_right_ones(run_cli: RunCli, options: tuple[str, ...], said: str) -> None:
    """Nothing is built for a combination that does not exist."""
    done = run_cli("robot", *options)

    assert (2, "") == (done.returncode, done.stdout)
    assert said in done.stderr
    assert "hint: engines: builtin, qemu, renode" in done.stderr or "boards" in done.stderr


def a_suite(folder: Path) -> Path:
    """Write a suite with a test of each kind."""
    folder.mkdir()
    (folder / "one.robot").write_text(
        "*** Test Cases ***\n"
        "It Works\n    Should Be Equal    ${BOARD}    tiny\n"
        "It Fails\n    Fail    as it must\n"
        "It Skips\n    Skip    no reason\n"
        "It Takes Long\n    [Tags]    slow\n    Fail    nobody waited\n"
    )
    return folder


def test_outcome_counts_tests_and_keeps_reasons(tmp_path: Path) -> None:
    """Robot's own exit code is a number of failed tests; ours is not."""
    done: list[int] = []
    result = suites.run_robot(
        a_suite(tmp_path / "suites"),
        tmp_path / "out",
        variables={"BOARD": "tiny"},
        exclude=["slow"],
        advance=done.append,
    )

    assert {"passed": 1, "failed": 1, "skipped": 1} == dict(result.counts)
    assert (suites.Failure("It Fails", "as it must"),) == result.failures
    assert [1, 1, 1] == done


def test_folder_without_suites_is_an_error_not_a_pass(tmp_path: Path) -> None:
    """No test has failed where none has run."""
    (tmp_path / "empty").mkdir()

    with pytest.raises(KilogradError, match="Robot could not run empty"):
        suites.run_robot(tmp_path / "empty", tmp_path / "out")


def test_verb_reports_failures_for_machines_and_in_one_log(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A script reads the JSON, a CI the JUnit file, a person the log."""
    monkeypatch.setattr(suites, "folder", lambda: a_suite(tmp_path / "suites"))
    out = tmp_path / "out"

    done = run_cli("robot", "--board", "rp2040", "--engine", "builtin", "--quick", "--json", "--out", str(out), "-q")

    content = json.loads(done.stdout)
    row = {"board": "rp2040", "engine": "builtin", "passed": 0, "failed": 2, "skipped": 1}
    assert (1, False, [row]) == (done.returncode, content["passed"], content["rows"])
    assert ["It Works", "It Fails"] == [failure["test"] for failure in content["failures"]]
    assert "It Fails (rp2040 on builtin): as it must" in done.stderr
    assert {"log.html", "report.html", "output.xml", "junit.xml"} <= {file.name for file in out.iterdir()}


PLAIN_ROBOT = """
import sys
from importlib.util import find_spec
sys.path.append(sys.argv[1])
assert getattr(find_spec("kilograd"), "origin", None) is None, "this Python knows kilograd already"
import robot
robot.run_cli(sys.argv[2:])
"""


def test_plain_robot_needs_no_path_to_kilograd(tmp_path: Path) -> None:
    """Suites find their libraries and these the checkout, in a Python that has packages but no kilograd installed."""
    packages = str(Path(robot.__file__).parents[1])
    options = ["--dryrun", "--variable", "BOARD:rp2040", "--outputdir", str(tmp_path), str(share() / "robot_tests")]
    command = [sys.executable, "-I", "-S", "-c", PLAIN_ROBOT, packages, *options]

    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed" in done.stdout
    assert "WARN" not in done.stdout + done.stderr
