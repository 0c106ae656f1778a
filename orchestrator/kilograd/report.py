# SPDX-License-Identifier: Apache-2.0
"""Results: what a plan and a run say about each board, as a table for people and JSON for machines."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.table import Table

from kilograd.errors import CheckFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kilograd.experiment import Limits
    from kilograd.prune import Pruned

SCHEMA = 1
UNKNOWN = "-"
LARGEST_SHOWN = 3
PHASES = ("forward", "backward", "update")


@dataclass(frozen=True)
class Accuracy:
    """Shares of right answers on the test samples, 0 to 1; None where there is nothing to compare with."""

    before_shift: float | None
    after_shift: float | None
    trained: float | None


@dataclass(frozen=True)
class Bound:
    """What an autoencoder shows on the test samples."""

    before_shift: float | None
    """Mean negative evidence lower bound in nats, of what it was pretrained on."""
    after_shift: float | None
    """The same on the test samples, before training."""
    trained: float | None
    """The same, after training."""
    classifiers: Mapping[int, float]
    """Accuracy, 0 to 1, of a classifier on the latent means, by the number of labels per class."""


@dataclass(frozen=True)
class Ram:
    """Bytes of RAM by segment; `stack` is the peak that was seen (a plan: the reserve), None on the host."""

    features: int
    trained: int
    stack: int | None
    other: int
    limit: int | None
    code: int | None = None
    """Instructions that were copied there; None where all code stays in flash."""

    @property
    def total(self) -> int:
        """Return all bytes of RAM."""
        return self.features + self.trained + (self.stack or 0) + self.other + (self.code or 0)


@dataclass(frozen=True)
class Flash:
    """Bytes of flash; `weights` are those that stay as they are."""

    weights: int
    code: int
    limit: int | None

    @property
    def total(self) -> int:
        """Return all bytes of flash."""
        return self.weights + self.code


@dataclass(frozen=True)
class Phases:
    """A cost of one training sample; `update` is an update's cost divided by the samples of a minibatch."""

    forward: int
    backward: int
    update: int

    @property
    def total(self) -> int:
        """Return the cost of all phases."""
        return self.forward + self.backward + self.update


@dataclass(frozen=True)
class Tensor:
    """A tensor of the plan, for the question what takes so much room."""

    name: str
    segment: str
    bytes: int


@dataclass(frozen=True)
class PlanReport:
    """What a plan says about one board, before anything is built."""

    board: str
    ram: Ram
    flash: Flash
    lower_bound: Mapping[str, int]
    """Bytes by segment that no plan can go below: the largest set of tensors alive together."""
    largest: tuple[Tensor, ...]
    """Tensors, the largest first."""
    suggestions: tuple[str, ...] = ()
    """What would fit, the nearest change first; empty if the plan fits."""

    @property
    def fits(self) -> bool:
        """Tell whether RAM and flash suffice."""
        return _within(self.ram) and _within(self.flash)


@dataclass(frozen=True)
class BoardReport:
    """What one board showed; None stands for what the board or engine cannot say."""

    board: str
    engine: str
    fits: bool
    ram: Ram
    flash: Flash
    accuracy: Accuracy | None = None
    elbo: Bound | None = None
    """Of an autoencoder, which has no accuracy."""
    cycles: Phases | None = None
    layer_cycles: Mapping[str, int] | None = None
    """The same by layer, for the gate; not part of the JSON."""
    instructions: Phases | None = None
    time_ms: float | None = None
    energy_mj: float | None = None
    steps: int = 0
    state_hash: str | None = None
    kept: Mapping[str, float] = field(default_factory=dict)
    """By layer with sparse updates, the first one first: the share of rows that has learned from a sample."""
    same_bits: bool | None = None
    """Whether the trained state equals the host's after as many steps; None on the host itself."""
    plan: PlanReport | None = None
    """The plan of a board that it does not fit, for the error message; not part of the JSON."""


@dataclass(frozen=True)
class Report:
    """The result of one experiment on all its boards."""

    boards: tuple[BoardReport, ...]
    pruned: tuple[Pruned, ...] = ()
    """The model before pruning and after each of its steps; empty without pruning."""


def report_json(report: Report) -> str:
    """Return the report as JSON."""
    content: dict[str, Any] = {"boards": [_board_object(board) for board in report.boards]}
    if report.pruned:
        content["pruning"] = [asdict(step) for step in report.pruned]
    return to_json(content)


def plan_json(plans: Sequence[PlanReport]) -> str:
    """Return plans as JSON."""
    return to_json({"boards": [_plan_object(plan) for plan in plans]})


def to_json(content: Mapping[str, Any]) -> str:
    """Return an object with the schema's number as JSON text."""
    return json.dumps({"schema": SCHEMA, **content}, indent=2, ensure_ascii=False)


