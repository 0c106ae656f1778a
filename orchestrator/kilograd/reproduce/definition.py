# SPDX-License-Identifier: Apache-2.0
"""Definitions of tables: which experiments, in which variants, and what the authors of the method reached."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kilograd import experiment as experiments
from kilograd import paths
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Sequence

QUICK: dict[str, object] = {
    "data.samples": 480,
    "data.test_samples": 200,
    "pretrain.samples": 480,
    "pretrain.epochs": 1,
    "pretrain.batch_norm": False,
    "train.epochs": 1,
}
"""What `--quick` replaces, unless a table says otherwise: it shows that a table works, not what it says."""

Percent = dict[str, float]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Block(_Strict):
    """Rows of a table: one experiment, in every combination of configuration, recipe and lambda_min."""

    experiment: str
    configurations: tuple[str, ...] = ("uint8", "mixed", "float32")
    recipes: tuple[str, ...] = ("best",)
    lambda_mins: tuple[float, ...] = (1.0,)
    labels_per_class: tuple[int, ...] = ()
    """Of an autoencoder: a row for each classifier on its latent means."""
    label: str = ""
    """Stands behind the recipe's name where rows differ in something else."""
    change: dict[str, Any] = Field(default={}, alias="set")
    adam: bool = False
    """One row more: the same model, data and epochs in float32 by Adam in torch, where that is installed."""
    paper: Percent = {}
    """What the authors reached, per cent by configuration."""
    at_least: Percent = {}
    """What our own dense rows must reach, per cent by configuration."""
    within: Percent = {}
    """Points that a configuration's dense rows may lose against the float32 row beside them."""
    within_adam: Percent = {}
    """Points that a configuration's dense rows may lose against Adam's row."""
    within_dense: Percent = {}
    """Points that sparse rows may lose against the dense one beside them, by configuration."""
    bound_at_most: Percent = {}
    """Of an autoencoder: nats that the negative ELBO may have, by configuration."""
    bound_within: Percent = {}
    """Of an autoencoder: per cent that the negative ELBO may lie above that of the float32 row beside it."""


_KEYS = tuple(field.alias or name for name, field in Block.model_fields.items())


class Definition(_Strict):
    """A table as its file has it."""

    title: str
    seeds: int = 3
    quick: dict[str, Any] = {}
    rows: tuple[Block, ...]


@dataclass(frozen=True)
class Limits:
    """What a row must reach, where something is asked of it: see the block's members of the same names."""

    at_least: float | None = None
    within: float | None = None
    within_adam: float | None = None
    within_dense: float | None = None
    bound_at_most: float | None = None
    bound_within: float | None = None


@dataclass(frozen=True)
class Row:
    """One row to fill: an experiment, to be run with several seeds."""

    dataset: str
    configuration: str
    recipe: str
    lambda_min: float
    source: str
    changes: dict[str, object]
    paper: float | None
    limits: Limits
    labels: int | None = None
    """Of an autoencoder: labels per class of the classifier that the row tells of."""
    adam: bool = False
    """Trained by Adam in torch instead of the runtime."""

    @property
    def title(self) -> str:
        """Return what tells the row's runs from others."""
        return f"{self.dataset} {self.configuration} {self.recipe} {self.lambda_min:g}"

    @property
    def data(self) -> str:
        """Return the data set, and how many labels of it are used where that is what rows differ in."""
        return self.dataset if self.labels is None else f"{self.dataset}, {self.labels} labels per class"

    def beside(self, other: Row, key: str) -> bool:
        """Tell whether two rows differ in one setting only, such as `train.configuration`."""
        return (self.source, self.recipe, self.labels) == (other.source, other.recipe, other.labels) and (
            {**self.changes, key: None} == {**other.changes, key: None}
        )

    def experiment(self, seed: int) -> experiments.Experiment:
        """Return the experiment of one seed."""
        return experiments.load_experiment(self.source, self.changes | {"train.seed": seed})


@dataclass(frozen=True)
class Table:
    """A table to fill."""

    name: str
    title: str
    seeds: int
    rows: tuple[Row, ...]


def tables_folder() -> Path:
    """Return the folder of the tables that kilograd brings."""
    return paths.PACKAGE / "reproduce" / "tables"


