# SPDX-License-Identifier: Apache-2.0
"""ONNX operators of decoders against onnxruntime: transposed convolution, nearest resizing, features as a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kilograd.errors import KilogradError
from kilograd.graph import macs
from kilograd.load.onnx_file import load_onnx
from onnx_files import FLATTEN, IMAGE, conv_weights, node, save
from test_load_onnx import check

if TYPE_CHECKING:
    from pathlib import Path

Settings = dict[str, Any]


def transposed_weights(kernel: tuple[int, ...], outputs: int = 4) -> dict[str, np.ndarray]:
    """Return w (inputs, outputs, *kernel) and b (outputs)."""
    weights = conv_weights(IMAGE[0], outputs, *kernel)
    return {"w": weights["w"], "b": np.linspace(-1, 1, outputs, dtype=np.float32)}


@pytest.mark.parametrize(
    ("kernel", "attributes"),
    [
        ((4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ((3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
        ((3, 2), {"strides": [1, 3], "pads": [0, 1, 2, 0]}),
        ((2, 2), {"strides": [3, 2], "output_padding": [2, 0]}),
        ((3, 3), {"auto_pad": "VALID"}),
    ],
    ids=str,
)
def test_transposed_convolution(tmp_path: Path, kernel: tuple[int, int], attributes: Settings) -> None:
    """Strides, asymmetric pads and output padding; with a fused ReLU."""
    nodes = [node("ConvTranspose", "x w b", "raw", **attributes), node("Relu", "raw", "map"), FLATTEN]
    graph = check(save(tmp_path / "net.onnx", nodes, transposed_weights(kernel)))

    assert [made.op for made in graph.nodes] == ["conv_transpose2d", "flatten"]
    assert graph.nodes[0].attributes["relu"]
    assert macs(graph) == graph.nodes[0].weight.size * IMAGE[1] * IMAGE[2]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("coordinates", "rounding"),
    [("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"), ("half_pixel", "round_prefer_ceil")],
)
@pytest.mark.parametrize("scales", [(2, 2), (1, 3), (4, 1)], ids=str)
def test_nearest_resizing(tmp_path: Path, scales: tuple[int, int], coordinates: str, rounding: str) -> None:
    """Whole factors repeat rows and columns, however coordinates are counted."""
    how = {"mode": "nearest", "coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
    nodes = [node("Resize", "x roi scales", "map", **how), FLATTEN]
    weights = {"roi": np.zeros(0, np.float32), "scales": np.float32([1, 1, *scales])}
    graph = check(save(tmp_path / "net.onnx", nodes, weights))

    assert [made.op for made in graph.nodes] == ["upsample", "flatten"]
    assert graph.nodes[0].attributes["scale"] == scales


def test_features_become_a_map(tmp_path: Path) -> None:
    """A decoder begins with a linear layer whose outputs are reshaped."""
    features = int(np.prod(IMAGE))
    nodes = [
        node("Flatten", "x", "flat"),
        node("Gemm", "flat w b", "features", transB=1),
        node("Reshape", "features shape", "small"),
        node("ConvTranspose", "small k", "map", strides=[2, 2]),
        FLATTEN,
    ]
    weights = conv_weights(24, features) | {"shape": np.int64([-1, 6, 2, 2])}
    weights["k"] = conv_weights(6, 2, 2, 2)["w"]
    graph = check(save(tmp_path / "net.onnx", nodes, weights))

    assert [made.op for made in graph.nodes] == ["flatten", "linear", "reshape", "conv_transpose2d", "flatten"]


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (node("ConvTranspose", "x w b", "map", group=3), "it has 3 groups"),
        (node("ConvTranspose", "x w b", "map", dilations=[2, 2]), "it has dilations"),
        (node("ConvTranspose", "x w b", "map", auto_pad="SAME_UPPER"), "asks for an output shape"),
        (node("Resize", "x roi scales", "map", mode="linear"), "it interpolates"),
        (node("Resize", "x roi half", "map", mode="nearest", nearest_mode="floor"), "it rounds half_pixel coordinates"),
        (
            node("Resize", "x roi half", "map", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
            "whole numbers as scale work",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_done_is_said(tmp_path: Path, made: Any, problem: str) -> None:  # noqa: ANN401 - a protobuf
    """The node, the reason, and what would work."""
    weights = transposed_weights((2, 2)) | {"roi": np.zeros(0, np.float32)}
    weights |= {"scales": np.float32([1, 1, 2, 2]), "half": np.float32([1, 1, 1.5, 1.5])}
    with pytest.raises(KilogradError) as caught:
        load_onnx(save(tmp_path / "net.onnx", [made, FLATTEN], weights))

    assert problem in f"{caught.value.message} {caught.value.hint}"
