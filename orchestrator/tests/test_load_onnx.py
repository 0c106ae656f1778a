# SPDX-License-Identifier: Apache-2.0
"""ONNX files mean to kilograd what they mean to onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from kilograd.graph import evaluate
from kilograd.load.onnx_file import load_onnx
from onnx_files import FLATTEN, IMAGE, NORM, Weights, conv_weights, node, norm_weights, save

if TYPE_CHECKING:
    from pathlib import Path

    from kilograd.types import Graph


def check(path: Path) -> Graph:
    """Load a file, compare its output for two samples with onnxruntime's, and return the graph."""
    graph = load_onnx(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0]
    x = np.random.default_rng(3).standard_normal((2, *source.shape[1:])).astype(np.float32)
    fixed = source.shape[0] == 1
    runs = [session.run(None, {source.name: part})[0] for part in (np.split(x, 2) if fixed else [x])]
    expected = np.concatenate(runs)

    actual = evaluate(graph, x.reshape(2, *graph.shapes[graph.input]))[graph.output]

    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)
    return graph


CONVOLUTIONS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "plain": ({}, (4, 3, 3, 3)),
    "kernel 1": ({}, (4, 3, 1, 1)),
    "kernel is no square": ({"pads": [0, 1, 0, 1]}, (4, 3, 1, 3)),
    "stride 2": ({"strides": [2, 2]}, (4, 3, 3, 3)),
    "strides differ": ({"strides": [3, 1], "pads": [1, 1, 1, 1]}, (4, 3, 3, 3)),
    "pads are odd": ({"pads": [2, 0, 1, 3], "strides": [2, 1]}, (4, 3, 4, 2)),
    "pads hold a kernel": ({"pads": [1, 1, 1, 1]}, (4, 3, 1, 1)),
    "same upper": ({"auto_pad": "SAME_UPPER", "strides": [2, 3]}, (4, 3, 4, 3)),
    "same lower": ({"auto_pad": "SAME_LOWER", "strides": [2, 3]}, (4, 3, 4, 2)),
    "valid": ({"auto_pad": "VALID"}, (4, 3, 3, 3)),
    "depthwise": ({"group": 3, "pads": [1, 1, 1, 1]}, (3, 1, 3, 3)),
    "depthwise with multiplier": ({"group": 3}, (6, 1, 3, 3)),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution_is_onnx_convolution(case: str, tmp_path: Path) -> None:
    """Stride, pads and groups mean what ONNX means by them."""
    attributes, shape = CONVOLUTIONS[case]
    nodes = [node("Conv", "x w b", "map", **attributes), FLATTEN]

    graph = check(save(tmp_path / "model.onnx", nodes, conv_weights(*shape)))

    assert [made.op for made in graph.nodes] == ["conv2d", "flatten"]


def test_convolution_with_groups_of_channels(tmp_path: Path) -> None:
    """Groups with several channels on both sides keep their channels apart."""
    nodes = [node("Conv", "x w b", "map", group=2), FLATTEN]

    check(save(tmp_path / "model.onnx", nodes, conv_weights(6, 2, 3, 3), shape=("n", 4, 7, 7)))


POOLS: dict[str, tuple[str, dict[str, Any]]] = {
    "max": ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "max stride 1 by default": ("MaxPool", {"kernel_shape": [3, 2]}),
    "max pads are odd": ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 2, 1]}),
    "max same": ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "max ceil without effect": ("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1}),
    "average": ("AveragePool", {"kernel_shape": [3, 2], "strides": [2, 1]}),
    "average pads count": (
        "AveragePool",
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 0, 1], "count_include_pad": 1},
    ),
    "global average": ("GlobalAveragePool", {}),
}


@pytest.mark.parametrize("case", POOLS)
def test_pooling_is_onnx_pooling(case: str, tmp_path: Path) -> None:
    """Windows, their padding and the global form mean what ONNX means by them."""
    op, attributes = POOLS[case]

    check(save(tmp_path / "model.onnx", [node(op, "x", "map", **attributes), FLATTEN], {}))


GEMMS: dict[str, tuple[dict[str, Any], tuple[int, int], tuple[int, ...] | None]] = {
    "plain": ({}, (12, 5), (5,)),
    "transB": ({"transB": 1}, (5, 12), (5,)),
    "alpha and beta": ({"alpha": 0.5, "beta": 2.0}, (12, 5), (1, 5)),
    "scalar bias": ({}, (12, 5), ()),
    "no bias": ({}, (12, 5), None),
}


