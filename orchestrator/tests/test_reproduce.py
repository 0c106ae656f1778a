# SPDX-License-Identifier: Apache-2.0
"""Published tables made again: rows, seeds, the cache, pictures, targets, wrong names."""

from __future__ import annotations

import importlib.util
import json
import signal
import statistics
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilograd import console
from kilograd.errors import KilogradError
from kilograd.experiment import load_experiment
from kilograd.reproduce import definition, run
from kilograd.reproduce.job import watch_points

if TYPE_CHECKING:
    from pathlib import Path

    from command_line import Cli

KEYS = [
    "dataset", "configuration", "recipe", "lambda_min", "accuracy_mean", "accuracy_sd", "seeds", "paper",
]  # fmt: skip
TINY = """
title = "tiny"
seeds = 2
[[rows]]
experiment = "digits"
configurations = ["uint8", "float32"]
paper = { uint8 = 76.1 }
[rows.set]
"data.samples" = 192
"data.test_samples" = 50
"pretrain.epochs" = 1
"train.epochs" = 1
"""


def tiny(cli: Cli, text: str = TINY) -> str:
    """Write a table of the user's own."""
    path = cli.place.here / "tiny.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_table_has_a_row_for_each_variant_with_mean_and_deviation(cli: Cli) -> None:
    """The JSON is what scripts build on: exactly these keys, shares from 0 to 1."""
    table = tiny(cli)
    done = cli.run("reproduce", table)
    singles = [
        json.loads(
            cli.run(
                "run", "digits", "--engine", "host", "--seed", str(seed), "--set", "data.samples=192",
                "--set", "data.test_samples=50", "--set", "pretrain.epochs=1", "--set", "train.epochs=1",
            ).stdout
        )["boards"][0]["accuracy"]["trained"]
        for seed in (1, 2)
    ]  # fmt: skip

    content = json.loads(done.stdout)
    assert (list(content), content["schema"], content["name"]) == (["schema", "name", "rows"], 1, "tiny")
    assert [KEYS, KEYS] == [list(row) for row in content["rows"]]
    first, second = content["rows"]
    assert [first[key] for key in KEYS[:4]] == ["digits_shifted", "uint8", "best", 1.0]
    assert (second["configuration"], first["seeds"], first["paper"], second["paper"]) == ("float32", 2, 0.761, None)
    assert first["accuracy_mean"] == pytest.approx(statistics.fmean(singles), abs=1e-6)  # looking on changes nothing
    assert first["accuracy_sd"] == pytest.approx(statistics.stdev(singles), abs=1e-6)


def test_finished_runs_are_read_from_the_cache_and_pictures_are_the_same_again(cli: Cli) -> None:
    """A long table must be cheap to ask for again."""
    table, out = tiny(cli), cli.place.out
    cli.run("reproduce", table)
    pictures = {path.name: path.read_bytes() for path in out.glob("*.svg")}

    again = cli._run("reproduce", table, "--out", str(out))

    assert "training" not in again.stderr
    assert "digits_shifted uint8 best 1 #2: " in again.stderr
    assert "76.1 %" in again.stdout
    assert {path.name: path.read_bytes() for path in out.glob("*.svg")} == pictures
    assert sorted(pictures) == [
        "curves_digits_shifted.svg",
        "gradients_digits_shifted_float32_best_1.svg",
        "gradients_digits_shifted_uint8_best_1.svg",
    ]
    assert b"<dc:date>" not in b"".join(pictures.values())


