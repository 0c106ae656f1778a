# SPDX-License-Identifier: Apache-2.0
"""Pictures of a table's runs: loss and accuracy curves, heat maps of gradients. Equal numbers give equal files."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kilograd.console import Progress
    from kilograd.reproduce.job import Outcome
    from kilograd.reproduce.run import FilledRow

STYLE: Any = {
    "svg.hashsalt": "kilograd",  # else names inside the file are random
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
METADATA = {"Date": None}
TICKS = 5  # more numbers of samples would run into each other
SMALLEST = 1e-12  # below it a gradient is shown as none


def draw(rows: Sequence[FilledRow], out: Path, progress: Progress) -> None:
    """Write a picture of curves for each data set, and a heat map for each row (of its first seed)."""
    import matplotlib as mpl  # noqa: PLC0415 - it loads slowly, and only pictures need it

    with progress.task("drawing", len(rows)) as task, mpl.rc_context(STYLE):
        out.mkdir(parents=True, exist_ok=True)
        for dataset in dict.fromkeys(filled.row.dataset for filled in rows):
            with_curves = [row for row in rows if row.row.dataset == dataset and row.outcomes[0].samples]
            same = {filled.row.title: filled for filled in with_curves}
            if same:
                _save(_curves(dataset, list(same.values())), out / f"curves_{_file_name(dataset)}.svg")
        shown: set[str] = set()
        for filled in rows:
            task.advance()
            if filled.row.title in shown:
                continue
            shown.add(filled.row.title)
            if filled.outcomes[0].images:
                figure = _reconstructions(filled.row.title, filled.outcomes[0])
                _save(figure, out / f"reconstructions_{_file_name(filled.row.title)}.svg")
            if any(filled.outcomes[0].gradients.values()):
                figure = _heat_map(filled.row.title, filled.outcomes[0])
                _save(figure, out / f"gradients_{_file_name(filled.row.title)}.svg")
    progress.note(f"pictures: {out}")


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "_", text).strip("_")


def _save(figure: Any, path: Path) -> None:  # noqa: ANN401 - matplotlib's figure
    fresh = path.with_suffix(".tmp.svg")
    figure.savefig(fresh, format="svg", metadata=METADATA)
    fresh.replace(path)


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    """Return a figure that no window knows, and its axes as a matrix."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - see above

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _curves(dataset: str, rows: Sequence[FilledRow]) -> Any:  # noqa: ANN401 - matplotlib's figure
    """Draw mean and range over the seeds: loss of training, accuracy in training and on the test samples."""
    kinds = [("loss", "training loss"), ("train_accuracy", "training accuracy"), ("test_accuracy", "test accuracy")]
    if rows[0].outcomes[0].bound is not None:
        kinds = [("loss", "training loss"), ("test_accuracy", "test loss")]
    figure, axes = _figure(1, len(kinds), (4.0 * len(kinds), 3.6))
    for axis, (kind, title) in zip(axes[0], kinds, strict=True):
        for filled in rows:
            seeds = [np.asarray(getattr(outcome, kind)) for outcome in filled.outcomes]
            across, label = filled.outcomes[0].samples, filled.row.title.removeprefix(f"{dataset} ")
            (line,) = axis.plot(across, np.mean(seeds, axis=0), label=label, linewidth=1)
            axis.fill_between(across, np.min(seeds, axis=0), np.max(seeds, axis=0), color=line.get_color(), alpha=0.15)
        axis.set_title(title)
        axis.locator_params(axis="x", nbins=TICKS)
        axis.set_xlabel("training samples")
    figure.suptitle(dataset)
    axes[0][-1].legend(fontsize=6)
    return figure


def _reconstructions(title: str, outcome: Outcome) -> Any:  # noqa: ANN401 - matplotlib's figure
    """Draw test images above what the autoencoder makes of them; images are square."""
    count = len(outcome.images) // 2
    figure, axes = _figure(2, count, (float(count), 2.4))
    for axis, image in zip(axes.flat, outcome.images, strict=True):
        side = math.isqrt(len(image))
        axis.imshow(np.reshape(image, (-1, side, side))[0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_axis_off()
    figure.suptitle(title)
    return figure


def _heat_map(title: str, outcome: Outcome) -> Any:  # noqa: ANN401 - matplotlib's figure
    """Draw log10 of the mean |gradient| of every structure over time, and the share of structures kept."""
    layers = {layer: np.asarray(table).T for layer, table in outcome.gradients.items() if table}
    columns = 2 if any(outcome.kept.values()) else 1
    figure, axes = _figure(len(layers), columns, (5.0 * columns, 1.4 * len(layers) + 0.8))
    for row, (layer, table) in zip(axes, layers.items(), strict=True):
        shown = np.where(table > SMALLEST, np.log10(np.maximum(table, SMALLEST)), np.nan)
        extent = (0, outcome.samples[-1], len(table), 0)
        image = row[0].imshow(shown, aspect="auto", interpolation="nearest", extent=extent, cmap="viridis")
        row[0].grid(visible=False)
        row[0].set_ylabel(layer)
        figure.colorbar(image, ax=row[0], label="log10 |g|")
        if columns > 1:
            row[1].plot(outcome.samples, outcome.kept.get(layer) or [1.0] * len(outcome.samples))
            row[1].set_ylim(0, 1.05)
            row[1].set_ylabel("kept")
    for axis in axes.flat:
        axis.locator_params(axis="x", nbins=TICKS)
    for axis in axes[-1]:
        axis.set_xlabel("training samples")
    figure.suptitle(title)
    return figure
