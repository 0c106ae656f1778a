# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with an ONNX file is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from kilograd.errors import KilogradError
from kilograd.load import load_model
from kilograd.load.onnx_file import load_onnx
from onnx_files import FLATTEN, IMAGE, NORM, Weights, conv_weights, node, norm_weights, save

if TYPE_CHECKING:
    from pathlib import Path


CONV = node("Conv", "x w b", "map")
CONV_WEIGHTS = conv_weights(4, 3, 3, 3)
REFUSED: dict[str, tuple[list[onnx.NodeProto], Weights, tuple[str, ...]]] = {
    "unknown operator": (
        [CONV, node("LeakyRelu", "map", "y")],
        CONV_WEIGHTS,
        ("LeakyRelu_y", "(LeakyRelu)", "no such operator", "train the model with Relu", "MaxPool"),
    ),
    "clip that is no rectifier": (
        [CONV, node("Clip", "map low high", "y")],
        {**CONV_WEIGHTS, "low": np.array(-1, np.float32), "high": np.array(6, np.float32)},
        ("Clip_y", "limits values to -1 .. 6", "0 .. 6 (ReLU6)"),
    ),
    "product with a constant": (
        [CONV, node("Mul", "map scale", "y")],
        {**CONV_WEIGHTS, "scale": np.float32([2])},
        ("Mul_y", "scales by a constant", "scale the data"),
    ),
    "mean over the channels": (
        [CONV, node("ReduceMean", "map", "y", axes=[1], keepdims=0)],
        CONV_WEIGHTS,
        ("ReduceMean_y", "the mean over the dimensions [1]", "height and width"),
    ),
    "dilation": ([node("Conv", "x w b", "y", dilations=[2, 2])], CONV_WEIGHTS, ("Conv_y", "dilations [2, 2]")),
    "batch norm without convolution": (
        [node("BatchNormalization", f"x {NORM}", "y")],
        norm_weights(3),
        ("BatchNormalization_y", "folded into a convolution or linear layer"),
    ),
    "batch norm behind a relu": (
        [CONV, node("Relu", "map", "on"), node("BatchNormalization", f"on {NORM}", "y")],
        {**CONV_WEIGHTS, **norm_weights(4)},
        ("BatchNormalization_y", "right before it"),
    ),
    "batch norm behind a convolution that two nodes read": (
        [CONV, node("BatchNormalization", f"map {NORM}", "n"), node("Add", "n map", "s"), node("Flatten", "s", "y")],
        {**CONV_WEIGHTS, **norm_weights(4)},
        ("BatchNormalization_n", "nothing else reads"),
    ),
    "weights that are computed": (
        [node("Relu", "w", "v"), node("Conv", "x v b", "y")],
        CONV_WEIGHTS,
        ("Relu_v", "constant"),
    ),
    "rearranged weights that do not fit": (
        [node("Reshape", "w target", "v"), node("Gemm", "x v", "y")],
        {"w": np.ones((3, 4), np.float32), "target": np.array([5, 5], np.int64)},
        ("Reshape_v", "does not fit its constant input (3, 4)"),
    ),
    "softmax inside": (
        [node("Softmax", "x", "s", axis=1), node("Flatten", "s", "y")],
        {},
        ("Softmax_s", "inside the model"),
    ),
    "average without its padding": (
        [node("AveragePool", "x", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1])],
        {},
        ("AveragePool_y", "count_include_pad=1"),
    ),
    "ceil mode that adds a window": (
        [node("MaxPool", "x", "y", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)],
        {},
        ("MaxPool_y", "ceil_mode"),
    ),
    "window larger than the map": (
        [node("MaxPool", "x", "y", kernel_shape=[9, 9])],
        {},
        ("MaxPool_y", "larger than the map (9, 8)"),
    ),
    "reshape of the batch": (
        [node("Reshape", "x target", "y")],
        {"target": np.array([-1, 9, 8], np.int64)},
        ("Reshape_y", "(3, 9, 8)"),
    ),
    "constant that is no bias": (
        [CONV, node("Add", "map c", "y")],
        {**CONV_WEIGHTS, "c": np.ones((4, 7, 6), np.float32)},
        ("Add_y", "no bias"),
    ),
    "broadcast in a sum": (
        [node("GlobalAveragePool", "x", "mean"), node("Add", "x mean", "y")],
        {},
        ("Add_y", "one shape"),
    ),
    "product of maps": (
        [node("MatMul", "x m", "y")],
        {"m": np.ones((8, 2), np.float32)},
        ("MatMul_y", "Flatten first"),
    ),
    "no score per class": ([node("Conv", "x w b", "y")], CONV_WEIGHTS, ("(4, 7, 6)", "one score per class")),
    "NaN": (
        [node("Conv", "x w b", "y")],
        {**CONV_WEIGHTS, "w": np.full((4, 3, 3, 3), np.nan, np.float32)},
        ("tensor w", "NaN"),
    ),
    "infinity": (
        [node("Conv", "x w b", "y")],
        {**CONV_WEIGHTS, "b": np.array([0, 0, np.inf, 0], np.float32)},
        ("tensor b", "1 values, first at 2"),
    ),
    "shapes that do not fit": (
        [node("Conv", "x w b", "y")],
        conv_weights(4, 5, 3, 3),
        ("Conv_y", "does not fit 3 input channels"),
    ),
    "ranks that do not fit": (
        [node("Gemm", "x w", "y")],
        {"w": np.ones((3, 4), np.float32)},
        ("shapes do not fit", "Gemm"),
    ),
}


