# SPDX-License-Identifier: Apache-2.0
"""The whole flow from the command line: what a run says, in numbers that can be found in another way."""

from __future__ import annotations

import hashlib
import json
import threading
import tomllib
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from kilograd.console import SilentProgress
from kilograd.workers import workers

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from conftest import Place, RunCli
    from kilograd.console import Progress

ALL_BOARDS = ["nrf52840", "rp2040", "imxrt1062"]
TESTED = 150
EXPERIMENT = f"""
name = "small"
[model]
source = "digits_cnn"
[data]
name = "digits_shifted"
samples = 96
test_samples = {TESTED}
[pretrain]
data = "digits"
epochs = 2
learning_rate = 3e-3
[train]
epochs = 1
batch = 16
learning_rate = 3e-3
[run]
boards = {ALL_BOARDS}
"""
PHASES = {"forward": "int", "backward": "int", "update": "int"}
SHAPE = {
    "board": "str",
    "engine": "str",
    "fits": "bool",
    "accuracy": {"before_shift": "float", "after_shift": "float", "trained": "float"},
    "ram": {"features": "int", "trained": "int", "stack": "int", "other": "int", "total": "int", "limit": "int"},
    "flash": {"weights": "int", "code": "int", "total": "int", "limit": "int"},
    "cycles": PHASES,
    "instructions": PHASES,
    "time_ms": "float",
    "energy_mj": "float",
    "steps": "int",
    "state_hash": "str",
    "kept": {},
    "same_bits": "bool",
}


