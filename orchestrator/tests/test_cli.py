# SPDX-License-Identifier: Apache-2.0
"""The command line: verbs, options, exit codes, and what goes to stdout and to stderr."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from kilograd import cli, console
from kilograd.errors import KilogradError
from kilograd.report import Report
from test_report import BOARD, PLAN

if TYPE_CHECKING:
    from conftest import RunCli


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Put a flow in place that notes what it is asked for, and answers with what the test says."""
    fake = SimpleNamespace(calls=[], report=Report((BOARD,)), plans=[PLAN], error=None)

    def answer(experiment: object, *, progress: console.Progress, **options: object) -> Report:
        fake.calls.append((experiment, options))
        if fake.error:
            raise fake.error
        with progress.task("training", total=2) as task:
            task.advance(2)
        return fake.report

    fake.run_experiment = answer
    fake.plan_experiment = lambda experiment, **options: fake.calls.append((experiment, options)) or fake.plans
    monkeypatch.setitem(sys.modules, "kilograd.flow", fake)
    monkeypatch.setattr("kilograd.flow", fake, raising=False)
    return fake


def test_run_gives_options_to_the_flow_and_prints_the_table(run_cli: RunCli, flow: SimpleNamespace) -> None:
    """Options of the command line replace keys of the experiment."""
    done = run_cli(
        "run", "digits", "--board", "rp2040", "--board", "nrf52840", "--engine", "host", "--out", "there",
        "--seed", "7", "--set", "train.epochs=2",
    )  # fmt: skip

    ((experiment, options),) = flow.calls
    assert (done.returncode, experiment.name) == (0, "digits")
    assert (experiment.train.seed, experiment.train.epochs) == (7, 2)
    assert (list(options["boards"]), options["engine"]) == (["rp2040", "nrf52840"], "host")
    assert options["out"] == Path.cwd() / "there"
    assert "same bits as host" in done.stdout
    assert "training: " in done.stderr


def test_without_options_the_experiment_decides(run_cli: RunCli, flow: SimpleNamespace) -> None:
    """A file holds everything that an experiment needs."""
    run_cli("run", "digits")

    ((experiment, options),) = flow.calls
    assert options["boards"] == experiment.run.boards
    assert options["engine"] == experiment.run.engine
    assert options["out"] == Path.cwd() / "build" / "digits"


@pytest.mark.parametrize("verb", [["run", "digits"], ["demo"], ["plan", "digits", "--board", "nrf52840"]])
def test_json_is_the_only_thing_on_stdout(run_cli: RunCli, flow: SimpleNamespace, verb: list[str]) -> None:
    """Scripts pipe it into a parser."""
    done = run_cli(*verb, "--json")

    content = json.loads(done.stdout)
    assert content["schema"] == 1
    assert len(content["boards"]) == 1
    assert flow.calls


def test_quiet_says_nothing_but_the_result(run_cli: RunCli, flow: SimpleNamespace) -> None:
    """For cron jobs."""
    done = run_cli("demo", "--quiet")

    assert (done.stderr, flow.report.boards[0].board in done.stdout) == ("", True)


def test_demo_tells_the_story_on_stderr(run_cli: RunCli, flow: SimpleNamespace) -> None:
    """It runs the experiment `digits`, and says what there is to see."""
    done = run_cli("demo")

    assert flow.calls[0][0].name == "digits"
    assert "sensor changes" in done.stderr
    assert "sensor" not in done.stdout


def test_a_model_that_does_not_fit_fails_the_plan_after_printing_it(run_cli: RunCli, flow: SimpleNamespace) -> None:
    """Exit code 1: the check was made and failed."""
    done = run_cli("plan", "digits")

    assert done.returncode == 1
    assert "396,048 B (147 %)" in done.stdout
    assert done.stderr.startswith("error: the model does not fit rp2040: it needs RAM 396,048 B of 270,336 B")
    assert flow.calls


def test_an_exceeded_limit_fails_the_run_after_printing_it(run_cli: RunCli, flow: SimpleNamespace) -> None:
    """Every problem is shown, not only the first."""
    limits = ("--set", "limits.nrf52840.ram_bytes=100", "--set", "limits.nrf52840.flash_bytes=100")
    done = run_cli("run", "digits", "--json", *limits)

    assert done.returncode == 1
    assert json.loads(done.stdout)["boards"][0]["board"] == "nrf52840"
    assert "error: nrf52840: RAM is 25,300 bytes" in done.stderr
    assert "error: nrf52840: flash is 20,000 bytes" in done.stderr
    assert flow.calls


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["fly"], "No such command 'fly'", "verbs: demo, run, plan"),
        (["--fly"], "No such option: --fly", "verbs: demo, run, plan"),
        (["run"], "Missing argument 'EXPERIMENT'", "kilograd run --help"),
        (["run", "digits", "--bord", "x"], "No such option: --bord", "kilograd run --help"),
        (["run", "digits", "--seed", "x"], "Invalid value for '--seed'", "kilograd run --help"),
        (["run", "nothing.toml"], "there is no experiment nothing.toml", "digits, fashion_mnist"),
        (["run", "digits", "--board", "esp32"], "command line: run.boards 'esp32' is no board; there are imxrt", "b"),
        (["run", "digits", "--engine", "x"], "command line: run.engine 'x' is no engine; there are builtin", "virtual"),
        (["run", "digits", "--set", "x"], "--set x: expected KEY=VALUE", "train.epochs=2"),
        (["bench", "engine", "--board", "esp32"], "there is no board 'esp32'", "nrf52840"),
        (["bench", "host", "--model", "x"], "unknown model: x", "mnist_cnn"),
        (["bench"], "Missing command", "kilograd bench --help"),
    ],
)
def test_a_wrong_command_line_is_an_error_with_a_way_out(
    run_cli: RunCli, arguments: list[str], error: str, hint: str
) -> None:
    """Exit code 2: nothing was done; stdout stays empty for scripts."""
    done = run_cli(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    first, second, *_ = done.stderr.splitlines()
    assert first.startswith(f"error: {error}")
    assert second.startswith("hint: ")
    assert hint in second


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KilogradError("no disk", "buy one"), 2, "error: no disk\nhint: buy one\n"),
        (ValueError("[odd] name"), 2, "error: ValueError: [odd] name\nhint: this is a defect of kilograd"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_errors_of_the_flow_become_words_and_an_exit_code(
    run_cli: RunCli, flow: SimpleNamespace, error: BaseException, code: int, words: str
) -> None:
    """Nobody but a developer wants a traceback."""
    flow.error = error

    done = run_cli("run", "digits", "--json", "--quiet")

    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(words)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["--debug", "run", "digits"], ["run", "digits", "--debug"]])
