# SPDX-License-Identifier: Apache-2.0
"""The choice of rows for sparse updates: equation 9, no bias, no overflow; against the oracle's exact integers."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import Array, call, call_on_board, library, places
from kilograd.types import Sparsity
from oracle_numbers import F
from oracle_select import proportional, rows_to_keep, top_k

LIMIT = 2**30
NORMS = st.lists(st.integers(0, 40) | st.integers(0, 50_000), min_size=1, max_size=70)


def choose(name: str, norms: Array, keep: int, u: int = 0) -> tuple[Array, Array, int]:
    """Return (rows, factors, fraction) of a selection function."""
    kept = np.full(2 + len(norms), -1, np.int32)
    call(f"kg_select_{name}", norms.astype(np.int32), len(norms), keep, ctypes.c_uint32(u), kept)
    return unpack(kept)


def unpack(kept: Array) -> tuple[Array, Array, int]:
    """Return (rows, factors, fraction) of a kg_kept_t."""
    pairs = kept[2 : 2 + kept[0]].view(np.int16).reshape(-1, 2).astype(int)
    return pairs[:, 0], pairs[:, 1], int(kept[1])


@settings(max_examples=300, deadline=None)
@given(norms=NORMS, share=st.floats(0, 1), u=st.integers(0, 2**32 - 1))
def test_proportional_choice_equals_the_oracle(norms: list[int], share: float, u: int) -> None:
    """Same rows, same factors, whatever the norms."""
    array, keep = np.array(norms), max(1, int(share * len(norms)))

    rows, factors, fraction = choose("proportional", array, keep, u)

    expected = proportional(array, keep, u)
    assert (rows.tolist(), factors.tolist(), fraction) == (expected[0].tolist(), expected[1].tolist(), 3)


@settings(max_examples=300, deadline=None)
@given(norms=NORMS, share=st.floats(0, 1))
def test_top_k_equals_a_sort(norms: list[int], share: float) -> None:
    """The largest rows with an error, ascending; of equal ones the first."""
    array, keep = np.array(norms), max(1, int(share * len(norms)))

    rows, factors, fraction = choose("top_k", array, keep)

    assert rows.tolist() == top_k(array, keep).tolist()
    assert (set(factors.tolist()) | {1}, fraction) == ({1}, 0)


@pytest.mark.parametrize("keep", [1, 6, 20, 63])
@pytest.mark.parametrize("seed", range(3))
def test_proportional_choice_has_no_bias(keep: int, seed: int) -> None:
    """Over evenly spread random numbers every row counts once on average; about as many as asked are kept."""
    rng = np.random.default_rng(seed)
    norms = np.floor(np.exp(rng.normal(4, 1.5, 64))).astype(int) * (rng.random(64) < 0.9)
    draws, weight, counts = 4096, np.zeros(64), []
    for u in range(0, 2**32, 2**32 // draws):
        rows, factors, _ = choose("proportional", norms, keep, u)
        weight[rows] += factors / 8
        counts.append(len(rows))

    # each row is picked in draws * p of them, give or take one at either end
    np.testing.assert_allclose(weight[norms > 0] / draws, 1, atol=2 * 32 / draws)
    assert not weight[norms == 0].any()
    assert max(counts) - min(counts) <= 1
    asked = min(keep, np.count_nonzero(norms))
    assert asked - 1 <= np.mean(counts) <= 1.08 * asked + 64 / 32  # rows below p = 1/32 are kept that often still


def test_no_error_keeps_no_row() -> None:
    """A sample that the network is sure of trains nothing."""
    for name in ("proportional", "top_k"):
        assert choose(name, np.zeros(5, int), 3)[0].size == 0


# --- the steps, on their C structures --------------------------------------------------------------------------------


class Training(ctypes.Structure):
    """kg_training_t."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("seed", "samples", "updates", "planned_updates", "decay")),
        ("initial_rate", ctypes.c_float), ("rate", ctypes.c_float),
        *((name, ctypes.c_int32) for name in ("batch", "batch_fill", "label", "predicted")),
        ("loss", ctypes.c_float), ("largest_loss", ctypes.c_float), ("lap_start", ctypes.c_uint64),
    )  # fmt: skip


class Select(ctypes.Structure):
    """kg_select_u8_t or kg_select_f32_t."""

    _fields_ = (
        ("rows", ctypes.c_int32), ("positions", ctypes.c_int32), ("stream", ctypes.c_uint32),
        ("lambda_min", ctypes.c_float), ("lambda_max", ctypes.c_float), ("choose", ctypes.c_void_p),
        ("norms", ctypes.c_void_p), ("kept", ctypes.c_void_p), ("tally", ctypes.c_void_p),
        ("e", ctypes.c_void_p), ("norm_or_sums", ctypes.c_void_p),
    )  # fmt: skip


