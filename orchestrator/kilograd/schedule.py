# SPDX-License-Identifier: Apache-2.0
"""Which samples are trained in which order, and how fast: the same on every engine."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from kilograd.errors import KilogradError
from kilograd.quantise import store_input

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from kilograd.augment import Vary
    from kilograd.link.session import Results, Session
    from kilograd.types import Format, Samples

CHUNK = 960  # samples sent at once: memory stays small


@dataclass(frozen=True)
class Schedule:
    """A run of training: sample numbers in order, batch, learning rate at its start, seed of the rounding."""

    order: NDArray[np.int64]
    batch: int
    rate: float
    seed: int
    decay: str = "cosine"
    """How the rate falls: one of `link.protocol.DECAYS`."""

    @property
    def planned_updates(self) -> int:
        """Return the number of updates over which the rate falls."""
        return len(self.order) // self.batch


def make_schedule(
    available: int, epochs: int, batch: int, rate: float, seed: int, *, most: int | None = None, decay: str = "cosine"
) -> Schedule:
    """
    Shuffle every epoch anew (seeded), and cut to whole minibatches.

    Args:
        available: number of training samples.
        epochs: passes over them.
        batch: samples per update.
        rate: learning rate of the first update.
        seed: of the order, and of stochastic rounding.
        most: training samples at most, over all epochs; default: no limit.
        decay: how the rate falls: "constant", "cosine", "linear" or "step".

    """
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(available) for _ in range(epochs)])
    count = len(order) if most is None else min(len(order), most)
    if count < batch:
        message = f"{count} training samples are fewer than one minibatch of {batch}: nothing would be learned"
        raise KilogradError(message, "take more samples, steps or epochs, or a smaller batch")
    whole = count - count % batch
    return Schedule(order[:whole].astype(np.int64), batch, rate, seed, decay)


def train(
    session: Session,
    samples: Samples,
    form: Format,
    schedule: Schedule,
    advance: Callable[[int], None],
    pauses: Mapping[int, Callable[[], None]] | None = None,
    until: int | None = None,
    vary: Vary | None = None,
) -> list[Results]:
    """
    Train a firmware on the whole schedule, or on its beginning.

    Args:
        session: with the firmware.
        samples: what it learns.
        form: of its input.
        schedule: which samples in which order, and how fast.
        advance: is told how many samples more are done.
        pauses: what to do when so many samples are done; training then goes on where it was.
        until: samples after which it ends; default: the whole schedule.
        vary: what is done to samples before each time that they are trained.

    """
    session.configure(schedule.seed, schedule.planned_updates, schedule.batch, schedule.rate, schedule.decay)
    results, pauses, total = [], pauses or {}, until or len(schedule.order)
    ends = sorted({*range(CHUNK, total, CHUNK), *(end for end in pauses if 0 < end < total), total})
    for start, end in pairwise((0, *ends)):
        chosen = schedule.order[start:end]
        x = store_input(samples.x[chosen] if vary is None else vary(samples.x[chosen]), form)
        results.append(session.train(x, samples.y[chosen], _by_totals(advance)))
        if end in pauses:
            pauses[end]()
    return results


def accuracy(session: Session, samples: Samples, form: Format, advance: Callable[[int], None]) -> float:
    """Return the share of samples that a firmware classifies rightly."""
    parts = evaluate(session, samples, form, advance)
    return sum(int(np.count_nonzero(part.predicted == part.labels)) for part in parts) / max(len(samples), 1)


def mean_loss(session: Session, samples: Samples, form: Format, advance: Callable[[int], None]) -> float:
    """Return the mean loss in nats: of an autoencoder, its negative evidence lower bound."""
    parts = evaluate(session, samples, form, advance)
    return sum(float(part.losses.sum(dtype=np.float64)) for part in parts) / max(len(samples), 1)


def evaluate(session: Session, samples: Samples, form: Format, advance: Callable[[int], None]) -> Iterator[Results]:
    """Yield what a firmware answers for all samples, in order."""
    for start in range(0, len(samples), CHUNK):
        part = slice(start, start + CHUNK)
        yield session.evaluate(store_input(samples.x[part], form), samples.y[part], _by_totals(advance))


def _by_totals(advance: Callable[[int], None]) -> Callable[[int], None]:
    """Return a function that is told how many samples are done, and passes on how many more those are."""
    before = 0

    def reached(done: int) -> None:
        nonlocal before
        advance(done - before)
        before = done

    return reached