def test_an_interrupted_table_goes_on_where_it_was(cli: Cli) -> None:
    """Hours of training must not be lost with the last minute."""
    endless = TINY.replace("seeds = 2", "seeds = 1") + '\n[[rows]]\nexperiment = "digits"\nconfigurations = ["uint8"]\n'
    table = tiny(cli, endless + 'set = { "pretrain.epochs" = 1, "train.epochs" = 20000 }\n')
    command = [sys.executable, "-m", "kilograd", "reproduce", table, "--json", "--out", str(cli.place.out)]
    finished: set[str] = set()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - as in test_interruption
    ) as process:
        for line in process.stderr or ():
            finished |= {line.split(" best")[0]} if "#1: " in line and line.endswith("%\n") else set()
            if len(finished) == 2 and line.startswith("training digits_shifted uint8 best 1 #1 ..."):
                break
            if len(finished) == 2 and "building digits_shifted uint8 best 1 #1" in line:
                break
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    again = cli._run("reproduce", tiny(cli), "--seeds", "1", "--out", str(cli.place.out))

    assert (process.returncode, stdout) == (130, "")
    assert stderr.splitlines()[-1] == "interrupted"
    assert "training" not in again.stderr
    assert again.returncode == 0


def test_a_row_that_misses_its_target_is_a_failed_check(cli: Cli) -> None:
    """Exit code 1, and the table is still shown."""
    table = tiny(cli, TINY.replace("seeds = 2", "seeds = 1") + "[rows.at_least]\nuint8 = 100.5\nfloat32 = 1.0\n")

    done = cli._run("reproduce", table, "--quiet", "--out", str(cli.place.out))

    assert done.returncode == 1
    assert "missed" in done.stdout
    assert "digits_shifted uint8 best 1: " in done.stderr
    assert "is less than 100.5 % (at least)" in done.stderr
    assert "float32" not in done.stderr


def test_the_kept_rows_of_sparse_updates_are_drawn(cli: Cli) -> None:
    """A heat map without them would not tell why gradients are missing."""
    rows = '[[rows]]\nexperiment = "digits"\nconfigurations = ["uint8"]\nlambda_mins = [0.25]\n'
    settings = TINY.partition("[rows.set]")[2]
    done = cli.run("reproduce", tiny(cli, f'title = "sparse"\nseeds = 1\n{rows}[rows.set]{settings}'))

    (row,) = json.loads(done.stdout)["rows"]
    (picture,) = cli.place.out.glob("gradients_*_0.25.svg")
    (cached,) = [
        stored["kept"]
        for path in (cli.place.cache / "results").glob("*.json")
        if (stored := json.loads(path.read_text(encoding="utf-8")))["kept"]
    ]
    assert row["lambda_min"] == 0.25
    assert "fc2" not in cached  # the last layer always learns whole
    assert all(0.25 <= share <= 1 for shares in cached.values() for share in shares)
    assert b"kept" in picture.read_bytes()


def test_quick_needs_one_seed_and_few_samples(cli: Cli) -> None:
    """It shows within seconds that a table works."""
    rows = json.loads(cli.run("reproduce", "digits", "--quick", "--only", "configuration=mixed").stdout)["rows"]

    assert [("mixed", 1, None)] == [(row["configuration"], row["seeds"], row["accuracy_sd"]) for row in rows]


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (("nothing",), "there is no table nothing", "complete_training"),
        (("digits", "--only", "configuration=int4"), "no row with configuration int4", "uint8, mixed, float32"),
        (("digits", "--only", "colour=red"), "no column colour", "dataset, configuration, recipe, lambda_min"),
        (("digits", "--only", "uint8"), "expected COLUMN=VALUE", "--only configuration=uint8"),
    ],
)
def test_wrong_names_list_the_right_ones(cli: Cli, arguments: tuple[str, ...], message: str, hint: str) -> None:
    """A typing error must not need the manual."""
    said = cli.fails("reproduce", *arguments)

    assert message in said
    assert hint in said


def test_a_table_with_an_unknown_key_says_so(cli: Cli) -> None:
    """Tables of the user's own are checked as experiments are."""
    said = cli.fails("reproduce", tiny(cli, TINY.replace("paper =", "papers =")))

    assert "papers" in said


@pytest.mark.parametrize("name", definition.tables())
@pytest.mark.parametrize("quick", [False, True])
def test_every_table_names_experiments_and_keys_that_exist(name: str, quick: bool) -> None:
    """A definition must not fail after the first hour."""
    table = definition.load_table(name, quick=quick)

    assert table.rows
    assert len({(row.title, row.data) for row in table.rows}) == len(table.rows)
    for row in table.rows:
        assert row.experiment(seed=3).train.seed == 3
        assert load_experiment(row.source, row.changes).train.configuration == row.configuration


