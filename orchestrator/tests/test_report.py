# SPDX-License-Identifier: Apache-2.0
"""Reports: the JSON that machines read, the table that people read, and what counts as a failure."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from kilograd.errors import CheckFailedError
from kilograd.experiment import Limits
from kilograd.report import (
    Accuracy,
    BoardReport,
    Flash,
    Phases,
    PlanReport,
    Ram,
    Report,
    Tensor,
    does_not_fit,
    plan_json,
    plan_table,
    problems,
    report_json,
    report_table,
)

RAM = Ram(features=1000, trained=20_000, stack=300, other=4000, limit=65_536)
FLASH = Flash(weights=5000, code=15_000, limit=1_048_576)
BOARD = BoardReport(
    board="nrf52840",
    engine="builtin",
    fits=True,
    ram=RAM,
    flash=FLASH,
    accuracy=Accuracy(before_shift=0.987, after_shift=0.512, trained=0.954),
    cycles=Phases(forward=100_000, backward=200_000, update=3000),
    instructions=Phases(forward=90_000, backward=180_000, update=2500),
    time_ms=4.734,
    energy_mj=0.1928,
    steps=480,
    state_hash="0123abcd",
    same_bits=True,
)
PLAN = PlanReport(
    board="rp2040",
    ram=Ram(features=90_000, trained=300_000, stack=2048, other=4000, limit=270_336),
    flash=Flash(weights=0, code=20_000, limit=2_097_152),
    lower_bound={"features": 88_000},
    largest=tuple(Tensor(f"t{size}", "trained", size) for size in (150_000, 90_000, 30_000, 10)),
    suggestions=("the last 2 layers trained", "imxrt1062"),
)


@pytest.fixture
def host() -> BoardReport:
    """Return a report that knows as little as the host."""
    return BoardReport("host", "host", fits=True, ram=Ram(1, 2, None, 3, None), flash=Flash(4, 5, None))


def shown(table: object) -> str:
    """Return a table as people see it."""
    out = io.StringIO()
    Console(file=out, width=120).print(table)
    return out.getvalue()


def test_the_json_has_exactly_the_promised_keys_in_order() -> None:
    """Scripts rely on the schema."""
    content = json.loads(report_json(Report((BOARD,))))

    assert content["schema"] == 1
    assert list(content) == ["schema", "boards"]
    (board,) = content["boards"]
    assert list(board) == [
        "board", "engine", "fits", "accuracy", "ram", "flash", "cycles", "instructions",
        "time_ms", "energy_mj", "steps", "state_hash", "kept", "same_bits",
    ]  # fmt: skip
    assert board["accuracy"] == {"before_shift": 0.987, "after_shift": 0.512, "trained": 0.954}
    assert board["ram"] == {
        "features": 1000, "trained": 20_000, "stack": 300, "other": 4000, "total": 25_300, "limit": 65_536,
    }  # fmt: skip
    assert board["flash"] == {"weights": 5000, "code": 15_000, "total": 20_000, "limit": 1_048_576}
    assert board["cycles"] == {"forward": 100_000, "backward": 200_000, "update": 3000}
    assert (board["state_hash"], board["same_bits"], board["steps"]) == ("0123abcd", True, 480)


def test_what_a_board_cannot_say_is_null_in_the_same_shape(host: BoardReport) -> None:
    """A script may index into every report without asking first."""
    (board,) = json.loads(report_json(Report((host,))))["boards"]

    assert board["accuracy"] == {"before_shift": None, "after_shift": None, "trained": None}
    assert board["cycles"] == {"forward": None, "backward": None, "update": None}
    assert board["ram"] == {"features": 1, "trained": 2, "stack": None, "other": 3, "total": 6, "limit": None}
    assert (board["time_ms"], board["same_bits"]) == (None, None)


def test_shares_of_kept_rows_are_shown_by_layer(host: BoardReport) -> None:
    """Only layers with sparse updates have a row, in the order of the model."""
    sparse = replace(BOARD, kept={"conv1": 0.125, "fc1": 0.1})
    report = Report((sparse, host))

    assert json.loads(report_json(report))["boards"][0]["kept"] == {"conv1": 0.125, "fc1": 0.1}
    assert json.loads(report_json(report))["boards"][1]["kept"] == {}
    table = report_table(report)
    cells = [list(column.cells) for column in table.columns]
    shown = [row for row in zip(*cells, strict=True) if str(row[0]).startswith("rows kept")]
    assert shown == [("rows kept, conv1", "12.5 %", "-"), ("rows kept, fc1", "10.0 %", "-")]


def test_the_plan_of_a_board_that_does_not_fit_stays_out_of_the_json() -> None:
    """It serves the error message; the schema does not have it."""
    report = Report((replace(BOARD, fits=False, plan=PLAN),))

    assert "plan" not in json.loads(report_json(report))["boards"][0]


def test_the_table_shows_a_column_for_each_board_and_shares_of_limits() -> None:
    """People compare boards side by side."""
    text = shown(report_table(Report((BOARD, replace(BOARD, board="rp2040", same_bits=False)))))

    header, *rows = text.splitlines()
    assert header.split() == ["nrf52840", "rp2040"]
    cells = {row[:25].strip(): row[25:].split() for row in rows}
    assert cells["RAM"] == ["25,300", "B", "(39", "%)"] * 2
    assert cells["accuracy after training"] == ["95.4", "%"] * 2
    assert cells["cycles per sample"] == ["303,000"] * 2
    assert cells["time per sample"] == ["4.73", "ms"] * 2
    assert cells["same bits as host"] == ["yes", "no"]


def test_the_table_of_three_boards_fits_a_terminal() -> None:
    """80 columns are what every terminal has."""
    wide = replace(BOARD, flash=replace(FLASH, limit=16_777_216), cycles=Phases(730_102, 1_102_278, 417_034))
    names = ("nrf52840", "rp2040", "imxrt1062")

    text = shown(report_table(Report(tuple(replace(wide, board=name) for name in names))))

    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80


def test_the_table_shows_a_dash_for_what_a_board_does_not_know(host: BoardReport) -> None:
    """Zero would be a claim; a row of dashes would be noise."""
    alone = {line[:25].strip(): line[25:].split() for line in shown(report_table(Report((host,)))).splitlines()}
    beside = {line[:25].strip(): line[25:].split() for line in shown(report_table(Report((host, BOARD)))).splitlines()}

    assert alone["RAM"] == ["6", "B"]
    assert not {"cycles per sample", "stack", "same bits as host"} & set(alone)
    assert beside["cycles per sample"] == ["-", "303,000"]
    assert beside["same bits as host"] == ["-", "yes"]


def test_a_plan_fits_up_to_the_last_byte() -> None:
    """The limit itself is still memory."""
    exact = replace(PLAN, ram=replace(PLAN.ram, limit=PLAN.ram.total))

    assert exact.fits
    assert not replace(exact, ram=replace(exact.ram, limit=PLAN.ram.total - 1)).fits
    assert not replace(exact, flash=replace(PLAN.flash, limit=19_999)).fits


def test_the_json_of_a_plan_tells_fit_segments_bound_and_tensors() -> None:
    """A script decides by it without running anything."""
    (plan,) = json.loads(plan_json([PLAN]))["boards"]

    assert (plan["board"], plan["fits"], plan["ram"]["total"]) == ("rp2040", False, 396_048)
    assert plan["lower_bound"] == {"features": 88_000}
    assert plan["largest"][0] == {"name": "t150000", "segment": "trained", "bytes": 150_000}
    assert plan["suggestions"] == ["the last 2 layers trained", "imxrt1062"]


def test_the_table_of_a_plan_shows_bounds_and_the_largest_tensors() -> None:
    """The first question after "it does not fit" is what takes the room."""
    text = shown(plan_table([PLAN]))

    assert "88,000 B" in text
    assert "t150000 150,000 B" in text
    assert "t10 " not in text


def test_a_model_that_does_not_fit_is_explained() -> None:
    """Bytes needed and available, by segment, the three largest tensors, and what would fit."""
    error = does_not_fit(PLAN)

    assert error.message == "the model does not fit rp2040: it needs RAM 396,048 B of 270,336 B"
    for part in ("feature maps 90,000 B", "weights and gradients 300,000 B", "stack 2,048 B", "rest 4,000 B"):
        assert part in error.hint
    assert "t150000 (trained) 150,000 B, t90000 (trained) 90,000 B, t30000 (trained) 30,000 B\n" in error.hint
    assert "would fit: the last 2 layers trained\nwould fit: imxrt1062" in error.hint
    assert error.exit_code == 1


def test_a_good_report_has_no_problems() -> None:
    """Limits that are just kept are kept."""
    limits = {"nrf52840": Limits(ram_bytes=25_300, flash_bytes=20_000, time_ms=4.734), "rp2040": Limits(ram_bytes=1)}

    assert problems(Report((BOARD,)), limits) == []


@pytest.mark.parametrize(
    ("board", "limits", "message"),
    [
        (BOARD, Limits(ram_bytes=25_299), "nrf52840: RAM is 25,300 bytes, 1 more than the limit of 25,299"),
        (BOARD, Limits(flash_bytes=15_000), "nrf52840: flash is 20,000 bytes, 5,000 more than the limit of 15,000"),
        (BOARD, Limits(time_ms=4.0), "nrf52840: time per sample is 4.734 ms, 0.734 more than the limit of 4.0"),
        (replace(BOARD, same_bits=False), Limits(), "nrf52840: the trained state differs from the host's after 480"),
        (replace(BOARD, fits=False, plan=PLAN), Limits(), "the model does not fit rp2040"),
    ],
)
def test_each_kind_of_failure_is_a_failed_check(board: BoardReport, limits: Limits, message: str) -> None:
    """The exit code of a run depends on it."""
    (problem,) = problems(Report((board,)), {"nrf52840": limits})

    assert isinstance(problem, CheckFailedError)
    assert problem.message.startswith(message)
    assert problem.hint


def test_unknown_figures_do_not_exceed_limits() -> None:
    """The host has no time per sample."""
    report = Report((replace(BOARD, time_ms=None),))

    assert problems(report, {"nrf52840": Limits(time_ms=1.0)}) == []