def test_debug_shows_a_traceback_wherever_it_stands(
    run_cli: RunCli, flow: SimpleNamespace, arguments: list[str]
) -> None:
    """A developer adds it to the line that failed."""
    flow.error = KilogradError("no disk", "buy one")

    done = run_cli(*arguments)

    assert done.returncode == 2
    assert "Traceback (most recent call last)" in done.stderr


@pytest.mark.parametrize(("verb", "name"), [("boards", "nrf52840"), ("models", "digits_cnn"), ("datasets", "digits")])
def test_lists_show_names_for_people_and_machines(run_cli: RunCli, verb: str, name: str) -> None:
    """What an experiment may name can be looked up."""
    content = json.loads(run_cli(verb, "--json").stdout)

    assert content["schema"] == 1
    assert name in [entry["name"] for entry in content[verb]]
    assert name in run_cli(verb).stdout


def test_every_verb_has_a_help_text_that_is_not_cut(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of verbs must be readable in 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    done = run_cli("--help")

    assert done.returncode == 0
    assert [verb for verb in cli.verbs() if f"\n  {verb} " not in done.stdout] == []
    assert "..." not in done.stdout.partition("Commands:")[2]
    assert run_cli().stdout == done.stdout


def test_the_package_starts_as_a_module() -> None:
    """The launcher relies on `python -m kilograd` and its exit codes."""
    version = subprocess.run(
        [sys.executable, "-m", "kilograd", "--version"], capture_output=True, text=True, check=True
    )
    wrong = subprocess.run([sys.executable, "-m", "kilograd", "fly"], capture_output=True, text=True, check=False)

    assert version.stdout.startswith("kilograd ")
    assert (wrong.returncode, wrong.stdout) == (2, "")


@pytest.mark.parametrize(
    ("body", "code"), [("assert True", 0), ("assert False", 1), ("raise KeyboardInterrupt", 2), ("syntax error", 2)]
)
def test_test_returns_the_exit_code_of_pytest(tmp_path: Path, checkout: Path, body: str, code: int) -> None:
    """Continuous integration sees nothing else; arguments reach pytest."""
    (tmp_path / "test_it.py").write_text(f"def test_it():\n    {body}\n")
    command = [sys.executable, "-m", "kilograd", "test", "-p", "no:cacheprovider", "-k", "test_it", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == code
    assert (checkout / "orchestrator" / "tests").is_dir()


def test_test_counts_its_tests_for_machines(tmp_path: Path) -> None:
    """One object on stdout; what the tests print goes to stderr."""
    tests = ("print('noise')", "assert False", "pytest.skip()")
    body = "".join(f"def test_{number}():\n    {line}\n" for number, line in enumerate(tests))
    (tmp_path / "test_it.py").write_text(f"import pytest\n{body}")
    command = [sys.executable, "-m", "kilograd", "test", "--json", "-p", "no:cacheprovider", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert json.loads(done.stdout) == {"schema": 1, "passed": 1, "failed": 1, "skipped": 1}
    assert done.returncode == 1


def test_lines_tell_now_and_then_how_far_a_task_is() -> None:
    """A log must neither be silent for minutes nor be flooded."""
    out = io.StringIO()
    now = iter([0.0, 1.0, 11.0, 11.0, 12.0, 30.0])
    progress = console.LineProgress(Console(file=out), clock=lambda: next(now))

    with progress.task("[train]", total=4) as task:
        for _ in range(3):
            task.advance()

    assert out.getvalue().splitlines() == ["[train] ...", "[train]: 50 %", "[train]: 30.0 s"]


def test_bars_serve_tasks_of_several_threads() -> None:
    """Boards train side by side."""
    out = io.StringIO()
    progress = console.BarProgress(Console(file=out, force_terminal=True, width=80))

    def work(name: str) -> None:
        for _ in range(20):
            with progress.task(name, total=1) as task:
                task.advance()

    threads = [threading.Thread(target=work, args=(f"board {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [out.getvalue().count(f"board {number}: ") for number in range(4)] == [20] * 4


def test_colour_is_left_out_on_request(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """NO_COLOR is honoured, also on a terminal."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    console.show_error(KilogradError("red", ""))
    monkeypatch.setenv("NO_COLOR", "1")
    console.show_error(KilogradError("plain", ""))

    coloured, plain = capsys.readouterr().err.splitlines()
    assert "\x1b[1;31m" in coloured
    assert "31m" not in plain
