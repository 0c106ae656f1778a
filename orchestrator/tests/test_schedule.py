# SPDX-License-Identifier: Apache-2.0
"""The order of training samples, and how a session is driven through it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.errors import KilogradError
from kilograd.link.session import Results
from kilograd.schedule import CHUNK, accuracy, make_schedule, train
from kilograd.types import Format, Samples

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from kilograd.link.session import Session

FORM = Format("uint8", 1.0, 0)
SIZES = {"available": st.integers(64, 300), "epochs": st.integers(1, 4), "batch": st.integers(1, 64)}


@given(**SIZES, seed=st.integers(0, 2**31))
@settings(deadline=None)
def test_every_epoch_visits_every_sample_once(available: int, epochs: int, batch: int, seed: int) -> None:
    """Only the last epoch is cut, so that minibatches are whole."""
    schedule = make_schedule(available, epochs, batch, 0.1, seed)

    total = available * epochs
    whole = total - total % batch
    assert len(schedule.order) == whole
    assert schedule.planned_updates == whole // batch
    for start in range(0, whole - available + 1, available):
        assert sorted(schedule.order[start : start + available]) == list(range(available))
    rest = schedule.order[whole - whole % available :]
    assert len(set(rest.tolist())) == len(rest)


@given(**SIZES, most=st.integers(64, 400))
@settings(deadline=None)
def test_most_cuts_the_order_and_changes_nothing_else(available: int, epochs: int, batch: int, most: int) -> None:
    """A short run is the beginning of the long one."""
    full = make_schedule(available, epochs, batch, 0.1, 5)
    short = make_schedule(available, epochs, batch, 0.1, 5, most=most)

    assert len(short.order) <= most
    assert len(short.order) > min(most, available * epochs) - batch
    common = min(len(short.order), len(full.order))
    np.testing.assert_array_equal(short.order[:common], full.order[:common])


@pytest.mark.parametrize(("available", "most"), [(20, None), (300, 47)])
def test_less_than_a_minibatch_is_refused(available: int, most: int | None) -> None:
    """No update would ever come, and nothing would tell."""
    with pytest.raises(KilogradError, match="fewer than one minibatch of 48"):
        make_schedule(available, 1, 48, 0.1, 1, most=most)


def test_the_seed_decides_the_order() -> None:
    """The same experiment trains in the same order everywhere; epochs differ from each other."""
    one, same, other = (make_schedule(50, 2, 5, 0.1, seed) for seed in (1, 1, 2))

    np.testing.assert_array_equal(one.order, same.order)
    assert (one.order != other.order).any()
    assert (one.order[:50] != one.order[50:]).any()


class Recorder:
    """Takes the place of a session: notes what it is asked, and answers with the first pixel as the class."""

    def __init__(self) -> None:
        self.configured: tuple[object, ...] = ()
        self.inputs: list[NDArray[Any]] = []
        self.labels: list[NDArray[Any]] = []

    def configure(self, *settings: object) -> None:
        """Note the settings."""
        self.configured = settings

    def train(self, x: NDArray[Any], labels: NDArray[Any], progress: Callable[[int], None]) -> Results:
        """Note the samples; tell of them in two bursts."""
        progress(len(x) // 2)
        progress(len(x))
        self.inputs.append(x)
        self.labels.append(labels)
        predicted = x[:, 0].astype(np.int64)
        return Results(np.zeros(len(x), np.float32), predicted, labels, np.zeros((len(x), 0), np.float32))

    evaluate = train


def samples(count: int) -> Samples:
    """Return samples whose first pixel is their number modulo 256, and whose class is that modulo 10."""
    x = np.zeros((count, 2), np.float32)
    x[:, 0] = np.arange(count) % 256
    return Samples(x, np.arange(count) % 10)


def as_session(recorder: Recorder) -> Session:
    """Return the recorder as what it stands for."""
    return recorder  # type: ignore[return-value]


def test_training_sends_the_schedule_in_order() -> None:
    """Settings once, then all samples in the input's format, in pieces, with progress for each."""
    recorder, data, done = Recorder(), samples(1000), list[int]()
    schedule = make_schedule(1000, 2, 48, 0.25, 9)
    results = train(as_session(recorder), data, FORM, schedule, done.append)

    assert recorder.configured == (9, 41, 48, 0.25, "cosine")
    np.testing.assert_array_equal(np.concatenate(recorder.labels), data.y[schedule.order])
    sent = np.concatenate(recorder.inputs)
    assert sent.dtype == np.uint8
    np.testing.assert_array_equal(sent[:, 0], data.x[schedule.order, 0])
    assert sum(done) == len(schedule.order) == sum(len(part.labels) for part in results)
    assert max(done) <= CHUNK


def test_the_firmware_is_told_how_the_rate_falls() -> None:
    """Recipe paper keeps its rate; the order of the samples stays the same."""
    falling, constant = (make_schedule(100, 2, 10, 0.1, 3, decay=decay) for decay in ("cosine", "constant"))
    recorder = Recorder()
    train(as_session(recorder), samples(100), FORM, constant, lambda _: None)

    assert recorder.configured == (3, 20, 10, 0.1, "constant")
    np.testing.assert_array_equal(falling.order, constant.order)


@pytest.mark.parametrize("count", [1, 7, CHUNK, CHUNK + 1, 3 * CHUNK - 5])
def test_accuracy_counts_every_sample_once(count: int) -> None:
    """The share of right answers does not depend on how the samples are cut into pieces."""
    data, done = samples(count), list[int]()

    share = accuracy(as_session(Recorder()), data, FORM, done.append)
    assert share == pytest.approx(float((data.x[:, 0] == data.y).mean()))
    assert sum(done) == count


def test_accuracy_without_samples_is_zero() -> None:
    """An empty set is no error."""
    assert accuracy(as_session(Recorder()), samples(0), FORM, lambda _: None) == 0
