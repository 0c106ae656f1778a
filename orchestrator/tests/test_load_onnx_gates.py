# SPDX-License-Identifier: Apache-2.0
"""What mobile networks are made of means to kilograd what it means to onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from onnx_files import FLATTEN, conv_weights, node, save
from test_load_onnx import check

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

CONV = node("Conv", "x w b", "sums")
WEIGHTS = conv_weights(4, 3, 3, 3) | {
    name: np.array(value, np.float32)
    for name, value in {"zero": 0, "six": 6, "half": 0.5, "low": -3e38, "high": 3.4e38}.items()
}

CLIPS: dict[str, tuple[onnx.NodeProto, dict[str, Any], int]] = {
    "ReLU6": (node("Clip", "sums zero six", "map"), {"relu": True, "clamp": 6.0}, 17),
    "another limit": (node("Clip", "sums zero half", "map"), {"relu": True, "clamp": 0.5}, 17),
    "no upper limit": (node("Clip", "sums zero", "map"), {"relu": True}, 17),
    "largest float": (node("Clip", "sums zero high", "map"), {"relu": True}, 17),
    "no limits": (node("Clip", "sums low", "map"), {"relu": False}, 17),
    "attributes of an old opset": (node("Clip", "sums", "map", min=0.0, max=0.25), {"relu": True, "clamp": 0.25}, 10),
}


@pytest.mark.parametrize("case", CLIPS)
def test_clip_from_zero_is_a_rectifier(case: str, tmp_path: Path) -> None:
    """It vanishes into the convolution before it."""
    clip, expected, opset = CLIPS[case]

    graph = check(save(tmp_path / "model.onnx", [CONV, clip, FLATTEN], WEIGHTS, opset=opset))

    assert [made.op for made in graph.nodes] == ["conv2d", "flatten"]
    fused = {name: value for name, value in graph.nodes[0].attributes.items() if name in {"relu", "clamp"}}
    assert fused == expected


def test_a_missing_lower_limit_is_not_the_upper_one(tmp_path: Path) -> None:
    """ONNX leaves an input out by an empty name; what follows keeps its place."""
    clip = node("Clip", "sums", "map")
    clip.input.extend(["", "high"])

    graph = check(save(tmp_path / "model.onnx", [CONV, clip, FLATTEN], WEIGHTS))

    assert graph.nodes[0].attributes["relu"] is False


def test_the_lowest_of_two_limits_holds(tmp_path: Path) -> None:
    """A rectifier on a rectifier is one, wherever it stands."""
    nodes = [
        node("Clip", "x zero six", "one"),
        node("Relu", "one", "two"),
        node("Clip", "two zero half", "map"),
        FLATTEN,
    ]

    graph = check(save(tmp_path / "model.onnx", nodes, WEIGHTS))

    assert [(made.op, dict(made.attributes)) for made in graph.nodes] == [("relu", {"clamp": 0.5}), ("flatten", {})]


@pytest.mark.parametrize(
    ("op", "attributes", "expected"),
    [
        ("HardSwish", {}, "hard_swish"),
        ("HardSigmoid", {}, "hard_sigmoid"),
        ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}, "hard_sigmoid"),
        ("Sigmoid", {}, "sigmoid"),
        ("Exp", {}, "exp"),
    ],
)
def test_functions_of_one_number(op: str, attributes: dict[str, float], expected: str, tmp_path: Path) -> None:
    """With the slopes that ONNX takes where a node names none."""
    graph = check(save(tmp_path / "model.onnx", [CONV, node(op, "sums", "map", **attributes), FLATTEN], WEIGHTS))

    assert [made.op for made in graph.nodes] == ["conv2d", expected, "flatten"]


@pytest.mark.parametrize("order", ["sums gate", "gate sums"])
def test_squeeze_and_excite_is_a_channel_wise_product(order: str, tmp_path: Path) -> None:
    """The mean of each channel decides how much of the channel passes, whichever comes first."""
    excite = conv_weights(4, 4, 1, 1, seed=5)
    nodes = [
        CONV,
        node("ReduceMean", "sums", "squeezed", axes=[2, 3]),
        node("Conv", "squeezed w2 b2", "excited"),
        node("HardSigmoid", "excited", "gate", alpha=1 / 6),
        node("Mul", order, "map"),
        FLATTEN,
    ]

    graph = check(save(tmp_path / "model.onnx", nodes, WEIGHTS | {"w2": excite["w"], "b2": excite["b"]}))

    expected = ["conv2d", "average_pool", "conv2d", "hard_sigmoid", "mul", "flatten"]
    assert [made.op for made in graph.nodes] == expected
    assert graph.nodes[4].inputs == (graph.nodes[0].output, graph.nodes[3].output)


def test_product_with_its_own_sigmoid(tmp_path: Path) -> None:
    """The SiLU of EfficientNet, as exporters write it."""
    nodes = [CONV, node("Sigmoid", "sums", "gate"), node("Mul", "sums gate", "map"), FLATTEN]

    assert [made.op for made in check(save(tmp_path / "model.onnx", nodes, WEIGHTS)).nodes][1:3] == ["sigmoid", "mul"]


@pytest.mark.parametrize(
    ("mean", "opset", "flattens"),
    [
        (node("ReduceMean", "sums", "map", axes=[2, 3]), 17, True),
        (node("ReduceMean", "sums", "y", axes=[-1, -2], keepdims=0), 17, False),
        (node("ReduceMean", "sums axes", "y", keepdims=0), 18, False),
    ],
    ids=["keeps", "negative axes", "axes as an input"],
)
def test_mean_over_the_map_is_global_pooling(mean: onnx.NodeProto, opset: int, flattens: bool, tmp_path: Path) -> None:
    """Exporters write it for GlobalAveragePool, with or without the flatten behind it."""
    nodes = [CONV, mean, *([FLATTEN] if flattens else [])]
    weights = WEIGHTS | {"axes": np.array([2, 3], np.int64)}

    graph = check(save(tmp_path / "model.onnx", nodes, weights, opset=opset))

    assert [made.op for made in graph.nodes] == ["conv2d", "average_pool", "flatten"]
