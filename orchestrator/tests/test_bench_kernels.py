# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of kernels and steps: they count what runs, and their sizes are the linker's."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from builds import model_firmware
from kilograd import bench_cases, bench_kernels, toolchain
from kilograd.build import build_firmware
from kilograd.code_size import CodeSize, branch_targets
from kilograd.console import SilentProgress
from kilograd.engines.builtin import BuiltinEngine
from kilograd.link.session import Session
from kilograd.lower import Settings, lower
from kilograd.platforms.board import load_board
from kilograd.quantise import store_input
from kilograd.zoo import build_model
from workshop import workshop

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_line import Cli
    from conftest import RunCli

BOARD = "nrf52840"
NET = "cnn4_8_fc10"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> bench_kernels.Bench:
    """Return a layer and a net, measured on one board."""
    cases = bench_kernels.layer_cases("linear*") + bench_kernels.step_cases([NET])
    board, root = load_board(BOARD), workshop(tmp_path_factory).root
    return bench_kernels.bench(cases, ["uint8"], board, root, SilentProgress())


def rows_of(made: bench_kernels.Bench, case: str) -> dict[str, bench_kernels.Row]:
    """Return the rows of a case by phase."""
    return {row.phase: row for row in made.rows if row.case == case}


def binutils(name: str) -> Callable[..., str]:
    """Return a function that runs one of the compiler's own tools."""
    compiler = Path(toolchain.arm_compiler().command[0])
    tool = compiler.with_name(compiler.name.replace("gcc", name))
    if tool == compiler:
        pytest.skip(f"{compiler.name} comes without {name}")
    return lambda *arguments: subprocess.run([tool, *arguments], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        ("conv3x3_16x16x16_16", 16 * 16 * 16 * 16 * 9),
        ("conv1x1_16x16x32_32", 16 * 16 * 32 * 32),
        ("dw3x3_16x16x32", 16 * 16 * 32 * 9),
        ("linear_784_64", 784 * 64),
    ],
)
def test_a_case_has_the_work_that_its_name_says(name: str, macs: int) -> None:
    """Costs for each multiply-accumulate compare only with others' if both count the same."""
    graph = bench_cases.layer_graph(name)

    assert bench_kernels.layer_macs(graph, bench_cases.LAYER) == macs


def test_a_layer_has_a_row_for_each_of_its_kernels(made: bench_kernels.Bench) -> None:
    """The sum of both gradients is what peers call the backward pass."""
    rows = rows_of(made, "linear_784_64")

    assert set(rows) == {"forward", "wgrad", "igrad", "backward", "update"}
    assert rows["forward"].kernel.startswith("kg_linear_u8_forward")
    assert rows["backward"].macs == 2 * 784 * 64
    parts = rows["wgrad"].instructions + rows["igrad"].instructions
    assert abs(rows["backward"].instructions - parts) <= 1


def test_a_step_is_its_phases_with_a_share_of_the_update(made: bench_kernels.Bench) -> None:
    """An update happens once for all samples of a minibatch."""
    rows = rows_of(made, NET)

    shared = rows["forward"].cycles + rows["backward"].cycles + round(rows["update"].cycles / 48)
    assert rows["step"].cycles == shared
    layers = {"conv1": 14 * 14 * 4 * 9, "conv2": 14 * 14 * 8 * 4 * 9, "fc1": 392 * 10}
    assert rows["forward"].macs == sum(layers.values())
    assert rows["step"].macs == 3 * sum(layers.values()) - layers["conv1"], "the first layer has no input gradient"
    assert "selection" not in rows, "all rows are trained"


