# SPDX-License-Identifier: Apache-2.0
"""The operators that see no windows, and how operators are found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilograd import ops
from kilograd.errors import KilogradError
from kilograd.ops import operator, operators
from kilograd.types import Node

if TYPE_CHECKING:
    from kilograd.types import Shape

WEIGHT = np.array([[1, 2, 3], [-4, 5, -6]], np.float32)
BIAS = np.array([0.5, -0.5], np.float32)


@pytest.mark.parametrize(("relu", "expected"), [(False, [[6.5, -5.5]]), (True, [[6.5, 0.0]])])
def test_linear_is_a_matrix_product(relu: bool, expected: list[list[float]]) -> None:
    """1 + 2 + 3 + 0.5 and -4 + 5 - 6 - 0.5."""
    node = Node("fc", "linear", ("x",), "y", {"relu": relu}, WEIGHT, BIAS)

    actual = operator("linear").evaluate(node, [np.ones((1, 3), np.float32)])

    assert actual.tolist() == expected
    assert actual.dtype == np.float32
    assert operator("linear").shape(node, [(3,)]) == (2,)


@pytest.mark.parametrize(("relu", "expected"), [(False, [[-2.0, 2.0]]), (True, [[0.0, 2.0]])])
def test_add_sums_elements(relu: bool, expected: list[list[float]]) -> None:
    """The join of a residual block, with its ReLU."""
    node = Node("sum", "add", ("a", "b"), "y", {"relu": relu})
    a, b = np.array([[1, 1]], np.float32), np.array([[-3, 1]], np.float32)

    assert operator("add").evaluate(node, [a, b]).tolist() == expected
    assert a.tolist() == [[1.0, 1.0]]


def test_relu_cuts_below_zero() -> None:
    """And leaves its input as it was."""
    x = np.array([[-1, 0, 2]], np.float32)

    assert operator("relu").evaluate(Node("r", "relu", ("x",), "y"), [x]).tolist() == [[0.0, 0.0, 2.0]]
    assert x[0, 0] == -1


def test_flatten_keeps_the_order_of_elements() -> None:
    """Channel by channel, row by row."""
    node = Node("f", "flatten", ("x",), "y")
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)

    assert operator("flatten").evaluate(node, [x]).tolist() == [list(range(12)), list(range(12, 24))]
    assert operator("flatten").shape(node, [(3, 2, 2)]) == (12,)


NO_WEIGHT = Node("fc", "linear", ("x",), "y", {"relu": False})
MISFITS: dict[str, tuple[Node, list[Shape], str]] = {
    "linear on a map": (Node("fc", "linear", ("x",), "y", {}, WEIGHT, BIAS), [(3, 1, 1)], "does not fit an input"),
    "linear with other features": (Node("fc", "linear", ("x",), "y", {}, WEIGHT, BIAS), [(4,)], "does not fit"),
    "linear without weight": (NO_WEIGHT, [(3,)], "has no weight"),
    "linear with a map's weight": (
        Node("fc", "linear", ("x",), "y", {}, WEIGHT.reshape(2, 3, 1, 1), BIAS),
        [(3,)],
        "rank 2",
    ),
    "bias of other size": (Node("fc", "linear", ("x",), "y", {}, WEIGHT, BIAS[:1]), [(3,)], "bias (1,) does not fit"),
    "add of two shapes": (Node("s", "add", ("a", "b"), "y"), [(3, 4, 4), (3, 1, 1)], "(3, 4, 4) and (3, 1, 1)"),
    "add of one": (Node("s", "add", ("a",), "y"), [(3,)], "adds two tensors"),
    "relu of two": (Node("r", "relu", ("a", "b"), "y"), [(3,), (3,)], "takes one input, got 2"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_shapes_that_do_not_fit_are_named(case: str) -> None:
    """The error names node, operator and reason."""
    node, shapes, reason = MISFITS[case]

    with pytest.raises(KilogradError) as caught:
        operator(node.op).shape(node, shapes)

    assert caught.value.message.startswith(f"{node.name} ({node.op}): ")
    assert reason in caught.value.message


def test_operators_are_the_files_of_the_folder() -> None:
    """A new operator is one new file; helpers with an underscore are none."""
    files = Path(ops.__file__).parent.glob("[!_]*.py")

    assert operators() == tuple(sorted(file.stem for file in files))
    assert {"conv2d", "linear", "max_pool"} < set(operators())


def test_unknown_operator_lists_the_known_ones() -> None:
    """A wrong name shows the right ones."""
    with pytest.raises(KilogradError) as caught:
        operator("conv3d")

    assert caught.value.message == "unknown operator: conv3d"
    assert caught.value.hint == f"known: {', '.join(operators())}"
