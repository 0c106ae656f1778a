# SPDX-License-Identifier: Apache-2.0
"""Gates as operators: what they mean, what they refuse, and the tables that they become in uint8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kilograd.errors import KilogradError
from kilograd.ops import operator
from kilograd.types import Node

if TYPE_CHECKING:
    from kilograd.types import Shape
    from twins import Twins

X = np.float32([[-4, -3, -1, 0, 1, 3, 4]])
MEANINGS: dict[str, list[float]] = {
    "hard_sigmoid": [0, 0, 1 / 3, 1 / 2, 2 / 3, 1, 1],
    "hard_swish": [0, 0, -1 / 3, 0, 2 / 3, 3, 4],
    "sigmoid": [1 / (1 + np.exp(-value)) for value in X[0].tolist()],
    "exp": [float(np.exp(value)) for value in X[0].tolist()],
}


@pytest.mark.parametrize("op", MEANINGS)
def test_function_of_one_number(op: str) -> None:
    """The hard functions have MobileNetV3's line, and every shape stays."""
    node = Node("f", op, ("x",), "y")

    np.testing.assert_allclose(operator(op).evaluate(node, [X])[0], MEANINGS[op], rtol=1e-6, atol=1e-7)
    assert operator(op).shape(node, [(2, 3, 4)]) == (2, 3, 4)


@pytest.mark.parametrize("line", [{"slope": 0.0}, {"slope": True, "offset": (1, 2)}, {"slope": -1.0}], ids=str)
def test_line_of_a_hard_function_must_rise(line: dict[str, Any]) -> None:
    """Anything else is no gate."""
    with pytest.raises(KilogradError, match=r"f \(hard_sigmoid\): slope and offset must be numbers"):
        operator("hard_sigmoid").evaluate(Node("f", "hard_sigmoid", ("x",), "y", line), [X])


@pytest.mark.parametrize(
    ("x", "gate", "fits"),
    [
        ((4, 3, 3), (4, 1, 1), True),
        ((4, 3, 3), (4, 3, 3), True),
        ((12,), (12,), True),
        ((12,), (1,), False),
        ((4, 3, 3), (1, 3, 3), False),
        ((4, 3, 3), (4,), False),
    ],
    ids=str,
)
def test_product_wants_a_number_for_each_channel(x: Shape, gate: Shape, fits: bool) -> None:
    """Or two tensors of one shape."""
    node = Node("m", "mul", ("a", "b"), "y")
    if fits:
        assert operator("mul").shape(node, [x, gate]) == x
        return
    with pytest.raises(KilogradError, match=r"m \(mul\): multiplies a map with a number for each channel"):
        operator("mul").shape(node, [x, gate])


def test_product_of_a_tensor_with_itself_is_refused() -> None:
    """Both sides would give the same tensor an error of the same name."""
    with pytest.raises(KilogradError, match="multiplies two different tensors"):
        operator("mul").shape(Node("m", "mul", ("a", "a"), "y"), [(4,), (4,)])


@pytest.mark.parametrize("clamp", [0.0, -6.0, float("inf"), (1, 2)], ids=str)
def test_clamp_must_be_a_positive_number(clamp: Any) -> None:  # noqa: ANN401 - wrong on purpose
    """A rectifier that lets nothing through is a mistake."""
    node = Node("r", "relu", ("x",), "y", {"clamp": clamp})

    with pytest.raises(KilogradError, match="clamp must be a positive number"):
        operator("relu").evaluate(node, [X])


def test_clamp_caps_what_a_rectifier_lets_through() -> None:
    """ReLU6 is the ReLU with clamp 6; without a ReLU there is no clamp."""
    relu6 = Node("r", "relu", ("x",), "y", {"clamp": 3.0})
    plain = Node("a", "add", ("x", "x"), "y", {"relu": False, "clamp": 3.0})

    assert operator("relu").evaluate(relu6, [X])[0].tolist() == [0, 0, 0, 0, 1, 3, 3]
    assert operator("add").evaluate(plain, [X, X])[0].tolist() == (2 * X[0]).tolist()


def test_tables_hold_the_nearest_stored_numbers(twins: Twins) -> None:
    """Values within half a step of the function, slopes within half a unit of its derivative in float64."""
    from test_training_step import model  # noqa: PLC0415 - it imports this folder's fixtures

    twin = twins.get(model("gated"), "uint8")
    x, y = (twin.quantised.formats[tensor] for tensor in ("wide", "swish"))
    real = x.scale * (np.arange(256) - x.zero)
    gate = np.clip(real / 6 + 0.5, 0, 1)
    backward = next(r for r in twin.program.records if r.name == "swish_backward").values

    values, slopes = (twin.program.buffers[f"swish_{name}"].data for name in ("values", "slopes"))
    assert values is not None
    assert slopes is not None
    stored = y.scale * (values.astype(float) - y.zero)
    inside = (values > 0) & (values < 255)
    assert np.abs(stored - real * gate)[inside].max() <= 0.5001 * y.scale
    exact = gate + real / 6 * ((gate > 0) & (gate < 1))
    unit = float(str(backward["unit"]))
    assert np.abs(slopes * unit - exact).max() <= 0.501 * unit
    assert np.abs(slopes).max() == 32767
