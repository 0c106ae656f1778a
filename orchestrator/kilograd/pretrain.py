# SPDX-License-Identifier: Apache-2.0
"""
Train a model in float32 on the host, before it is quantised.

This runs kilograd's own float32 runtime (the host twin, recipe best), not a framework: the same tables and kernels as
on a board, nothing more to install, and a result that depends only on the experiment. Adam and BatchNorm run torch.
"""

from __future__ import annotations

import fcntl
import hashlib
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd import paths, pretrain_torch
from kilograd.augment import augmenter
from kilograd.build import build_twin
from kilograd.engines.host import HostEngine
from kilograd.link.session import Session
from kilograd.lower import Settings, lower
from kilograd.schedule import make_schedule, train
from kilograd.state import float_graph

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from kilograd.console import Progress
    from kilograd.types import Graph, Samples

BATCH = 48


@dataclass(frozen=True)
class Pretraining:
    """How long and how fast; the seed decides the order of the samples, and how they are varied."""

    data: str
    epochs: int
    rate: float
    seed: int
    what: str = "pretraining"
    augment: tuple[str, ...] = ()
    batch_norm: bool = False
    adam: bool = False
    """By Adam in torch, also without BatchNorm."""

    @property
    def by_torch(self) -> bool:
        """Tell whether torch does it."""
        return self.batch_norm or self.adam


def pretrain(graph: Graph, samples: Samples, how: Pretraining, out: Path, kernels: Path, progress: Progress) -> Graph:
    """Return the graph with trained weights; the same work is done once, then read from the cache."""
    cached = paths.cache() / "pretrained" / f"{graph.name}-{_key(graph, samples, how)}.npz"
    with _alone(cached.stem):
        return _read(graph, cached) or _train(graph, samples, how, cached, out, kernels, progress)


def _train(
    graph: Graph, samples: Samples, how: Pretraining, cached: Path, out: Path, kernels: Path, progress: Progress
) -> Graph:
    schedule = make_schedule(len(samples), how.epochs, BATCH, how.rate, how.seed)
    vary = augmenter(how.augment, graph.shapes[graph.input], how.seed)
    title, total = f"{how.what} on {how.data}", len(schedule.order)
    if how.by_torch:
        with progress.task(title, total) as task:
            trained = pretrain_torch.train(graph, samples, schedule, vary, task.advance, batch_norm=how.batch_norm)
    else:
        settings = Settings(configuration="float32", recipe="best", layers="all")
        lowered = lower(graph, settings, samples.x[:1], "host", kernels, out)
        twin = build_twin([lowered.source], out / "build")
        with progress.task(title, total) as task, HostEngine(twin) as engine:
            session = Session(engine)
            train(session, samples, lowered.program.input_format, schedule, task.advance, vary=vary)
            trained = float_graph(graph, lowered.program, session.read_state())
    _write(trained, cached)
    return trained


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Let several runs that need the same pretraining wait for the first one instead of doing the same work."""
    locks = paths.cache() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / name).open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _key(graph: Graph, samples: Samples, how: Pretraining) -> str:
    """Return a hash of everything that decides the result, the runtime's sources (or torch's version) included."""
    digest = hashlib.sha256(repr((graph.name, how, len(samples), BATCH)).encode())
    digest.update(repr([(node.op, node.inputs, sorted(node.attributes.items())) for node in graph.nodes]).encode())
    for array in (samples.x, samples.y, *(array for _, array in _arrays(graph))):
        digest.update(np.ascontiguousarray(array).data)
    if how.by_torch:
        digest.update(pretrain_torch.version().encode())
        return digest.hexdigest()[:16]
    for source in sorted((paths.share() / "firmware").rglob("*.[ch]")):
        if source.parent.name in {"ops", "runtime"}:
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _arrays(graph: Graph) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for node in graph.nodes:
        if node.weight is not None and node.bias is not None:
            yield f"{node.name}.weight", node.weight
            yield f"{node.name}.bias", node.bias


def _read(graph: Graph, path: Path) -> Graph | None:
    try:
        with np.load(path) as stored:
            nodes = [
                node
                if node.weight is None
                else replace(node, weight=stored[f"{node.name}.weight"], bias=stored[f"{node.name}.bias"])
                for node in graph.nodes
            ]
    except (OSError, EOFError, KeyError, RuntimeError, ValueError, zipfile.BadZipFile):
        return None  # not there, or damaged: it is made again
    return replace(graph, nodes=tuple(nodes))


def _write(graph: Graph, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.stem}.tmp.npz")
    arrays: dict[str, Any] = dict(_arrays(graph))
    np.savez(fresh, **arrays)
    fresh.replace(path)