def problems(report: Report, limits: Mapping[str, Limits]) -> list[CheckFailedError]:
    """Return what makes the report a failure: it does not fit, differs from the host, exceeds a limit."""
    found = [does_not_fit(board.plan) for board in report.boards if not board.fits and board.plan]
    for board in report.boards:
        if board.same_bits is False:
            message = f"{board.board}: the trained state differs from the host's after {board.steps} steps"
            found.append(
                CheckFailedError(message, "this is a defect of kilograd or of a custom kernel; please report it")
            )
        if board.board in limits:
            found += _over_limits(board, limits[board.board])
    return found


def does_not_fit(plan: PlanReport) -> CheckFailedError:
    """Return the error for a plan that exceeds its board: how much, which tensors, what would fit."""
    memories = (("RAM", plan.ram), ("flash", plan.flash))
    needs = [
        f"{kind} {_bytes(memory.total)} of {_bytes(memory.limit)}" for kind, memory in memories if not _within(memory)
    ]
    segments = (
        f"RAM: feature maps {_bytes(plan.ram.features)}, weights and gradients {_bytes(plan.ram.trained)}, "
        f"stack {_bytes(plan.ram.stack)}, rest {_bytes(plan.ram.other)}; "
        f"flash: weights {_bytes(plan.flash.weights)}, code {_bytes(plan.flash.code)}"
    )
    tensors = ", ".join(f"{item.name} ({item.segment}) {_bytes(item.bytes)}" for item in plan.largest[:LARGEST_SHOWN])
    lines = [segments, f"largest tensors: {tensors}", *(f"would fit: {text}" for text in plan.suggestions)]
    return CheckFailedError(f"the model does not fit {plan.board}: it needs {' and '.join(needs)}", "\n".join(lines))


def report_table(report: Report) -> Table:
    """Return the table for people: a column for each board, a row for each figure that one of them knows."""
    rows: list[tuple[str, Callable[[BoardReport], str]]] = [
        ("engine", lambda b: b.engine),
        ("fits", lambda b: _yes(b.fits)),
        *_pruning_rows(report.pruned),
        ("accuracy before shift", partial(_accuracy, "before_shift")),
        ("accuracy after shift", partial(_accuracy, "after_shift")),
        ("accuracy after training", partial(_accuracy, "trained")),
        ("negative ELBO before shift", partial(_bound, "before_shift")),
        ("negative ELBO before training", partial(_bound, "after_shift")),
        ("negative ELBO after training", partial(_bound, "trained")),
        *_classifier_rows(report.boards),
        *_MEMORY_ROWS,
        *_phase_rows("cycles"),
        *_phase_rows("instructions"),
        ("time per sample", lambda b: _quantity(b.time_ms, "ms")),
        ("energy per sample", lambda b: _quantity(b.energy_mj, "mJ")),
        *(_kept_row(layer) for layer in dict.fromkeys(layer for board in report.boards for layer in board.kept)),
        ("training samples", lambda b: f"{b.steps:,}"),
        ("same bits as host", lambda b: _yes(b.same_bits)),
    ]
    return _table([board.board for board in report.boards], [(name, map(cell, report.boards)) for name, cell in rows])


def plan_table(plans: Sequence[PlanReport]) -> Table:
    """Return the table for people: a column for each board, a row for each segment."""
    rows: list[tuple[str, Callable[[PlanReport], str]]] = [("fits", lambda p: _yes(p.fits)), *_MEMORY_ROWS]
    segments = dict.fromkeys(segment for plan in plans for segment in plan.lower_bound)
    rows += [(f"lower bound, {segment}", partial(_lower_bound, segment)) for segment in segments]
    rows += [(f"largest tensor {rank}", partial(_tensor, rank)) for rank in range(1, LARGEST_SHOWN + 1)]
    return _table([plan.board for plan in plans], [(name, map(cell, plans)) for name, cell in rows])


_MEMORY_ROWS: tuple[tuple[str, Callable[[Any], str]], ...] = (
    ("RAM", lambda b: _used(b.ram)),
    ("  feature maps", lambda b: _bytes(b.ram.features)),
    ("  weights and gradients", lambda b: _bytes(b.ram.trained)),
    ("  stack", lambda b: _bytes(b.ram.stack)),
    ("  code", lambda b: _bytes(b.ram.code)),
    ("  rest", lambda b: _bytes(b.ram.other)),
    ("  limit", lambda b: _bytes(b.ram.limit)),
    ("flash", lambda b: _used(b.flash)),
    ("  weights", lambda b: _bytes(b.flash.weights)),
    ("  code and tables", lambda b: _bytes(b.flash.code)),
    ("  limit", lambda b: _bytes(b.flash.limit)),
)


def _pruning_rows(steps: Sequence[Pruned]) -> Iterable[tuple[str, Callable[[BoardReport], str]]]:
    """Show what went into every board: the same model, so the same cells."""
    for number, step in enumerate(steps):
        name = f"pruned, step {number}" if number else "before pruning"
        text = f"{step.parameters:,} parameters, {100 * step.accuracy:.1f} %"
        yield name, lambda _, text=text: text  # type: ignore[misc]


