# SPDX-License-Identifier: Apache-2.0
"""Convolution and pooling in float32 against loops over every window."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import KilogradError
from kilograd.ops import conv2d, operator
from kilograd.types import Attribute, Node

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from kilograd.types import Shape

Window = dict[str, Attribute]


def conv_node(window: Window, weight: NDArray[np.float32], *, groups: int = 1, relu: bool = False) -> Node:
    """Return a convolution with bias 0, 1, 2..."""
    bias = np.arange(len(weight), dtype=np.float32)
    attributes = {"stride": window["stride"], "pads": window["pads"], "groups": groups, "relu": relu}
    return Node("conv", "conv2d", ("x",), "y", attributes, weight, bias)


def over_windows(
    x: NDArray[np.float32], window: Window, fill: float, value: Callable[[NDArray[np.float32]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return value(window (n, channels, kernel)) at every position: the definition, one window at a time."""
    (height, width), (down, right) = window["kernel"], window["stride"]  # type: ignore[misc]
    top, left, bottom, far = window["pads"]  # type: ignore[misc]
    full = np.full((*x.shape[:2], x.shape[2] + top + bottom, x.shape[3] + left + far), fill, np.float32)
    full[:, :, top : top + x.shape[2], left : left + x.shape[3]] = x
    rows = [
        [value(full[:, :, r : r + height, c : c + width]) for c in range(0, full.shape[3] - width + 1, right)]
        for r in range(0, full.shape[2] - height + 1, down)
    ]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


@st.composite
def windows(draw: st.DrawFn, *, padding_may_win: bool = True) -> Window:
    """Draw kernel, stride and pads."""
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    most = [2 if padding_may_win else min(2, size - 1) for size in kernel * 2]
    pads = tuple(draw(st.integers(0, pad)) for pad in most)
    return {"kernel": kernel, "stride": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))), "pads": pads}


@settings(deadline=None)
@given(
    window=windows(), groups=st.integers(1, 3), outputs=st.integers(1, 3), relu=st.booleans(), seed=st.integers(0, 9)
)
def test_convolution_is_a_sum_over_each_window(
    window: Window, groups: int, outputs: int, *, relu: bool, seed: int
) -> None:
    """Each output channel sees the channels of its group, padding is zero, a fused ReLU cuts below zero."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, 2 * groups, 6, 5)).astype(np.float32)
    weight = rng.standard_normal((outputs * groups, 2, *window["kernel"])).astype(np.float32)  # type: ignore[misc]
    node = conv_node(window, weight, groups=groups, relu=relu)

    weights = weight.reshape(groups, outputs, *weight.shape[1:])

    def products(part: NDArray[np.float32]) -> NDArray[np.float64]:
        grouped = part.astype(np.float64).reshape(2, groups, 2, *part.shape[2:])
        sums: NDArray[np.float64] = np.einsum("ngiuv,goiuv->ngo", grouped, weights)
        return sums.reshape(2, -1)

    expected = over_windows(x, window, 0, products) + np.arange(len(weight)).reshape(-1, 1, 1)
    expected = np.maximum(expected, 0) if relu else expected
    actual = conv2d.evaluate(node, [x])

    assert actual.dtype == np.float32
    assert (2, *conv2d.shape(node, [x.shape[1:]])) == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@settings(deadline=None)
@given(window=windows(padding_may_win=False), op=st.sampled_from(["max_pool", "average_pool"]), seed=st.integers(0, 9))
def test_pooling_takes_the_maximum_or_the_mean_of_each_window(window: Window, op: str, seed: int) -> None:
    """Padding never wins a maximum, and counts as zeros in a mean."""
    x = np.random.default_rng(seed).standard_normal((2, 3, 6, 5)).astype(np.float32)
    node = Node("pool", op, ("x",), "y", window)

    if op == "max_pool":
        expected = over_windows(x, window, -np.inf, lambda part: part.max(axis=(2, 3)).astype(np.float64))
    else:
        expected = over_windows(x, window, 0, lambda part: part.mean(axis=(2, 3), dtype=np.float64))
    actual = operator(op).evaluate(node, [x])

    assert actual.dtype == np.float32
    assert (2, *operator(op).shape(node, [(3, 6, 5)])) == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_large_batches_give_the_same_as_single_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Working in parts keeps the memory small, and must not show in the result."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((7, 2, 5, 5)).astype(np.float32)
    node = conv_node({"stride": (1, 1), "pads": (1, 1, 1, 1)}, rng.standard_normal((3, 2, 3, 3)).astype(np.float32))
    singles = np.concatenate([conv2d.evaluate(node, [sample[None]]) for sample in x])

    for size in (1, 4000, 1 << 20):
        monkeypatch.setattr(conv2d, "COLUMN_BYTES", size)

        np.testing.assert_allclose(conv2d.evaluate(node, [x]), singles, rtol=1e-5, atol=1e-6)


def test_an_empty_batch_gives_an_empty_result() -> None:
    """Nothing in, nothing out."""
    node = conv_node({"stride": (1, 1), "pads": (0, 0, 0, 0)}, np.ones((3, 2, 3, 3), np.float32))

    assert conv2d.evaluate(node, [np.empty((0, 2, 5, 5), np.float32)]).shape == (0, 3, 3, 3)


ONE: Window = {"kernel": (1, 1), "stride": (1, 1), "pads": (0, 0, 0, 0)}
MISFITS: dict[str, tuple[str, Window, Shape, str]] = {
    "flat input": ("max_pool", {}, (12,), "needs an input of (channels, height, width), got (12,)"),
    "kernel too large": ("max_pool", {"kernel": (7, 1)}, (1, 6, 6), "larger than the map (6, 6)"),
    "window of padding": ("average_pool", {"pads": (0, 1, 0, 0)}, (1, 6, 6), "must be smaller than the kernel"),
    "stride 0": ("max_pool", {"stride": (0, 1)}, (1, 6, 6), "stride must be 2 integers of at least 1, got (0, 1)"),
    "negative pad": ("max_pool", {"pads": (0, -1, 0, 0)}, (1, 6, 6), "pads must be 4 integers of at least 0"),
    "no kernel": ("max_pool", {"kernel": 3}, (1, 6, 6), "kernel must be 2 integers"),
    "winner does not fit a byte": ("max_pool", {"kernel": (17, 16)}, (1, 20, 20), "more than 256 elements"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_pooling_that_does_not_fit_is_named(case: str) -> None:
    """The error names node, operator and reason."""
    op, window, shape, reason = MISFITS[case]
    node = Node("small", op, ("x",), "y", ONE | window)

    with pytest.raises(KilogradError) as caught:
        operator(op).shape(node, [shape])

    assert caught.value.message.startswith(f"small ({op}): ")
    assert reason in caught.value.message


@pytest.mark.parametrize(("channels", "groups"), list(itertools.product([3, 4, 6], [1, 2, 3, 0])))
def test_convolution_checks_channels_and_groups(channels: int, groups: int) -> None:
    """A weight (6, 2, 1, 1) with g groups needs 2 g input channels, and g must divide 6."""
    node = conv_node(ONE, np.ones((6, 2, 1, 1), np.float32), groups=groups)

    if groups and channels == 2 * groups:
        assert conv2d.shape(node, [(channels, 5, 5)]) == (6, 5, 5)
    else:
        with pytest.raises(KilogradError, match=r"^conv \(conv2d\): "):
            conv2d.shape(node, [(channels, 5, 5)])
