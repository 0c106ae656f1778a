# SPDX-License-Identifier: Apache-2.0
"""Profiles: cycles by function and by the calls that led there, on small programs and on a training step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from chip.programs import start
from kilograd import profile
from kilograd.console import progress
from kilograd.engines.builtin import BuiltinEngine, Call
from kilograd.experiment import load_experiment

if TYPE_CHECKING:
    from pathlib import Path

CALLS = """
    ldr r7, =3
1:  bl twice
    subs r7, #1
    bne 1b
    bl leaf
    b stop
    .macro function name
    .type \\name, %function
    .thumb_func
\\name:
    .endm
function twice
    push {{r4, lr}}
    bl leaf
    bl leaf
    pop {{r4, pc}}
function leaf
    nop
    bx lr
function jumps
    b leaf
"""


def profile_of(code: str, name: str, folder: Path) -> tuple[BuiltinEngine, dict[tuple[str, ...], Call]]:
    """Return a chip that has run, and its profile by stack."""
    chip = start(code.format(), name, folder)
    chip.start_profile()
    assert "has halted" in chip.advance(1_000_000)
    return chip, {call.stack: call for call in chip.profile()}


@pytest.mark.parametrize("name", ["rp2040", "nrf52840", "imxrt1062"])
def test_cycles_go_to_the_function_that_took_them(name: str, tmp_path: Path) -> None:
    """All cycles are attributed, calls are counted, and the same function called from elsewhere stands apart."""
    chip, calls = profile_of(CALLS, name, tmp_path)

    assert {stack: call.calls for stack, call in calls.items()} == {
        ("reset",): 1,
        ("reset", "twice"): 3,
        ("reset", "twice", "leaf"): 6,
        ("reset", "leaf"): 1,
    }
    assert chip.cycles == sum(call.cycles for call in calls.values())
    assert chip.instructions == sum(call.instructions for call in calls.values())
    assert (12, 2) == (calls["reset", "twice", "leaf"].instructions, calls["reset", "leaf"].instructions)


def test_a_jump_to_another_function_takes_its_place(tmp_path: Path) -> None:
    """Compilers end a function with a jump where its last act is a call."""
    _, calls = profile_of(CALLS.replace("bl leaf\n    b stop", "bl jumps\n    b stop"), "nrf52840", tmp_path)

    assert (1, 1) == (calls["reset", "jumps"].calls, calls["reset", "leaf"].calls)
    assert 1 == calls["reset",].calls


def test_a_profile_begins_where_it_is_asked_for(tmp_path: Path) -> None:
    """What ran before does not count, and counting does not change counts."""
    with start(CALLS.format(), "nrf52840", tmp_path) as plain, start(CALLS.format(), "nrf52840", tmp_path) as chip:
        assert "has halted" in plain.advance(1000)
        chip.advance(20)
        before = chip.cycles
        chip.start_profile()
        assert "has halted" in chip.advance(1000)

        assert chip.cycles - before == sum(call.cycles for call in chip.profile())
        assert plain.cycles == chip.cycles


def test_sums_and_files_hold_every_call() -> None:
    """The same cycles stand in the table, in the collapsed stacks and in the file for speedscope."""
    calls = [
        Call(("main",), 10, 5, 1),
        Call(("main", "work"), 70, 60, 2),
        Call(("main", "work", "main"), 5, 5, 1),
        Call(("main", "rest"), 20, 10, 1),
    ]

    table = {function.function: function for function in profile.functions(calls)}
    scope = profile.speedscope(calls, "x")

    assert (15, 105) == (table["main"].cycles, table["main"].with_called)
    assert (70, 75) == (table["work"].cycles, table["work"].with_called)
    assert profile.collapsed(calls) == "main 10\nmain;rest 20\nmain;work 70\nmain;work;main 5\n"
    assert [10, 20, 70, 5] == scope["profiles"][0]["weights"]
    names = [frame["name"] for frame in scope["shared"]["frames"]]
    assert ["main", "work"] == [names[number] for number in scope["profiles"][0]["samples"][2]]


def test_a_training_step_is_profiled_by_layer_and_function(tmp_path: Path) -> None:
    """The steps' cycles are those of the functions below the trainer."""
    changes = {"data.samples": 48, "data.test_samples": 4, "train.batch": 2, "train.epochs": 1}
    text = 'name = "small"\n[model]\nsource = "digits_cnn"\n[data]\nname = "digits"\n'
    file = tmp_path / "small.toml"
    file.write_text(text, encoding="utf-8")
    experiment = load_experiment(file, changes)

    made = profile.profile(experiment, out=tmp_path / "out", board="nrf52840", progress=progress(quiet=True))

    layers = sum(layer.cycles for layer in made.layers)
    assert 2 == made.samples
    assert {"forward", "backward", "update"} == {layer.phase for layer in made.layers}
    assert 0.6 * made.cycles < layers < made.cycles
    main = next(function for function in made.functions if function.function == "main")
    assert 0.9 * made.cycles < main.with_called <= made.cycles
    stacks = made.files[0].read_text(encoding="utf-8").splitlines()
    assert made.cycles == sum(int(line.rpartition(" ")[2]) for line in stacks)
    assert made.cycles == json.loads(made.files[1].read_text(encoding="utf-8"))["profiles"][0]["endValue"]
    assert json.loads(profile.to_json(made))["cycles"] == made.cycles