def shape(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return the names of all types, in the structure of the value."""
    return {key: shape(inner) for key, inner in value.items()} if isinstance(value, dict) else type(value).__name__


def kg(run_cli: RunCli, place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a verb on the small experiment, with warm builds."""
    verb, *options = arguments
    file = place.here.parent / "small.toml"
    file.write_text(EXPERIMENT, encoding="utf-8")
    out = [] if "--out" in options else ["--out", str(place.out)]
    return run_cli(verb, str(file), *out, *options)


def content(done: subprocess.CompletedProcess[str]) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return the JSON of a run that went well."""
    assert (done.returncode, done.stderr) == (0, done.stderr)
    return json.loads(done.stdout)


_first: list[str] = []


@pytest.fixture
def output(run_cli: RunCli, place: Place) -> str:
    """Return what a run on all boards prints; it is done once."""
    if not _first:
        _first.append(json.dumps(content(kg(run_cli, place, "run", "--json"))))
    return _first[0]


@pytest.fixture
def boards(output: str) -> list[dict[str, Any]]:
    """Return the boards of the JSON of a run."""
    found: list[dict[str, Any]] = json.loads(output)["boards"]
    return found


def test_the_json_has_exactly_the_promised_keys_and_types(output: str) -> None:
    """Scripts stand on them; an integer must not become a float."""
    report = json.loads(output)

    assert list(report) == ["schema", "boards"]
    assert report["schema"] == 1
    assert [board["board"] for board in report["boards"]] == ALL_BOARDS
    for board in report["boards"]:
        assert shape(board) == SHAPE


def test_bytes_add_up_and_stay_below_the_limits(boards: list[dict[str, Any]]) -> None:
    """A segment that is forgotten, or counted twice, would show here."""
    for board in boards:
        ram, flash = board["ram"], board["flash"]
        assert ram["total"] == ram["features"] + ram["trained"] + ram["stack"] + ram["other"]
        assert flash["total"] == flash["weights"] + flash["code"]
        assert board["fits"] == (ram["total"] <= ram["limit"] and flash["total"] <= flash["limit"])
        assert board["fits"]
        assert min(ram.values()) > 0
        assert min(flash.values()) > 0
    assert {board["board"]: board["ram"]["limit"] for board in boards} == {
        "nrf52840": 256 * 1024, "rp2040": 264 * 1024, "imxrt1062": 512 * 1024,
    }  # fmt: skip


def test_time_and_energy_follow_from_cycles_clock_and_current(boards: list[dict[str, Any]], checkout: Path) -> None:
    """The numbers of the board's own file, multiplied by hand."""
    for board in boards:
        path = checkout / "emulation" / "platforms" / board["board"] / "board.toml"
        facts = tomllib.loads(path.read_text(encoding="utf-8"))
        seconds = sum(board["cycles"].values()) / facts["clock_hz"]
        assert board["time_ms"] == pytest.approx(1e3 * seconds)
        assert board["energy_mj"] == pytest.approx(facts["power"]["active_ma"] * facts["power"]["volts"] * seconds)


def test_a_training_step_costs_about_three_forward_passes(boards: list[dict[str, Any]]) -> None:
    """Backward is two products of the size of forward's, less the errors of the first layer's input."""
    for board in boards:
        count, cycles = board["instructions"], board["cycles"]
        assert 1.5 < sum(count.values()) / count["forward"] < 3.3
        assert 0 < count["update"] < count["forward"]
        for phase in PHASES:
            assert 0.5 * count[phase] <= cycles[phase] <= 4 * count[phase]


def test_all_boards_have_the_bits_of_the_host(boards: list[dict[str, Any]], run_cli: RunCli, place: Place) -> None:
    """The state's hash of the three boards, and of a run on the host alone over the same samples."""
    (host,) = content(kg(run_cli, place, "run", "--json", "--engine", "host"))["boards"]

    assert {board["state_hash"] for board in boards} == {host["state_hash"]}
    assert [board["same_bits"] for board in boards] == [True] * 3
    assert [board["steps"] for board in boards] == [96] * 3
    assert host["steps"] == 96
    assert len(host["state_hash"]) == len(hashlib.sha256().hexdigest()) // 4


def test_accuracies_are_shares_of_the_test_samples(boards: list[dict[str, Any]]) -> None:
    """Right answers are whole numbers; the shift must cost some, and all boards have learned the same."""
    for board in boards:
        accuracy = board["accuracy"]
        assert 0.5 < accuracy["before_shift"] <= 1
        assert 0 < accuracy["after_shift"] < accuracy["before_shift"]
        assert (TESTED * accuracy["trained"]) == pytest.approx(round(TESTED * accuracy["trained"]))
        assert accuracy == boards[0]["accuracy"]


def test_training_on_the_chip_brings_accuracy_back(run_cli: RunCli, place: Place) -> None:
    """The story of the demo, with fewer samples: it is trained accuracy that a user wants."""
    longer = ("--set", "data.samples=960", "--set", "train.epochs=2", "--set", "train.steps=1920")
    (board,) = content(kg(run_cli, place, "run", "--json", "--board", "imxrt1062", *longer))["boards"]

    assert board["steps"] == 1920
    assert board["accuracy"]["trained"] > board["accuracy"]["after_shift"] + 0.1


def test_sparse_updates_tell_what_they_kept(run_cli: RunCli, place: Place) -> None:
    """A board and the host keep the same rows; the last layer learns whole."""
    sparse = ("--set", "train.lambda_min=0.2", "--set", "train.lambda_max=0.6", "--board", "imxrt1062")
    (board,) = content(kg(run_cli, place, "run", "--json", *sparse))["boards"]

    assert board["same_bits"] is True
    assert list(board["kept"]) == ["conv1", "conv2", "fc1"]
    assert all(0.15 < share < 0.6 for share in board["kept"].values())


def test_boards_come_in_the_order_asked_for(boards: list[dict[str, Any]], run_cli: RunCli, place: Place) -> None:
    """They run at the same time, which must not show; and a second run has the numbers of the first."""
    chosen = ("--board", "imxrt1062", "--board", "nrf52840")

    again = content(kg(run_cli, place, "run", "--json", *chosen))["boards"]

    assert again == [boards[2], boards[0]]


def test_another_folder_gives_the_same_numbers(boards: list[dict[str, Any]], run_cli: RunCli, place: Place) -> None:
    """Everything is decided by the experiment, no path plays a part; and all that is made is in --out."""
    out = place.here.parent / "elsewhere"

    again = content(kg(run_cli, place, "run", "--json", "--board", "rp2040", "--out", str(out)))["boards"]

    assert again == [boards[1]]
    assert {path.name for path in out.iterdir()} >= {"host", "kernels", "rp2040"}
    assert list(place.here.iterdir()) == []
    assert list(place.home.iterdir()) == []


def test_the_plan_is_the_memory_of_the_run_before_anything_is_trained(
    boards: list[dict[str, Any]], run_cli: RunCli, place: Place
) -> None:
    """Whoever decides by the plan must not be surprised by the run; only the stack is a reserve there."""
    done = kg(run_cli, place, "plan", "--json")

    plans = content(done)["boards"]
    assert [(plan["board"], plan["fits"], plan["suggestions"]) for plan in plans] == [
        (name, True, []) for name in ALL_BOARDS
    ]
    for plan, board in zip(plans, boards, strict=True):
        assert plan["flash"] == board["flash"]
        assert plan["ram"]["total"] == board["ram"]["total"]
        assert plan["ram"]["features"] == board["ram"]["features"]
        assert plan["ram"]["stack"] >= board["ram"]["stack"]
        assert 0 < plan["lower_bound"]["features"] <= plan["ram"]["features"]
        assert [tensor["name"] for tensor in plan["largest"][:2]] == ["fc1_g", "fc1_w"]
    assert "training" not in done.stderr


def test_the_host_alone_has_no_cycles_and_no_limits(run_cli: RunCli, place: Place) -> None:
    """What the host cannot know is null, not a number."""
    (host,) = content(kg(run_cli, place, "run", "--json", "--engine", "host"))["boards"]

    assert list(host) == list(SHAPE)
    assert (host["board"], host["engine"], host["fits"]) == ("host", "host", True)
    assert host["cycles"] == host["instructions"] == dict.fromkeys(PHASES)
    assert [host[key] for key in ("time_ms", "energy_mj", "same_bits")] == [None] * 3
    assert (host["ram"]["stack"], host["ram"]["limit"], host["flash"]["limit"]) == (None, None, None)


def test_the_table_shows_the_numbers_of_the_json(boards: list[dict[str, Any]], run_cli: RunCli, place: Place) -> None:
    """People and scripts must not be told different things."""
    done = kg(run_cli, place, "run", "--board", "rp2040")

    board = boards[1]
    assert done.returncode == 0
    assert f"{board['ram']['features']:,} B" in done.stdout
    assert f"{board['cycles']['forward']:,}" in done.stdout
    assert f"{100 * board['accuracy']['trained']:.1f} %" in done.stdout


def test_a_limit_of_the_experiment_fails_the_run(boards: list[dict[str, Any]], run_cli: RunCli, place: Place) -> None:
    """Exit code 1, the figure and the limit by name, and still the whole report."""
    limits = ("--set", "limits.nrf52840.ram_bytes=10_000", "--set", "limits.nrf52840.flash_bytes=1_000_000")

    done = kg(run_cli, place, "run", "--json", "--quiet", "--board", "nrf52840", *limits)

    used = boards[0]["ram"]["total"]
    assert done.returncode == 1
    assert json.loads(done.stdout)["boards"] == [boards[0]]
    assert done.stderr == (
        f"error: nrf52840: RAM is {used:,} bytes, {used - 10_000:,} more than the limit of 10,000\n"
        "hint: the limit is in [limits.nrf52840] of the experiment\n"
    )


class _Watch(SilentProgress):
    """Tells that a task has begun."""

    def __init__(self) -> None:
        self.begun = threading.Event()

    @contextmanager
    def task(self, description: str, total: int | None = None) -> Iterator[Any]:
        """Begin a piece of work."""
        with super().task(description, total) as task:
            self.begun.set()
            yield task


def test_when_one_board_fails_the_others_stop() -> None:
    """Nobody waits for a result that will not be shown, neither after an error nor after Ctrl-C."""
    watch, begun_late = _Watch(), []
    futures: list[Future[None]] = []

    def long_work(progress: Progress) -> None:
        with progress.task("training") as task:
            while True:
                task.advance()

    def interrupted() -> None:
        with workers(1, watch) as (pool, shown):
            futures.extend([pool.submit(long_work, shown), pool.submit(begun_late.append, 1)])
            watch.begun.wait()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    under_way, waiting = futures
    assert isinstance(under_way.exception(), CancelledError)
    assert waiting.cancelled()
    assert begun_late == []