def test_the_key_error_of_an_override_is_told() -> None:
    """A wrong key in a block's `set` is the table's defect, and must name it."""
    block = definition.Block.model_validate({"experiment": "digits", "set": {"train.epoch": 1}})

    with pytest.raises(KilogradError, match=r"unknown key train\.epoch"):
        definition._rows(block, {})


def test_looks_fall_just_before_the_end_of_a_minibatch() -> None:
    """There the gradient of nearly the whole minibatch is in the buffer, whatever the rule does with it after."""
    points = watch_points(48 * 1000, 48)

    assert (points[0], points[-1]) == (47, 48 * 1000 - 1)
    assert len(points) == 60
    assert {point % 48 for point in points} == {47}
    assert watch_points(3, 1) == [1, 2]


def test_an_autoencoder_has_a_row_for_each_classifier_and_one_run(cli: Cli) -> None:
    """The rows differ in their labels only; what the encoder learned is the same, and is shown as pictures."""
    rng = np.random.default_rng(1)
    y = np.arange(96, dtype=np.int64) % 2
    x = np.where(y[:, None, None, None] == 0, 0.8, 0.1) * rng.random((96, 1, 28, 28))
    np.savez(cli.place.here / "own.npz", x_train=x.astype(np.float32), y_train=y, x_test=x[:20], y_test=y[:20])
    cli.experiment(
        'name = "vae"\n[model]\nsource = "vae_upsample"\n[data]\nname = "./own.npz"\n'
        "[train]\nepochs = 1\n[classifier]\nsteps = 96\n"
    )
    block = '[[rows]]\nexperiment = "experiment.toml"\nconfigurations = ["float32"]\nlabels_per_class = [2, 5]\n'
    done = cli.run("reproduce", tiny(cli, f'title = "vae"\nseeds = 1\n{block}'))
    table = cli._run("reproduce", tiny(cli, f'title = "vae"\nseeds = 1\n{block}'), "--out", str(cli.place.out))

    rows = json.loads(done.stdout)["rows"]
    names = [row["dataset"].rpartition("/")[2] for row in rows]
    assert names == ["own.npz, 2 labels per class", "own.npz, 5 labels per class"]
    assert all(0 <= row["accuracy_mean"] <= 1 for row in rows)
    assert table.stderr.count("#1: ") == 1
    assert " nats" in table.stderr
    assert "-ELBO" in table.stdout
    (picture,) = cli.place.out.glob("reconstructions_*.svg")
    assert picture.read_bytes().count(b"<image") == 20


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_adam_trains_the_same_model_for_comparison(cli: Cli) -> None:
    """One row more in float32; it learns as the runtime does, and other rows keep their curves."""
    table = tiny(
        cli, TINY.replace("[rows.set]", "adam = true\n[rows.set]").replace("= 1\n", "= 6\n").replace("192", "960")
    )
    out = cli.place.out

    rows = json.loads(cli.run("reproduce", table, "--seeds", "1", "--out", str(out)).stdout)["rows"]

    assert [(row["recipe"], row["configuration"]) for row in rows] == [
        ("adam", "float32"), ("best", "uint8"), ("best", "float32"),
    ]  # fmt: skip
    assert abs(rows[0]["accuracy_mean"] - rows[2]["accuracy_mean"]) < 0.15
    assert rows[0]["accuracy_mean"] != rows[2]["accuracy_mean"]
    assert (out / "curves_digits_shifted.svg").is_file()


def test_without_torch_adams_rows_are_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others need no torch, and who reads the table is told."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    table = definition.load_table("complete_training")
    alone = replace(table, rows=tuple(row for row in table.rows if row.adam))

    assert len(alone.rows) == 1
    assert run.fill(alone, 1, tmp_path, console.progress(quiet=False)) == []
    assert "the rows of Adam are left out" in capsys.readouterr().err
