# SPDX-License-Identifier: Apache-2.0
"""The host engine: a child process that never hangs, never stays behind and says why it died."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from kilograd.engines import engine_names, open_engine
from kilograd.engines.host import HostEngine
from kilograd.errors import KilogradError
from kilograd.link.protocol import VERSION, Kind
from link.twin import build, frame, intact_frames

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PING = frame(Kind.HELLO, 0, bytes([VERSION]))


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the stand-in's twin."""
    return build(tmp_path_factory.mktemp("twin") / "twin", "-O1")


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Path]:
    """Return a maker of programs that run a line of Python in the twin's place."""

    def make(line: str) -> Path:
        program = tmp_path / "program"
        code = tmp_path / "program.py"
        code.write_text(f"{line}\n", encoding="utf-8")
        program.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{code}'\n", encoding="utf-8")  # paths may hold blanks
        program.chmod(0o755)
        return program

    return make


def test_open_engine_starts_the_twin(twin: Path) -> None:
    """The engine is chosen by its name alone."""
    with open_engine("host", twin, None) as engine:
        assert engine.read().startswith(b"kilograd standin ")
        assert ("host", 64, {}) == (engine.name, engine.window, engine.step_counts())


def test_engines_are_those_in_the_folder() -> None:
    """A new engine is a new file; the contract itself is none."""
    assert "host" in engine_names()
    assert "base" not in engine_names()


@pytest.mark.parametrize("name", ["hots", "base", ""])
def test_wrong_engine_lists_the_right_ones(twin: Path, name: str) -> None:
    """A typing error is repaired from the message."""
    with pytest.raises(KilogradError) as caught:
        open_engine(name, twin, None)

    assert caught.value.message == f"unknown engine: {name}"
    assert "host" in caught.value.hint


def test_writing_without_reading_does_not_hang(twin: Path) -> None:
    """Two full pipes, each waiting for the other end, would stand still for ever."""
    count = 100_000
    with HostEngine(twin) as engine:
        engine.write(PING * count)
        received = b""
        while received.count(b"\0") < 2 * count:
            received += engine.read()

    assert count == len(intact_frames(received))


def test_end_of_input_ends_the_twin(twin: Path) -> None:
    """A killed orchestrator closes the pipe, and no twin stays behind."""
    engine = HostEngine(twin)
    engine._pipes._process.stdin.close()

    assert engine._pipes._process.wait(timeout=10) == 0
    engine.close()


def test_close_ends_a_twin_that_never_reads(script: Callable[[str], Path]) -> None:
    """Closing must not wait for a program that hangs."""
    with HostEngine(script("while True: pass")) as engine:
        process = engine._pipes._process
    engine.close()

    assert process.returncode == -9


def test_interrupt_ends_the_twin(twin: Path) -> None:
    """Ctrl-C while a training runs leaves no process."""
    engine = HostEngine(twin)
    with pytest.raises(KeyboardInterrupt), engine:
        raise KeyboardInterrupt

    assert engine._pipes._process.returncode == -9


def write_for_ever(engine: HostEngine) -> None:
    """Write until that fails."""
    while True:
        engine.write(PING * 1000)


@pytest.mark.parametrize("talk", [HostEngine.read, write_for_ever])
def test_death_says_why(script: Callable[[str], Path], talk: Callable[[HostEngine], object]) -> None:
    """The last words of a twin that crashed are the way to the bug."""
    program = script("import sys; print('assertion failed: x > 0', file=sys.stderr); sys.exit(3)")
    with HostEngine(program) as engine, pytest.raises(KilogradError) as caught:
        talk(engine)

    assert caught.value.message == "the host twin ended (exit code 3)"
    assert caught.value.hint == "assertion failed: x > 0"


def test_death_by_signal_names_it(script: Callable[[str], Path]) -> None:
    """A crash has no exit code."""
    program = script("import os; os.kill(os.getpid(), 11)")
    with HostEngine(program) as engine, pytest.raises(KilogradError) as caught:
        engine.read()

    assert caught.value.message == "the host twin ended (SIGSEGV)"


def test_missing_twin_is_named(tmp_path: Path) -> None:
    """A build folder may have been removed."""
    with pytest.raises(KilogradError) as caught:
        HostEngine(tmp_path / "twin")

    assert caught.value.message == f"the host twin cannot be started: No such file or directory ({tmp_path / 'twin'})"