class Layer:
    """A sparse layer: runs the selection step on errors (rows, positions)."""

    def __init__(self, sparsity: Sparsity) -> None:
        self.sparsity, self.training, self.tally = sparsity, Training(), np.zeros(2, np.uint64)

    def select(self, e: Array, loss: float) -> tuple[Array, Array, int]:
        """Return (rows, factors, fraction) for one sample."""
        rows, positions = e.shape
        kept, norms, sums = np.zeros(2 + rows, np.int32), np.zeros(rows, np.int32), np.zeros(rows, np.float32)
        function = ctypes.cast(getattr(library(), f"kg_select_{self.sparsity.selection}"), ctypes.c_void_p)
        norm = ctypes.cast(library().kg_norm_u8, ctypes.c_void_p).value
        args = Select(
            rows, positions, 5, self.sparsity.lambda_min, self.sparsity.lambda_max, function,
            *(array.ctypes.data for array in (norms, kept, self.tally, e)),
            norm if e.dtype == np.uint8 else sums.ctypes.data,
        )  # fmt: skip
        self.training.loss = loss
        call(f"kg_step_select_{'u8' if e.dtype == np.uint8 else 'f32'}", args, self.training)
        self.training.samples += 1
        return unpack(kept)


ERRORS = np.random.default_rng(0).integers(120, 137, (40, 9), np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("lambda_min", "lambda_max"), [(0.1, 1.0), (0.0, 0.5), (0.25, 0.25), (0.5, 1.0)])
def test_number_of_rows_follows_equation_9(dtype: type, lambda_min: float, lambda_max: float) -> None:
    """From the first loss, which is the largest so far, down to none; never fewer than one row."""
    sparsity = Sparsity(lambda_min, lambda_max, "top_k")
    layer, largest = Layer(sparsity), 0.0
    e = ERRORS if dtype is np.uint8 else (ERRORS - np.float32(128)) / np.float32(77)
    for loss in (1.5, 1.4, 3.0, 2.0, 1.0, 0.3, 1e-3, 0.0, 3.0):
        largest = max(largest, loss)
        rows, _, _ = layer.select(e, loss)
        assert len(rows) == rows_to_keep(sparsity, F(loss), F(largest), 40)
    assert layer.tally.tolist()[1] == 9 * 40


def test_first_sample_without_loss_trains_all_that_is_allowed() -> None:
    """0 / 0 is no reason to fail; a loss that is no number trains all."""
    assert len(Layer(Sparsity(0.1, 1.0, "top_k")).select(ERRORS, 0.0)[0]) == 40
    assert len(Layer(Sparsity(0.1, 0.5, "top_k")).select(ERRORS, float("nan"))[0]) == 20


@settings(max_examples=200, deadline=None)
@given(
    rows=st.integers(2, 40), positions=st.integers(1, 4000), seed=st.integers(0, 2**32), least=st.floats(0.0, 0.9),
    spread=st.floats(0, 6),
)  # fmt: skip
def test_sums_of_kept_errors_stay_inside_30_bits(
    rows: int, positions: int, seed: int, least: float, spread: float
) -> None:
    """Where one sample's sums could leave them, the layer is dense for it: the bound in the code holds."""
    rng = np.random.default_rng(seed)
    size = np.minimum(128 * np.exp(-rng.random(rows) * spread), 128)[:, None] * rng.random((rows, 1))
    e = np.clip(128 - np.ceil(size * rng.random((rows, positions))), 0, 255).astype(np.uint8)
    layer = Layer(Sparsity(least, 1.0))
    layer.training.largest_loss = 10.0

    kept, factors, fraction = layer.select(e, 1e-3)

    norms = (128 - e.astype(int)).sum(axis=1)
    if fraction:
        assert 255 * (norms[kept] * factors).sum() <= LIMIT
    else:
        assert kept.tolist() == np.flatnonzero(norms).tolist()
        assert 255 * 8 * norms.sum() * 64 > LIMIT or int(least * rows) >= rows


@pytest.mark.parametrize("scale", [1e-25, 1e-3, 1e25, 0.0, np.inf])
def test_float32_norms_of_any_size(scale: float) -> None:
    """Float errors are chosen by their shares; what has no sum that can be divided keeps all its rows."""
    with np.errstate(invalid="ignore"):
        e = np.nan_to_num((ERRORS - np.float32(128)) * np.float32(scale), nan=0.0, posinf=np.inf, neginf=-np.inf)
    layer = Layer(Sparsity(0.1, 1.0))
    layer.training.largest_loss = 100.0

    rows, factors, fraction = layer.select(e, 1.0)

    if scale in {0.0, np.inf}:
        assert (len(rows), fraction) == (0 if scale == 0 else 40, 0)
        return
    sums = np.zeros(40, np.float32)
    for column in np.abs(e).T:
        sums += column
    norms = (sums * (np.float32(2**20) / np.add.accumulate(sums)[-1])).astype(int)
    assert fraction == 3
    assert np.isin(rows, np.flatnonzero(norms)).all()
    ideal = 8 * norms.sum() / (norms[rows] * 4)
    assert np.abs(factors - np.clip(ideal, 8, 256)).max() <= 0.25 * ideal.max()


@pytest.mark.parametrize("place", places("norm", "u8").values(), ids=places("norm", "u8").keys())
def test_norms_are_sums_of_magnitudes(place: tuple[str, str | None]) -> None:
    """Rows of any length and at any address, the extremes included."""
    suffix, board = place
    rng = np.random.default_rng(1)
    errors = rng.integers(0, 256, 300, np.uint8)
    errors[:40] = np.tile(np.array([0, 255, 128, 127], np.uint8), 10)
    for start, count in ((0, 300), (1, 16), (2, 31), (3, 7), (5, 1), (7, 0), (9, 211)):
        e = errors[start : start + count].copy()
        name = f"kg_norm_u8{suffix}"
        found = call(name, e, count) if board is None else call_on_board(board, suffix, name, e, count)

        assert found == np.abs(e.astype(int) - 128).sum()