def _phase_rows(kind: str) -> Iterable[tuple[str, Callable[[BoardReport], str]]]:
    yield f"{kind} per sample", partial(_phase, kind, "total")
    for phase in PHASES:
        yield f"  {phase}", partial(_phase, kind, phase)


def _kept_row(layer: str) -> tuple[str, Callable[[BoardReport], str]]:
    return f"rows kept, {layer}", lambda b: f"{100 * b.kept[layer]:.1f} %" if layer in b.kept else UNKNOWN


def _phase(kind: str, phase: str, board: BoardReport) -> str:
    cost = getattr(board, kind)
    return UNKNOWN if cost is None else f"{getattr(cost, phase):,}"


def _accuracy(when: str, board: BoardReport) -> str:
    share = getattr(board.accuracy, when, None)
    return UNKNOWN if share is None else f"{100 * share:.1f} %"


def _bound(when: str, board: BoardReport) -> str:
    nats = getattr(board.elbo, when, None)
    return UNKNOWN if nats is None else f"{nats:.1f} nats"


def _classifier_rows(boards: Sequence[BoardReport]) -> Iterable[tuple[str, Callable[[BoardReport], str]]]:
    for labels in dict.fromkeys(labels for board in boards if board.elbo for labels in board.elbo.classifiers):
        yield f"classifier, {labels} labels per class", partial(_classifier, labels)


def _classifier(labels: int, board: BoardReport) -> str:
    share = board.elbo.classifiers.get(labels) if board.elbo else None
    return UNKNOWN if share is None else f"{100 * share:.1f} %"


def _lower_bound(segment: str, plan: PlanReport) -> str:
    return _bytes(plan.lower_bound.get(segment))


def _tensor(rank: int, plan: PlanReport) -> str:
    if rank > len(plan.largest):
        return UNKNOWN
    return f"{plan.largest[rank - 1].name} {_bytes(plan.largest[rank - 1].bytes)}"


def _board_object(board: BoardReport) -> dict[str, Any]:
    content = asdict(board)
    del content["plan"], content["layer_cycles"]
    if board.elbo is None:
        del content["elbo"]
    content["accuracy"] = asdict(board.accuracy or Accuracy(None, None, None))
    for kind in ("cycles", "instructions"):
        content[kind] = content[kind] or dict.fromkeys(PHASES)
    content |= _memory_objects(board)
    order = ("board", "engine", "fits", "accuracy", "ram", "flash", "cycles", "instructions")
    return {key: content.pop(key) for key in order} | content


def _plan_object(plan: PlanReport) -> dict[str, Any]:
    content = asdict(plan) | _memory_objects(plan)
    return {"board": content.pop("board"), "fits": plan.fits} | content


def _memory_objects(plan: PlanReport | BoardReport) -> dict[str, Any]:
    objects = {}
    for kind, memory in (("ram", plan.ram), ("flash", plan.flash)):
        segments = asdict(memory)
        limit = segments.pop("limit")
        if kind == "ram" and memory.code is None:  # only where it was asked for
            del segments["code"]
        objects[kind] = {**segments, "total": memory.total, "limit": limit}
    return objects


def _over_limits(board: BoardReport, limits: Limits) -> Iterable[CheckFailedError]:
    for name, value, limit, unit in (
        ("RAM", board.ram.total, limits.ram_bytes, "bytes"),
        ("flash", board.flash.total, limits.flash_bytes, "bytes"),
        ("time per sample", board.time_ms, limits.time_ms, "ms"),
    ):
        if value is not None and limit is not None and value > limit:
            message = f"{board.board}: {name} is {value:,} {unit}, {value - limit:,} more than the limit of {limit:,}"
            yield CheckFailedError(message, f"the limit is in [limits.{board.board}] of the experiment")


def _within(memory: Ram | Flash) -> bool:
    return memory.limit is None or memory.total <= memory.limit


def _table(columns: Sequence[str], rows: Iterable[tuple[str, Iterable[str]]]) -> Table:
    """Return a table without the rows that nobody can fill."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for name, content in rows:
        cells = list(content)
        if set(cells) != {UNKNOWN}:
            table.add_row(name, *cells)
    return table


def _yes(value: bool | None) -> str:  # noqa: FBT001 - the value to show
    return UNKNOWN if value is None else "yes" if value else "no"


def _bytes(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,} B"


def _used(memory: Ram | Flash) -> str:
    return _bytes(memory.total) + ("" if memory.limit is None else f" ({100 * memory.total / memory.limit:.0f} %)")


def _quantity(value: float | None, unit: str) -> str:
    return UNKNOWN if value is None else f"{value:.3g} {unit}"
