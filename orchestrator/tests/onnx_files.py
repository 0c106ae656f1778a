# SPDX-License-Identifier: Apache-2.0
"""ONNX files for tests: built node by node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

OPSET = 17
IMAGE = (3, 9, 8)

Weights = dict[str, "NDArray[Any]"]


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, NDArray[Any]],
    *,
    shape: tuple[int | str, ...] = ("n", *IMAGE),
    opset: int = OPSET,
    kind: int = TensorProto.FLOAT,
) -> Path:
    """Write a model from the tensor x to the tensor y."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", "k"))],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)
    return path


def conv_weights(*shape: int, seed: int = 1) -> Weights:
    """Return w and b of a convolution or linear layer, of shape (outputs, ...)."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    return {"w": weight.astype(np.float32), "b": rng.standard_normal(shape[0]).astype(np.float32)}


def norm_weights(channels: int, seed: int = 2) -> Weights:
    """Return scale, shift, mean and variance of a BatchNormalization."""
    rng = np.random.default_rng(seed)
    return {
        "scale": rng.uniform(0.5, 2, channels).astype(np.float32),
        "shift": rng.standard_normal(channels).astype(np.float32),
        "mean": rng.standard_normal(channels).astype(np.float32),
        "variance": rng.uniform(0.1, 3, channels).astype(np.float32),
    }


def node(op: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:  # noqa: ANN401 - as ONNX has it
    """Return an ONNX node; inputs are separated by spaces."""
    return helper.make_node(op, inputs.split(), [output], name=f"{op}_{output}", **attributes)


FLATTEN = node("Flatten", "map", "y")
NORM = "scale shift mean variance"