def complaint(path: Path) -> str:
    """Return message and hint of the error that loading a file gives."""
    with pytest.raises(KilogradError) as caught:
        load_onnx(path)
    return f"{caught.value.message}\n{caught.value.hint}"


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_loaded_is_named(case: str, tmp_path: Path) -> None:
    """The error names the file, the node, its operator, the reason, and what would work."""
    nodes, weights, expected = REFUSED[case]

    text = complaint(save(tmp_path / "model.onnx", nodes, weights))

    assert "model.onnx" in text
    for part in expected:
        assert part in text


INPUTS: dict[str, tuple[dict[str, Any], str]] = {
    "dynamic map": ({"shape": ("n", 3, "height", 8)}, "dynamic shape (n, 3, height, 8)"),
    "fixed batch": ({"shape": (32, *IMAGE)}, "fixed batch 32"),
    "bytes": ({"kind": TensorProto.UINT8}, "UINT8"),
    "old opset": ({"opset": 6}, "uses opset 6"),
}


@pytest.mark.parametrize("case", INPUTS)
def test_unfit_input_is_named(case: str, tmp_path: Path) -> None:
    """What kilograd cannot train on is told before anything else."""
    settings_, expected = INPUTS[case]

    assert expected in complaint(save(tmp_path / "model.onnx", [node("Flatten", "x", "y")], {}, **settings_))


def test_operators_of_other_domains_are_refused(tmp_path: Path) -> None:
    """A Relu of somebody else may be anything."""
    path = save(tmp_path / "model.onnx", [helper.make_node("Relu", ["x"], ["y"], "odd", domain="com.example")], {})
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    onnx.save(model, path)

    assert "node odd (Relu): kilograd has no such operator" in complaint(path)


def test_opset_of_the_future_is_refused(tmp_path: Path) -> None:
    """A file newer than the onnx package could mean something else."""
    path = save(tmp_path / "model.onnx", [node("Flatten", "x", "y")], {})
    model = onnx.load(path)
    model.opset_import[0].version = 999
    onnx.save(model, path)

    assert "uses opset 999" in complaint(path)


