# SPDX-License-Identifier: Apache-2.0
"""Generated tables: two whole files by heart, and what must hold for every file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilograd import kernels, paths, tools
from kilograd.differentiate import differentiate, select_layers
from kilograd.generate import generate, render
from kilograd.graph import make_graph
from kilograd.kernels import load_kernels
from kilograd.plan import plan
from kilograd.quantise import quantise
from kilograd.types import Node
from kilograd.zoo import _layers as layer
from test_training_step import model
from twins import FIRMWARE

if TYPE_CHECKING:
    from kilograd.types import Graph, Program
    from twins import Twins

GOLDEN = Path(__file__).with_name("golden")
CORE = "cortex-m0plus"
GOLDENS = [("tiny_uint8_best", "uint8", "best"), ("tiny_mixed_paper", "mixed", "paper")]


def ramp(*shape: int) -> np.ndarray:
    """Return weights that are easy to find again in a text."""
    count = int(np.prod(shape))
    return ((np.arange(count, dtype=np.float32) - count // 2) / count).reshape(shape)


def tiny_net(name: str) -> Graph:
    """Return a model on 4x4 pixels: conv, pool and linear; or two linear layers, the second for a float head."""
    if "mixed" in name:
        nodes = (
            layer.flatten("pixels", "input"),
            Node("hidden", "linear", ("pixels",), "hidden", {"relu": True}, ramp(2, 16), ramp(2)),
            Node("fc", "linear", ("hidden",), "fc", {"relu": False}, ramp(3, 2), ramp(3)),
        )
        return make_graph(name, (1, 4, 4), nodes)
    attributes = {"stride": (1, 1), "pads": (1, 1, 1, 1), "groups": 1, "relu": True}
    nodes = (
        Node("conv", "conv2d", ("input",), "conv", attributes, ramp(2, 1, 3, 3), ramp(2)),
        layer.max_pool("pool", "conv", 2),
        layer.flatten("features", "pool"),
        Node("fc", "linear", ("features",), "fc", {"relu": False}, ramp(3, 8), ramp(3)),
    )
    return make_graph(name, (1, 4, 4), nodes)


@pytest.fixture
def tiny(twins: Twins, monkeypatch: pytest.MonkeyPatch) -> dict[str, Program]:
    """Return the programs of the golden files, which stay the same when a core gets a faster kernel."""
    monkeypatch.setitem(kernels.VARIANTS, CORE, ())
    calibration = np.linspace(0, 1, 64, dtype=np.float32).reshape(4, 1, 4, 4)
    programs = {}
    for name, configuration, recipe in GOLDENS:
        graph = tiny_net(name)
        trained = select_layers(graph, "all")
        quantised = quantise(graph, configuration, calibration, trained)
        programs[name] = differentiate(quantised, trained, recipe, load_kernels(CORE, twins.library))
    return programs


@pytest.mark.parametrize("name", [name for name, _, _ in GOLDENS])
def test_generated_text_is_the_golden_one(tiny: dict[str, Program], name: str, *, update_golden: bool) -> None:
    """A change of the tables is seen in review, letter for letter."""
    text = render(tiny[name], plan(tiny[name]))
    path = GOLDEN / f"{name}.c"
    if update_golden:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", [name for name, _, _ in GOLDENS])
def test_golden_file_compiles_with_all_warnings(name: str, tmp_path: Path) -> None:
    """Generated code keeps the rules of code written by hand."""
    text = (paths.share() / "cmake" / "warnings.cmake").read_text(encoding="utf-8")
    warnings = re.findall(r"^\s+(-W[\w-]+)", text, re.MULTILINE)
    assert {"-Wall", "-Wextra", "-Wconversion", "-Wdouble-promotion", "-Wcast-qual", "-Werror"} <= set(warnings)
    includes = ("-I", FIRMWARE, "-I", FIRMWARE / "include")
    files = (GOLDEN / f"{name}.c", "-o", tmp_path / "model.o")

    tools.run(
        ["gcc", "-std=c11", "-O2", "-ffp-contract=off", *warnings, *includes, "-c", *files], what=f"compiling {name}"
    )


def test_goldens_are_those_of_the_folder() -> None:
    """No golden file is left behind when a case goes."""
    assert {path.stem for path in GOLDEN.iterdir()} == {name for name, _, _ in GOLDENS}


def test_text_is_deterministic(twins: Twins, tmp_path: Path) -> None:
    """The same program gives the same file; an unchanged file keeps its time, so that nothing is compiled again."""
    twin = twins.get(model("branching"), "uint8")
    path = generate(twin.program, twin.plan, tmp_path)
    before = path.stat().st_mtime_ns

    assert generate(twin.program, plan(twin.program), tmp_path).stat().st_mtime_ns == before
    assert path.read_text(encoding="utf-8") == render(twin.program, twin.plan)


@pytest.mark.parametrize("configuration", ["uint8", "mixed", "float32"])
def test_text_holds_no_place_no_date_and_no_decimal_fraction(twins: Twins, configuration: str) -> None:
    """The text depends on the model alone, and every real number in it is exact."""
    twin = twins.get(model("branching"), configuration)
    text = render(twin.program, twin.plan)

    assert "/" not in re.sub(r"//|\"\w+/\w+\.h\"", "", text).replace("kilograd/model.h", "")
    assert not re.search(r"\b20\d\d-\d\d", text)
    assert not re.search(r"(?<![\w.])\d+\.\d|(?<![\wxX.])\d+[eE][-+]?\d", text)
    floats = re.findall(r"-?0x[0-9a-f.]+p[-+]\d+(f?)\b", text)
    assert floats
    assert set(floats) == {"f"}


def test_float_weights_come_back_exactly(twins: Twins) -> None:
    """Hexadecimal constants carry every bit of a weight, of any size."""
    graph = model("digits_cnn")
    rng = np.random.default_rng(4)
    nodes = [
        node if node.weight is None else layer.Node(
            node.name, node.op, node.inputs, node.output, node.attributes,
            (node.weight * 10 ** rng.uniform(-30, 3, node.weight.shape)).astype(np.float32), node.bias,
        )
        for node in graph.nodes
    ]  # fmt: skip
    graph = make_graph("digits_wide", graph.shapes[graph.input], nodes)
    twin = twins.get(graph, "float32")
    text = render(twin.program, twin.plan)
    for node in graph.nodes:
        if node.weight is None:
            continue
        body = re.search(rf"\b{node.name}_w\[\d+\] [^=]*= \{{([^}}]*)\}}", text)
        assert body is not None
        values = [float.fromhex(word.strip().rstrip("f")) for word in body[1].split(",") if word.strip()]

        np.testing.assert_array_equal(np.float32(values), node.weight.ravel())


def test_every_object_is_defined_once_and_used(twins: Twins) -> None:
    """The file reads as if written by hand: no name stands there for nothing."""
    twin = twins.get(model("branching"), "uint8")
    text = render(twin.program, twin.plan)
    names = re.findall(
        r"^static (?:const )?\w+ (\w+)(?:\[\d+\])?(?: KG_SECTION| __attribute__| =|;)", text, re.MULTILINE
    )
    names += re.findall(r"^#define (t_\w+)", text, re.MULTILINE)

    assert len(names) == len(set(names))
    unused = [name for name in names if len(re.findall(rf"\b{name}\b", text)) < 2]
    assert unused == []
    assert max(map(len, text.splitlines())) <= 140


def test_another_weight_gives_another_model_id(tiny: dict[str, Program], twins: Twins) -> None:
    """Both ends of the link notice that they hold different models."""
    ids = set()
    for name, program in tiny.items():
        match = re.search(r"\.id = (0x[0-9a-f]{8})u", render(program, plan(program)))
        assert match is not None, name
        ids.add(match[1])
    changed = tiny_net(GOLDENS[0][0])
    weight = changed.nodes[0].weight
    assert weight is not None
    weight[0, 0, 0, 0] += np.float32(0.5)
    trained = select_layers(changed, "all")
    quantised = quantise(changed, "uint8", np.ones((1, 1, 4, 4), np.float32), trained)
    program = differentiate(quantised, trained, "best", load_kernels(CORE, twins.library))
    match = re.search(r"\.id = (0x[0-9a-f]{8})u", render(program, plan(program)))
    assert match is not None

    assert len(ids) == len(GOLDENS)
    assert match[1] not in ids