@pytest.mark.parametrize("case", GEMMS)
def test_gemm_is_a_linear_layer(case: str, tmp_path: Path) -> None:
    """All forms of Gemm with constant weights become one linear layer."""
    attributes, weight_shape, bias_shape = GEMMS[case]
    rng = np.random.default_rng(4)
    weights = {"w": rng.standard_normal(weight_shape).astype(np.float32)}
    if bias_shape is not None:
        weights["b"] = np.asarray(rng.standard_normal(bias_shape), np.float32)
    nodes = [node("Gemm", "x w b" if bias_shape is not None else "x w", "y", **attributes)]

    graph = check(save(tmp_path / "model.onnx", nodes, weights, shape=("n", 12)))

    assert [made.op for made in graph.nodes] == ["linear"]


@pytest.mark.parametrize("order", ["product b", "b product"])
def test_matmul_and_add_are_a_linear_layer_with_bias(order: str, tmp_path: Path) -> None:
    """A constant that is added on either side is the bias."""
    weights = {"w": conv_weights(12, 5)["w"], "b": conv_weights(5, 1)["b"]}
    nodes = [node("MatMul", "x w", "product"), node("Add", order, "sum"), node("Relu", "sum", "y")]

    graph = check(save(tmp_path / "model.onnx", nodes, weights, shape=("n", 12)))

    assert [(made.op, made.attributes) for made in graph.nodes] == [("linear", {"relu": True})]


@pytest.mark.parametrize("bias_shape", [(1, 4, 1, 1), (4, 1, 1)])
def test_bias_added_behind_a_convolution(bias_shape: tuple[int, ...], tmp_path: Path) -> None:
    """One constant for each channel becomes the bias of the convolution."""
    weights = conv_weights(4, 3, 3, 3)
    weights["b"] = weights["b"].reshape(bias_shape)
    nodes = [node("Conv", "x w", "sums"), node("Add", "sums b", "map"), FLATTEN]

    graph = check(save(tmp_path / "model.onnx", nodes, weights))

    assert [made.op for made in graph.nodes] == ["conv2d", "flatten"]


def test_batch_norm_and_relu_vanish_into_the_convolution(tmp_path: Path) -> None:
    """Conv, BatchNormalization, Relu are one step on the chip."""
    nodes = [
        node("Conv", "x w", "sums", pads=[1, 1, 1, 1]),
        node("BatchNormalization", f"sums {NORM}", "normed", epsilon=1e-3),
        node("Relu", "normed", "map"),
        FLATTEN,
    ]
    weights = {"w": conv_weights(4, 3, 3, 3)["w"], **norm_weights(4)}

    graph = check(save(tmp_path / "model.onnx", nodes, weights))

    assert [(made.name, made.op) for made in graph.nodes] == [("Conv_sums", "conv2d"), ("Flatten_y", "flatten")]
    assert graph.nodes[0].attributes["relu"] is True


def test_batch_norm_vanishes_into_a_linear_layer(tmp_path: Path) -> None:
    """The same holds behind a Gemm."""
    nodes = [node("Gemm", "x w b", "sums", transB=1), node("BatchNormalization", f"sums {NORM}", "y")]

    graph = check(save(tmp_path / "model.onnx", nodes, {**conv_weights(5, 12), **norm_weights(5)}, shape=(1, 12)))

    assert [made.op for made in graph.nodes] == ["linear"]


def test_residual_block_keeps_the_relu_that_two_nodes_see(tmp_path: Path) -> None:
    """A Relu is fused only where nothing else reads the tensor before it."""
    nodes = [
        node("Conv", "x w b", "stem", pads=[1, 1, 1, 1]),
        node("Relu", "stem", "active"),
        node("Conv", "active w b", "branch", pads=[1, 1, 1, 1]),
        node("Add", "branch stem", "sum"),
        node("Relu", "sum", "map"),
        FLATTEN,
    ]

    graph = check(save(tmp_path / "model.onnx", nodes, conv_weights(3, 3, 3, 3)))

    assert [made.op for made in graph.nodes] == ["conv2d", "relu", "conv2d", "add", "flatten"]
    assert [made.attributes.get("relu") for made in graph.nodes] == [False, None, False, True, None]


def test_identity_does_not_hide_a_second_reader(tmp_path: Path) -> None:
    """Fusing the Relu into the convolution would change what the sum reads through the Identity."""
    nodes = [
        node("Conv", "x w b", "stem"),
        node("Identity", "stem", "same"),
        node("Relu", "same", "active"),
        node("Add", "active same", "map"),
        FLATTEN,
    ]

    graph = check(save(tmp_path / "model.onnx", nodes, conv_weights(4, 3, 3, 3)))

    assert [made.op for made in graph.nodes] == ["conv2d", "relu", "add", "flatten"]