@pytest.mark.parametrize("side", ["input", "output"])
def test_several_inputs_or_outputs_are_refused(side: str, tmp_path: Path) -> None:
    """The error lists them."""
    path = save(tmp_path / "model.onnx", [node("Flatten", "x", "y"), node("Relu", "x", "z")], {})
    model = onnx.load(path)
    getattr(model.graph, side).append(helper.make_tensor_value_info("z" if side == "output" else "v", 1, ("n", *IMAGE)))
    onnx.save(model, path)

    assert f"has 2 {side}s: {'x, v' if side == 'input' else 'y, z'}" in complaint(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    """A wrong path is the commonest mistake."""
    assert "nowhere.onnx: no such file" in complaint(tmp_path / "nowhere.onnx")


@pytest.mark.parametrize("content", [b"", b"not a model at all", bytes(range(256))])
def test_other_files_are_no_onnx(content: bytes, tmp_path: Path) -> None:
    """Any bytes give a clear error."""
    path = tmp_path / "model.onnx"
    path.write_bytes(content)

    assert "model.onnx: " in complaint(path)


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    """An interrupted copy is not half a model."""
    path = save(tmp_path / "model.onnx", [CONV, FLATTEN], CONV_WEIGHTS)
    path.write_bytes(path.read_bytes()[:-40])

    assert "not an ONNX file" in complaint(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=st.dictionaries(st.integers(0, 5000), st.integers(0, 255), min_size=1, max_size=4))
def test_damaged_file_loads_or_gives_a_clear_error(damage: dict[int, int], tmp_path: Path) -> None:
    """Wherever bytes have changed, kilograd never crashes."""
    nodes = [node("Conv", "x w b", "s"), node("BatchNormalization", f"s {NORM}", "n"), node("Relu", "n", "r")]
    nodes += [node("Reshape", "r target", "f"), node("Softmax", "f", "y")]
    weights = {**conv_weights(2, 3, 3, 3), **norm_weights(2), "target": np.array([-1, 84], np.int64)}
    path = save(tmp_path / "model.onnx", nodes, weights)
    content = bytearray(path.read_bytes())
    for place, byte in damage.items():
        content[place % len(content)] = byte
    path.write_bytes(content)

    try:
        graph = load_onnx(path)
    except KilogradError as error:
        assert "model.onnx: " in error.message  # noqa: PT017 - loading is fine, too
    else:
        assert len(graph.shapes[graph.output]) == 1


def test_invalid_model_is_refused(tmp_path: Path) -> None:
    """What onnx's checker finds is told in one line."""
    path = save(tmp_path / "model.onnx", [node("Conv", "x nothing", "y")], {})

    assert "not a valid ONNX model" in complaint(path)


def test_reference_is_a_path_from_the_experiment_or_a_built_in_model(tmp_path: Path) -> None:
    """Both kinds of reference give a graph for the classes of the data."""
    weights = {"w": conv_weights(216, 7)["w"]}
    save(tmp_path / "mine.onnx", [node("Flatten", "x", "f"), node("Gemm", "f w", "y")], weights)

    own = load_model("mine.onnx", base=tmp_path, seed=1, classes=7)
    built_in = load_model("digits_cnn", base=tmp_path, seed=1, classes=7)

    assert own.name == "mine"
    assert own.shapes[own.output] == built_in.shapes[built_in.output] == (7,)


def test_unknown_model_lists_the_built_in_ones(tmp_path: Path) -> None:
    """A wrong name shows the right ones."""
    with pytest.raises(KilogradError) as caught:
        load_model("digits_cn", base=tmp_path, seed=1, classes=10)

    assert "digits_cn" in caught.value.message
    assert "digits_cnn, ds_cnn, mbednet" in caught.value.hint


def test_model_and_data_must_agree_on_the_classes(tmp_path: Path) -> None:
    """A model with other outputs than classes cannot be trained."""
    save(tmp_path / "mine.onnx", [node("Flatten", "x", "y")], {})

    with pytest.raises(KilogradError, match="10 classes"):
        load_model("mine.onnx", base=tmp_path, seed=1, classes=10)
