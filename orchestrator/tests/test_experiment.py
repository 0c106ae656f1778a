# SPDX-License-Identifier: Apache-2.0
"""Experiment files: what they may hold, and what an error in one says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kilograd import experiment as experiments
from kilograd.errors import KilogradError
from kilograd.experiment import load_experiment, parse_override, reference_table
from kilograd.toml_lines import line_of
from kilograd.types import Sparsity

if TYPE_CHECKING:
    from pathlib import Path

SMALLEST = """\
name = "small"
[model]
source = "digits_cnn"
[data]
name = "digits"
"""

# What is added to the smallest experiment, the line of the mistake, and words of the message and of the hint.
MISTAKES = [
    ("[train]\nbach = 3", 7, ["unknown key train.bach"], ["did you mean batch?", "keys of [train]", "epochs"]),
    ("[trian]\nbatch = 3", 6, ["unknown key trian"], ["did you mean train?", "pretrain", "limits"]),
    ('[train]\nbatch = "3"', 7, ["train.batch", "a whole number", "'3'"], ["training samples per weight update"]),
    ("[train]\nbatch = 3.5", 7, ["train.batch", "a whole number", "3.5"], []),
    ("[train]\nbatch = 0", 7, ["train.batch", "greater than 0"], []),
    ("[train]\nbatch = true", 7, ["train.batch", "a whole number", "True"], []),
    ("[train]\n\n# why\nseed = -1", 9, ["train.seed", "greater than or equal to 0"], []),
    ('[train]\nconfiguration = "int8"', 7, ["train.configuration", "'uint8', 'mixed' or 'float32'", "'int8'"], []),
    ('[train]\nrecipe = "adam"', 7, ["train.recipe", "'best', 'paper', 'sgd_m' or 'sgd_m_qas'"], []),
    ('[train]\nschedule = "cos"', 7, ["train.schedule", "'cosine', 'linear', 'step' or 'constant'"], ["half"]),
    ('[train]\nparameters = "weights"', 7, ["train.parameters", "'all' or 'biases'"], ["flash"]),
    ('[train]\nformats = {fc1 = "int4"}', 7, ["train.formats.fc1", "'uint8' or 'float32'", "'int4'"], ["formats"]),
    ('[train]\nformats = "uint8"', 7, ["train.formats", "a table"], ["by name"]),
    ("[train]\ngradient_bits = 4", 7, ["train.gradient_bits", "8, 16 or 32", "4"], ["exact sums"]),
    ("[train]\nlayers = true", 7, ["train.layers", '"all"', "a list of layer names"], []),
    ("[train]\nlayers = 0", 7, ["train.layers", '"all"'], []),
    ("[train]\nlayers = []", 7, ["train.layers", '"all"'], []),
    ("[train]\nlayers = [1, 2]", 7, ["train.layers", '"all"'], []),
    ("[train]\nlambda_min = -0.1", 7, ["train.lambda_min", "greater than or equal to 0"], ["sparse updates"]),
    ("[train]\nlambda_min = 1.5", 7, ["train.lambda_min", "less than or equal to 1"], []),
    ("[train]\nlambda_min = 0.5\nlambda_max = 0.25", 8, ["train.lambda_max", "lambda_min = 0.5"], []),
    ("[train]\nlambda_max = 0.25", 7, ["train.lambda_max", "lambda_min = 1.0"], []),
    ('[train]\nselection = "random"', 7, ["train.selection", "'proportional' or 'top_k'", "'random'"], []),
    ('[run]\nboards = "rp2040"', 7, ["run.boards", "a list"], []),
    ('[run]\nboards = ["rp2040",\n  "rp2350"]', 7, ["run.boards", "'rp2350' is no board", "nrf52840, rp2040"], []),
    ("[run]\nboards = []", 7, ["run.boards", "at least 1"], []),
    ('[run]\nengine = "silicon"', 7, ["run.engine", "'silicon' is no engine", "host"], []),
    ('[pretrain]\ndata = "imagenet"', 7, ["pretrain.data", "'imagenet' is no data set", "digits_shifted"], []),
    ("[limits]\nram_bytes = 5", 7, ["'ram_bytes' is no board", "rp2040"], ["[limits.<board>]", "flash_bytes"]),
    ("[limits.rp2040]\nram = 5", 7, ["unknown key limits.rp2040.ram"], ["did you mean ram_bytes?"]),
    ("[limits.rp2040]\nram_bytes = 5.5", 7, ["limits.rp2040.ram_bytes", "a whole number"], []),
    ("[train\n", 6, ["Expected ']'"], ["TOML"]),
]


def write(folder: Path, text: str) -> Path:
    """Return the path of a new experiment file."""
    path = folder / "my.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_smallest_experiment_has_the_documented_defaults(tmp_path: Path) -> None:
    """Four keys are enough to begin with."""
    experiment = load_experiment(write(tmp_path, SMALLEST))

    assert (experiment.name, experiment.model.source, experiment.data.name) == ("small", "digits_cnn", "digits")
    assert experiment.pretrain.data is None
    assert (experiment.train.configuration, experiment.train.recipe, experiment.train.layers) == (
        "uint8",
        "best",
        "all",
    )
    assert (experiment.train.batch, experiment.train.seed) == (48, 1)
    assert (experiment.run.boards, experiment.run.engine) == (("nrf52840",), "builtin")


@pytest.mark.parametrize(("recipe", "rate"), [("best", 5e-4), ("paper", 1e-3)])
def test_the_recipe_decides_the_learning_rate_unless_it_is_given(tmp_path: Path, recipe: str, rate: float) -> None:
    """Each recipe has the rate that it was found to work with."""
    path = write(tmp_path, f'{SMALLEST}[train]\nrecipe = "{recipe}"\n')

    assert load_experiment(path).train.rate == rate
    assert load_experiment(path, {"train.learning_rate": 1}).train.rate == 1.0


@pytest.mark.parametrize(("recipe", "decay"), [("best", "cosine"), ("paper", "constant"), ("sgd_m", "cosine")])
def test_the_recipe_decides_the_schedule_unless_it_is_given(tmp_path: Path, recipe: str, decay: str) -> None:
    """The published recipe never lowers its rate; ours needs that."""
    path = write(tmp_path, f'{SMALLEST}[train]\nrecipe = "{recipe}"\n')

    assert load_experiment(path).train.decay == decay
    assert load_experiment(path, {"train.schedule": "step"}).train.decay == "step"


@pytest.mark.parametrize(("layers", "expected"), [('"all"', "all"), ("2", 2), ('["fc1", "fc2"]', ("fc1", "fc2"))])
def test_layers_are_all_or_a_number_or_names(tmp_path: Path, layers: str, expected: object) -> None:
    """The three ways to say which layers learn."""
    path = write(tmp_path, f"{SMALLEST}[train]\nlayers = {layers}\n")

    assert load_experiment(path).train.layers == expected


@pytest.mark.parametrize(("added", "line", "message", "hint"), MISTAKES)
def test_a_mistake_is_named_with_file_line_key_and_what_is_allowed(
    tmp_path: Path, added: str, line: int, message: list[str], hint: list[str]
) -> None:
    """A user must find the mistake without reading the documentation."""
    path = write(tmp_path, SMALLEST + added)

    with pytest.raises(KilogradError) as caught:
        load_experiment(path)

    assert caught.value.message.startswith(f"{path}:{line}: ")
    assert [word for word in message if word not in caught.value.message] == []
    assert [word for word in hint if word not in caught.value.hint] == []
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (SMALLEST.replace('name = "digits"', ""), 4, "the key data.name is missing"),
        ('name = "x"\n[data]\nname = "digits"\n', 1, "the table [model] is missing"),
        (SMALLEST.replace("digits_cnn", "alexnet"), 3, "'alexnet' is no built-in model, .onnx or .pt2 file"),
        (SMALLEST.replace('"small"', '"a/b"'), 1, "name = 'a/b'"),
        (f"run = 5\n{SMALLEST}", 1, "run must be a table, not 5"),
        (SMALLEST.replace('"small"', "3"), 1, "name must be a string in quotes, not 3"),
    ],
)
def test_what_is_missing_or_wrong_in_required_keys_is_named(tmp_path: Path, text: str, line: int, message: str) -> None:
    """Required keys have no default to fall back to."""
    path = write(tmp_path, text)

    with pytest.raises(KilogradError) as caught:
        load_experiment(path)

    assert caught.value.message.startswith(f"{path}:{line}: ")
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("recipe", "selection"), [("best", "proportional"), ("paper", "top_k"), ("sgd_m", "proportional")]
)
def test_the_recipe_decides_how_rows_are_chosen_unless_it_is_given(tmp_path: Path, recipe: str, selection: str) -> None:
    """The published recipe takes the largest; by default all rows learn."""
    path = write(tmp_path, f'{SMALLEST}[train]\nrecipe = "{recipe}"\n')

    assert load_experiment(path).train.sparsity == Sparsity(1.0, 1.0, selection)
    assert load_experiment(path).train.sparsity.dense
    sparse = {"train.lambda_min": 0.1, "train.lambda_max": 0.5, "train.selection": "top_k"}
    assert load_experiment(path, sparse).train.sparsity == Sparsity(0.1, 0.5, "top_k")


def test_overrides_replace_keys_of_the_file(tmp_path: Path) -> None:
    """The command line wins over the file, also in tables that the file does not have."""
    path = write(tmp_path, f"{SMALLEST}[train]\nepochs = 9\nbatch = 5\n")

    experiment = load_experiment(path, {"train.epochs": 2, "run.boards": ["rp2040"], "limits.rp2040.ram_bytes": 7})

    assert (experiment.train.epochs, experiment.train.batch) == (2, 5)
    assert experiment.run.boards == ("rp2040",)
    assert experiment.limits["rp2040"].ram_bytes == 7


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"train.epoch": 2}, "command line: unknown key train.epoch"),
        ({"train.epochs": "two"}, "command line: train.epochs must be a whole number"),
        ({"run.boards": ["esp32"]}, "command line: run.boards 'esp32' is no board"),
        ({"name.first": 1}, "command line: name.first: name is not a table"),
    ],
)
def test_a_wrong_override_blames_the_command_line(tmp_path: Path, overrides: dict[str, object], message: str) -> None:
    """The file is innocent there, so its lines would mislead."""
    with pytest.raises(KilogradError) as caught:
        load_experiment(write(tmp_path, SMALLEST), overrides)

    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.epochs=2", ("train.epochs", 2)),
        ("train.recipe=paper", ("train.recipe", "paper")),
        ('train.recipe="paper"', ("train.recipe", "paper")),
        ('train.layers=["a", "b"]', ("train.layers", ["a", "b"])),
        ("model.source=a=b.onnx", ("model.source", "a=b.onnx")),
    ],
)
def test_an_override_is_toml_or_else_text(text: str, expected: tuple[str, object]) -> None:
    """Nobody wants to write quotes inside quotes in a shell."""
    assert parse_override(text) == expected


@pytest.mark.parametrize("text", ["train.epochs", "=2", ""])
def test_an_override_without_key_or_value_is_an_error(text: str) -> None:
    """An incomplete --set must not pass silently."""
    with pytest.raises(KilogradError, match="expected KEY=VALUE"):
        parse_override(text)


def test_an_onnx_file_is_found_beside_the_experiment(tmp_path: Path) -> None:
    """An experiment and its model travel together, wherever the command is started."""
    (tmp_path / "net.onnx").touch()
    path = write(tmp_path, SMALLEST.replace("digits_cnn", "net.onnx"))

    assert load_experiment(path).model.source == str(tmp_path / "net.onnx")


def test_a_missing_onnx_file_is_an_error_that_says_where_it_was_looked_for(tmp_path: Path) -> None:
    """The path is relative to the experiment, which a user may not expect."""
    with pytest.raises(KilogradError) as caught:
        load_experiment(write(tmp_path, SMALLEST.replace("digits_cnn", "net.onnx")))

    assert str(tmp_path / "net.onnx") in caught.value.message


def test_an_unknown_experiment_lists_those_that_kilograd_brings() -> None:
    """A wrong name lists the right ones."""
    with pytest.raises(KilogradError, match=r"there is no experiment digit$") as caught:
        load_experiment("digit")

    assert "digits, fashion_mnist" in caught.value.hint


def test_a_file_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    """A firmware image given by mistake must not end in a traceback."""
    path = tmp_path / "image.toml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(KilogradError, match="cannot be read"):
        load_experiment(path)


@pytest.mark.parametrize("name", experiments.experiments())
def test_every_experiment_that_kilograd_brings_can_be_loaded(name: str) -> None:
    """They are the first thing that a user tries."""
    assert load_experiment(name).name == name


def test_an_experiment_cannot_be_changed(tmp_path: Path) -> None:
    """Steps share it; none may surprise the others."""
    experiment = load_experiment(write(tmp_path, SMALLEST))

    with pytest.raises(ValueError, match="frozen"):
        experiment.train.epochs = 3  # type: ignore[misc]


def test_the_reference_table_has_a_row_for_each_key() -> None:
    """It is the documentation, so it must be complete."""
    rows = reference_table().splitlines()[2:]

    keys = [row.split("`")[1] for row in rows]
    assert len(keys) == len(set(keys))
    assert {"name", "model.source", "data.samples", "train.layers", "run.time_limit_s"} < set(keys)
    assert "limits.<board>.ram_bytes" in keys
    assert [row for row in rows if row.endswith("| None |")] == []


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("name",), 1),
        (("train", "epochs"), 4),
        (("train", "batch"), 3),
        (("limits", "rp2040", "ram_bytes"), 6),
        (("limits", "rp2040", "time_ms"), 5),
        (("limits", "other"), 1),
        (("run", "boards"), 8),
        (("run", "engine"), 11),
    ],
)
def test_lines_of_keys_are_found_in_every_way_to_write_them(keys: tuple[str, ...], line: int) -> None:
    """Tables, dotted keys and lists over several lines are all usual."""
    text = """name = "x"  # epochs = 5
[train]
batch = 3
epochs = 2
[limits.rp2040]
"ram_bytes" = 5
[run]
boards = [
    "a",
]
engine.name = "b"
"""

    assert line_of(text, keys) == line