def test_nodes_that_do_nothing_vanish(tmp_path: Path) -> None:
    """Identity, Dropout, a second Flatten and the final Softmax cost nothing."""
    nodes = [
        node("Identity", "x", "a"),
        node("Conv", "a w b", "c"),
        node("Dropout", "c", "d"),
        node("Relu", "d", "e"),
        node("Flatten", "e", "f"),
        node("Flatten", "f", "g"),
        node("Gemm", "g fc_w fc_b", "h"),
        node("Softmax", "h", "y"),
    ]
    weights = {**conv_weights(4, 3, 3, 3), "fc_w": conv_weights(168, 5)["w"], "fc_b": conv_weights(5, 1)["b"]}
    path = save(tmp_path / "model.onnx", nodes, weights)

    graph = load_onnx(path)

    assert [made.op for made in graph.nodes] == ["conv2d", "flatten", "linear"]
    assert graph.nodes[0].attributes["relu"] is True
    nodes[-1] = node("Identity", "h", "y")
    check(save(tmp_path / "logits.onnx", nodes, weights))


@pytest.mark.parametrize("target", [[-1, 216], [1, -1], [0, -1], [0, 216]])
def test_reshape_to_features_is_flatten(target: list[int], tmp_path: Path) -> None:
    """Every way to write (n, features) is understood."""
    weights = {"target": np.array(target, np.int64)}
    shape = (1, *IMAGE) if target[0] == 1 else ("n", *IMAGE)

    graph = check(save(tmp_path / "model.onnx", [node("Reshape", "x target", "y")], weights, shape=shape))

    assert [made.op for made in graph.nodes] == ["flatten"]


def test_reshape_to_a_computed_shape_is_flatten(tmp_path: Path) -> None:
    """The chain Shape, Gather, Unsqueeze, Concat is how torch exports x.view(x.size(0), -1)."""
    nodes = [
        node("Shape", "x", "sizes"),
        node("Gather", "sizes zero", "count"),
        node("Unsqueeze", "count axis", "batch"),
        node("Concat", "batch rest", "target", axis=0),
        node("Reshape", "x target", "y"),
    ]
    weights = {"zero": np.array(0, np.int64), "axis": np.array([0], np.int64), "rest": np.array([-1], np.int64)}

    graph = check(save(tmp_path / "model.onnx", nodes, weights))

    assert [made.op for made in graph.nodes] == ["flatten"]


def test_squeeze_behind_global_pooling_is_flatten(tmp_path: Path) -> None:
    """(n, channels, 1, 1) without its ones is (n, channels)."""
    nodes = [node("GlobalAveragePool", "x", "map"), node("Squeeze", "map axes", "y")]

    graph = check(save(tmp_path / "model.onnx", nodes, {"axes": np.array([2, 3], np.int64)}))

    assert [made.op for made in graph.nodes] == ["average_pool", "flatten"]


def test_one_dimensional_model_gets_height_one(tmp_path: Path) -> None:
    """1-D convolution, normalisation, pooling and bias work as a map of height 1."""
    nodes = [
        node("Conv", "x w", "sums", pads=[2, 1], strides=[2]),
        node("Add", "sums b", "biased"),
        node("BatchNormalization", f"biased {NORM}", "normed"),
        node("Relu", "normed", "active"),
        node("MaxPool", "active", "small", kernel_shape=[3], strides=[2], pads=[1, 0]),
        node("AveragePool", "small", "smaller", kernel_shape=[2]),
        node("GlobalAveragePool", "smaller", "map"),
        FLATTEN,
    ]
    weights = conv_weights(4, 3, 5) | norm_weights(4)
    weights["b"] = weights["b"].reshape(4, 1)

    graph = check(save(tmp_path / "model.onnx", nodes, weights, shape=("n", 3, 40)))

    assert graph.shapes["Conv_sums"] == (4, 1, 20)
    assert graph.nodes[0].attributes["pads"] == (0, 2, 0, 1)


def test_constant_nodes_and_renamed_weights_are_weights(tmp_path: Path) -> None:
    """Exporters also write weights as Constant nodes, and share them through Identity."""
    value = numpy_helper.from_array(conv_weights(12, 5)["w"])
    nodes = [
        helper.make_node("Constant", [], ["raw"], value=value),
        node("Identity", "raw", "w"),
        helper.make_node("Constant", [], ["b"], value_floats=[1.0, 2.0, 3.0, 4.0, 5.0]),
        node("Gemm", "x w b", "y"),
    ]

    graph = check(save(tmp_path / "model.onnx", nodes, {}, shape=("n", 12)))

    assert [made.op for made in graph.nodes] == ["linear"]