def test_counts_are_those_of_the_calls(made: bench_kernels.Bench, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Steps are counted between laps of the trainer, calls by the profiler: both must find the same kernel."""
    board, shop = load_board(BOARD), workshop(tmp_path_factory)
    (case,) = bench_kernels.layer_cases("linear*")
    settings = Settings("uint8", "best", case.trained)
    noise = bench_kernels.noise(case.graph, bench_kernels.CALIBRATION)
    lowered = lower(case.graph, settings, noise, board.core, shop.kernels, shop.root / BOARD)
    elf = build_firmware([lowered.source], board, shop.root / BOARD / "build")
    with BuiltinEngine(elf, board) as chip:
        chip.start_profile()
        session = Session(chip)
        session.configure(1, 0, 1, 1e-3)
        session.train(store_input(noise[:1], lowered.program.input_format), np.zeros(1, np.int64))
        calls = chip.profile()

    row = rows_of(made, "linear_784_64")["forward"]
    inside = sum(call.instructions for call in calls if row.kernel in call.stack)
    assert 0 <= row.instructions - inside < 100, "a step adds only its call and its lap"


def test_code_is_counted_with_all_that_it_calls(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Binutils disassembles the same ELF: sizes and calls must be those of nm and objdump."""
    elf = model_firmware(load_board("rp2040"), tmp_path_factory)
    listed = binutils("nm")("-S", str(elf)).splitlines()
    sizes = {fields[3]: int(fields[1], 16) for line in listed if len(fields := line.split()) == 4}
    text = binutils("objdump")("-d", "--no-show-raw-insn", str(elf))
    calls: dict[str, set[str]] = {}
    for block in text.split("\n\n"):
        if name := re.match(r"[0-9a-f]+ <(\w+)>:", block.lstrip()):
            calls[name[1]] = set(re.findall(r"\tbl?\S*\t[0-9a-f]+ <(\w+)>", block)) - {name[1]}

    known, waiting = set[str](), ["kg_trainer_train"]
    while waiting:
        name = waiting.pop()
        waiting += [] if name in known else calls[name]
        known.add(name)
    assert len(known) > 5
    assert CodeSize(elf).of("kg_trainer_train") == sum(sizes[name] for name in known)


@pytest.mark.parametrize(
    ("code", "target"),
    [
        ("fff7feff", 0x1000),  # bl to itself
        ("00f000f8", 0x1004),  # bl to what follows
        ("fef7fefb", 0x1000 + 4 - 0x1804),  # bl far back
        ("00f0febf", 0x1000 + 4 + 0xFFC),  # b.w
    ],
)
def test_branches_are_read_as_the_architecture_defines_them(code: str, target: int) -> None:
    """Encoded by hand after the Armv7-M manual, BL T1 and B.W T4."""
    assert list(branch_targets(bytes.fromhex(code), 0x1000)) == [target]


def test_conditional_branches_and_data_processing_are_no_calls() -> None:
    """beq.w, msr and a 16-bit move lie next to the encodings of BL."""
    assert list(branch_targets(bytes.fromhex("00f00280 80f30888 0046"), 0)) == []


def test_a_model_without_room_gets_a_larger_board() -> None:
    """The comparison of cores wants the same nets on all; the address space around RAM stays as it is."""
    sizes = {name: bench_kernels.with_more_ram(load_board(name)).ram.size for name in ("nrf52840", "imxrt1062")}

    assert sizes == {"nrf52840": 4 << 20, "imxrt1062": 2 << 20}, "the i.MX RT1062 has OCRAM 2 MB behind its DTCM"


def test_json_has_its_schema(
    run_cli: RunCli, made: bench_kernels.Bench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Machines read the rows by these names."""
    out = str(workshop(tmp_path_factory).root)
    done = run_cli("bench", "step", "--net", NET, "--configuration", "uint8", "--json", "--quiet", "--out", out)

    result = json.loads(done.stdout)
    assert done.returncode == 0
    assert (result["schema"], result["board"]) == (1, BOARD)
    assert toolchain.describe(toolchain.arm_compiler()) == result["compiler"]
    keys = {"case", "phase", "configuration", "macs", "instructions", "cycles", "code_bytes", "scratch_bytes"}
    assert all(keys <= set(row) for row in result["rows"])
    assert [row["cycles"] for row in result["rows"]] == [row.cycles for row in made.rows if row.case == NET]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kernels", "--case", "none"], "no case has such a name"),
        (["step", "--net", "alexnet"], "unknown model: alexnet"),
        (["step", "--configuration", "int4"], "unknown configuration: int4"),
        (["kernels", "--board", "z80"], "there is no board 'z80'"),
    ],
)
def test_wrong_names_are_refused(cli: Cli, arguments: list[str], message: str) -> None:
    """What is not there is named, with what is."""
    assert message in cli.fails("bench", *arguments)


def test_the_small_cnn_is_half_the_reference() -> None:
    """The peers' net has convolutions of 4 and 8 channels and one linear layer."""
    weights = [node.weight.shape for node in build_model(NET, seed=1).nodes if node.weight is not None]

    assert weights == [(4, 1, 3, 3), (8, 4, 3, 3), (10, 392)]