def tables() -> tuple[str, ...]:
    """Return the names of the tables that kilograd brings."""
    return tuple(sorted(file.stem for file in tables_folder().glob("*.toml")))


def load_table(source: str, *, quick: bool = False) -> Table:
    """Return a table by name, or from a TOML file; a wrong name lists the right ones."""
    path = Path(source) if Path(source).is_file() else tables_folder() / f"{source}.toml"
    if not path.is_file():
        message = f"there is no table {source}"
        raise KilogradError(message, f"known: {', '.join(tables())}")
    try:
        definition = Definition.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        message = f"{path}: {_complaint(error)}"
        raise KilogradError(message, f"keys of [[rows]]: {', '.join(_KEYS)}") from error
    small = QUICK | definition.quick if quick else {}
    rows = [row for block in definition.rows for row in _rows(block, small)]
    return Table(path.stem, definition.title, 1 if quick else definition.seeds, tuple(rows))


def parse_columns(texts: Sequence[str]) -> dict[str, str]:
    """Split COLUMN=VALUE of the command line."""
    columns = {}
    for text in texts:
        column, separator, value = text.partition("=")
        if not separator:
            message = f"--only {text}: expected COLUMN=VALUE"
            raise KilogradError(message, "for instance --only configuration=uint8")
        columns[column.strip()] = value.strip()
    return columns


def select(table: Table, wanted: dict[str, str]) -> Table:
    """Return only the rows whose columns have these values."""
    columns = ("dataset", "configuration", "recipe", "lambda_min")
    for column, value in wanted.items():
        if column not in columns:
            message = f"a table has no column {column} to choose rows by"
            raise KilogradError(message, f"columns: {', '.join(columns)}")
        values = list(dict.fromkeys(_text(getattr(row, column)) for row in table.rows))
        if value not in values:
            message = f"{table.name} has no row with {column} {value}"
            raise KilogradError(message, f"{column}: {', '.join(values)}")
    rows = [row for row in table.rows if all(_text(getattr(row, key)) == value for key, value in wanted.items())]
    if not rows:
        message = f"{table.name} has no row with all of {', '.join(f'{k}={v}' for k, v in wanted.items())}"
        raise KilogradError(message, "choose by fewer columns")
    return Table(table.name, table.title, table.seeds, tuple(rows))


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _complaint(error: Exception) -> str:
    """Return what is wrong with a file, in one line."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg'][0].lower()}{first['msg'][1:]}"


def _rows(block: Block, small: dict[str, object]) -> list[Row]:
    """Return every combination of a block; a dense row leaves lambda_min to the experiment."""
    rows = [_adam(block, small)] if block.adam else []
    for recipe, configuration, share in product(block.recipes, block.configurations, block.lambda_mins):
        changes = block.change | {"train.configuration": configuration, "train.recipe": recipe} | small
        if share < 1:
            changes["train.lambda_min"] = share
        if block.labels_per_class:
            changes["classifier.labels_per_class"] = list(block.labels_per_class)
        dataset = experiments.load_experiment(block.experiment, changes).data.name
        title = _title(recipe, block)
        target, limits = block.paper.get(configuration), _limits(block, configuration)
        rows += [
            Row(dataset, configuration, title, share, block.experiment, changes, target, limits, labels)
            for labels in block.labels_per_class or (None,)
        ]
    return rows


def _adam(block: Block, small: dict[str, object]) -> Row:
    changes = block.change | {"train.configuration": "float32"} | small
    how = experiments.load_experiment(block.experiment, changes)
    if how.train.layers != "all":
        message = f"adam: {block.experiment} trains only some layers, and Adam would train all"
        raise KilogradError(message, 'leave `adam` out, or set "train.layers" = "all"')
    return Row(
        how.data.name, "float32", _title("adam", block), 1.0, block.experiment, changes, None, Limits(), adam=True
    )


def _title(recipe: str, block: Block) -> str:
    return f"{recipe}, {block.label}" if block.label else recipe


def _limits(block: Block, configuration: str) -> Limits:
    return Limits(**{member.name: getattr(block, member.name).get(configuration) for member in fields(Limits)})