def test_rearranged_weights_are_weights(tmp_path: Path) -> None:
    """CNTK reshapes weights inside the graph, Keras transposes them."""
    weights = {"raw": conv_weights(3, 2, 2, 5)["w"], "target": np.array([0, 20], np.int64)}
    nodes = [node("Reshape", "raw target", "rows"), node("Transpose", "rows", "w", perm=[1, 0])]

    graph = check(save(tmp_path / "model.onnx", [*nodes, node("MatMul", "x w", "y")], weights, shape=("n", 20)))

    assert [made.op for made in graph.nodes] == ["linear"]


def test_weights_of_old_files_are_also_listed_as_inputs(tmp_path: Path) -> None:
    """Files before IR version 4 list every initializer among the inputs."""
    path = save(tmp_path / "model.onnx", [node("Gemm", "x w", "y")], {"w": conv_weights(12, 5)["w"]}, shape=("n", 12))
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, (12, 5)))
    onnx.save(model, path)

    check(path)


def test_node_names_become_unique_identifiers(tmp_path: Path) -> None:
    """Names go into C and TOML; those of exporters hold slashes, may be missing or collide."""
    names = ("/block.1/conv", "block_1 conv", "", "1x1")
    tensors = ("x", "a", "b", "c", "map")
    nodes = [
        helper.make_node("Conv", [source, "w", "b_"], [result], name=name)
        for name, source, result in zip(names, tensors[:-1], tensors[1:], strict=True)
    ]
    weights = conv_weights(3, 3, 1, 1)

    graph = check(save(tmp_path / "model.onnx", [*nodes, FLATTEN], {"w": weights["w"], "b_": weights["b"]}))

    assert [made.name for made in graph.nodes] == ["block_1_conv", "block_1_conv_2", "conv", "conv_1x1", "Flatten_y"]


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[onnx.NodeProto], Weights]:
    """Draw a chain of layers for IMAGE, whose weights are drawn from one seed."""
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    nodes: list[onnx.NodeProto] = []
    weights: Weights = {}
    channels, tensor = IMAGE[0], "x"
    for number in range(draw(st.integers(1, 4))):
        result, kind = f"t{number}", draw(st.sampled_from(["conv", "depthwise", "norm", "relu", "add", "pool"]))
        if kind in ("conv", "depthwise", "norm"):
            group = channels if kind == "depthwise" else 1
            outputs = channels if kind == "depthwise" else draw(st.integers(1, 5))
            kernel = [draw(st.integers(1, 3)), draw(st.integers(1, 3))]
            weights[f"w{number}"] = rng.standard_normal((outputs, channels // group, *kernel)).astype(np.float32) / 3
            sums = f"s{number}" if kind == "norm" else result
            pads = [draw(st.integers(1, 2)) for _ in range(4)]
            strides = draw(st.sampled_from([[1, 1], [2, 1], [1, 2]]))
            nodes.append(node("Conv", f"{tensor} w{number}", sums, group=group, pads=pads, strides=strides))
            channels = outputs
            if kind == "norm":
                norm = {f"{name}{number}": array for name, array in norm_weights(channels, number).items()}
                weights |= norm
                nodes.append(node("BatchNormalization", f"{sums} {' '.join(norm)}", result))
        elif kind == "relu":
            nodes.append(node("Relu", tensor, result))
        elif kind == "add":
            weights[f"w{number}"] = rng.standard_normal((channels, channels, 1, 1)).astype(np.float32) / 3
            nodes += [node("Conv", f"{tensor} w{number}", f"s{number}"), node("Add", f"s{number} {tensor}", result)]
        else:
            op = draw(st.sampled_from(["MaxPool", "AveragePool"]))
            nodes.append(node(op, tensor, result, kernel_shape=[2, 2], strides=[1, draw(st.integers(1, 2))]))
        tensor = result
    return [*nodes, node("Flatten", tensor, "y")], weights


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(network=networks())
def test_random_networks_give_the_outputs_of_onnxruntime(
    network: tuple[list[onnx.NodeProto], Weights], tmp_path: Path
) -> None:
    """Folding and fusing never change what a network computes."""
    nodes, weights = network

    check(save(tmp_path / "model.onnx", nodes, weights))
