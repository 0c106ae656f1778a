# SPDX-License-Identifier: Apache-2.0
"""Train the beginning of an experiment on the host twin, look at it now and then, and judge every trained layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kilograd.engines.host import HostEngine
from kilograd.flow import schedule_for
from kilograd.health.advice import advice
from kilograd.health.measures import LayerHealth, Look, as_object, measure
from kilograd.health.probe import Probe, Shadow, Snapshot, open_probe, shadow_settings
from kilograd.link.session import Session
from kilograd.material import Material, load_material, teach
from kilograd.quantise import quantise
from kilograd.report import UNKNOWN, to_json
from kilograd.schedule import train
from kilograd.types import DENSE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rich.table import Table

    from kilograd.console import Progress
    from kilograd.experiment import Experiment
    from kilograd.link.session import Results
    from kilograd.schedule import Schedule

LOOKS = 24


@dataclass(frozen=True)
class Health:
    """The verdict on an experiment."""

    name: str
    samples: int
    """Training samples that it was watched for."""
    layers: tuple[LayerHealth, ...]
    problems: tuple[tuple[str, str], ...]
    """Layer ("loss" for the training as a whole), and what is wrong with it."""


def check(experiment: Experiment, samples: int, out: Path, progress: Progress) -> Health:
    """Watch the first training samples of an experiment, at its own learning rates."""
    material = teach(load_material(experiment, out, progress), experiment, out, progress)
    with progress.task("building the twins"):
        settings = replace(material.settings, sparsity=DENSE)  # what sparse updates leave out is not lost
        watched = open_probe(material, settings, out / "health")
        beside = open_probe(material, shadow_settings(settings), out / "shadow")
    schedule = schedule_for(experiment, material, most=None)
    results, looks = _watch(material, watched, beside, schedule, samples, progress)
    layers = _measure(material, looks)
    problems = [(h.layer, text) for h in layers for text in advice(h, experiment.train.recipe)]
    seen = sum(len(result.losses) for result in results)
    return Health(experiment.name, seen, layers, (*_loss_problems(results), *problems))


def _watch(
    material: Material, watched: Probe, beside: Probe, schedule: Schedule, samples: int, progress: Progress
) -> tuple[list[Results], list[Look]]:
    end = max(1, min(len(schedule.order), samples) // schedule.batch) * schedule.batch
    looks: list[Look] = []
    before: list[tuple[Snapshot, Snapshot]] = []
    with HostEngine(watched.twin) as engine, HostEngine(beside.twin) as other:
        session, shadow = Session(engine), Shadow(beside, Session(other), material.graph)

        def look_before(number: int) -> None:
            snapshot = Snapshot(watched.program, session.read_state())
            sample = schedule.order[number - 1]
            x, label = material.train.x[sample], int(material.train.y[sample])
            before.append((snapshot, shadow.run(snapshot, x, label)))

        def look_after() -> None:
            looks.append(Look(*before.pop(), Snapshot(watched.program, session.read_state())))

        pauses = _pauses(end, schedule.batch, look_before, look_after)
        with progress.task("watching the training", end) as task:
            results = train(session, material.train, watched.program.input_format, schedule, task.advance, pauses, end)
    return results, looks


def _pauses(
    end: int, batch: int, before: Callable[[int], None], after: Callable[[], None]
) -> dict[int, Callable[[], None]]:
    """Return what to do when: look one sample before the end of some minibatches, and at their end."""
    whole = end // batch
    ends = [int(number) * batch for number in np.unique(np.linspace(1, whole, min(LOOKS, whole)).round())]
    pauses: dict[int, Callable[[], None]] = {}
    for number in ends:
        pauses[number - 1] = lambda number=number: before(number - 1)  # type: ignore[misc]  # binds now
        pauses[number] = after
    return pauses


def _measure(material: Material, looks: Sequence[Look]) -> tuple[LayerHealth, ...]:
    m = material
    program = looks[0].before.program
    trained = frozenset(name.removesuffix("_g") for name in program.state if name.endswith("_g"))
    quantised = quantise(m.graph, m.settings.configuration, m.calibration, trained, m.rehearsed, m.settings.formats)
    nodes = [node for node in quantised.graph.nodes if node.name in trained]
    return tuple(measure(looks, node, quantised.formats[node.output]) for node in nodes)


def _loss_problems(results: Sequence[Results]) -> list[tuple[str, str]]:
    losses = np.concatenate([result.losses for result in results])
    if not np.isfinite(losses).all():
        return [("loss", "the loss is no finite number any more: lower the learning rate")]
    few = max(1, len(losses) // 4)
    begin, end = float(losses[:few].mean()), float(losses[-few:].mean())
    if end > 2 * begin:
        return [("loss", f"the loss rises from {begin:.2f} to {end:.2f}: lower the learning rate")]
    return []


def health_json(health: Health) -> str:
    """Return the verdict as JSON."""
    layers = [
        {**as_object(h), "advice": [text for layer, text in health.problems if layer == h.layer]} for h in health.layers
    ]
    general = [text for layer, text in health.problems if layer == "loss"]
    return to_json(
        {
            "name": health.name,
            "samples": health.samples,
            "healthy": not health.problems,
            "advice": general,
            "layers": layers,
        }
    )


def health_table(health: Health) -> Table:
    """Return the figures for people: a column for each layer."""
    from rich.table import Table  # noqa: PLC0415 - only here

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    for h in health.layers:
        table.add_column(h.layer, justify="right", no_wrap=True)
    for title, show in _ROWS:
        table.add_row(title, *(show(h) for h in health.layers))
    return table


def _share(name: str) -> Callable[[LayerHealth], str]:
    return lambda h: UNKNOWN if getattr(h, name) is None else f"{100 * getattr(h, name):.2f} %"


def _number(name: str) -> Callable[[LayerHealth], str]:
    return lambda h: UNKNOWN if getattr(h, name) is None else f"{getattr(h, name):.3g}"


_ROWS: tuple[tuple[str, Callable[[LayerHealth], str]], ...] = (
    ("format", lambda h: h.format),
    ("outputs at the end of their range", _share("activation_saturation")),
    ("largest output / range", _number("activation_range")),
    ("  end / beginning", _number("range_drift")),
    ("weights at the end of their range", _share("weight_saturation")),
    ("weights, root mean square in quanta", _number("weight_levels")),
    ("errors that became zero", _share("dead_gradients")),
    ("  gradient lost with them", _share("lost_gradient")),
    ("gradients at the buffer's limits", _share("gradient_saturation")),
    ("mean update in quanta", _number("update_quanta")),
    ("mean update / weight", _share("update_ratio")),
    ("weights moved by an update", _share("weights_moved")),
    ("errors in steps of 2 to the", _number("error_exponent")),
)
