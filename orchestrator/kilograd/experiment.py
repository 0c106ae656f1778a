# SPDX-License-Identifier: Apache-2.0
"""Experiment files: what a TOML file may hold, and errors that name file, line, key and the allowed values."""

from __future__ import annotations

import copy
import difflib
import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from kilograd import listing, load, paths, zoo
from kilograd.data import is_own
from kilograd.errors import KilogradError
from kilograd.platforms import board as platforms
from kilograd.recipes import RECIPES
from kilograd.toml_lines import line_of
from kilograd.types import Sparsity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_EXPECTED = {
    "string_type": "a string in quotes",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "tuple_type": "a list",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dict_type": "a table",
}


def engines() -> tuple[str, ...]:
    """Return the names of the engines that kilograd brings."""
    return tuple(name for name in listing.names("kilograd.engines") if name != "base")


def datasets() -> tuple[str, ...]:
    """Return the names of the data sets that kilograd can read."""
    return listing.names("kilograd.data")


def _one_of(kind: str, known: Callable[[], tuple[str, ...]], exists: Callable[[str], bool]) -> AfterValidator:
    """Accept a known name, or what `exists` accepts; anything else is an error that lists the known names."""

    def check(name: str) -> str:
        if name in known() or exists(name):
            return name
        message = f"{name!r} is no {kind}; there are {', '.join(known())}"
        raise ValueError(message)

    return AfterValidator(check)


def _is_board_folder(name: str) -> bool:
    return (Path(name) / "board.toml").is_file()


def _nothing_else(_: str) -> bool:
    return False


def _check_layers(value: object) -> object:
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    if isinstance(value, list) and value and all(isinstance(name, str) for name in value):
        return tuple(value)
    message = f'must be "all", a number of layers counted from the end, or a list of layer names, not {value!r}'
    raise ValueError(message)


def _check_names(value: object) -> object:
    if value == "all" or (isinstance(value, list) and value):
        return _check_layers(value)
    message = f'must be "all" or a list of layer names, not {value!r}'
    raise ValueError(message)


ModelSource = Annotated[str, _one_of("built-in model, .onnx or .pt2 file", zoo.models, load.is_file)]
DataName = Annotated[str, _one_of("data set (or path of your own data)", datasets, is_own)]
BoardName = Annotated[str, _one_of("board", platforms.boards, _is_board_folder)]
EngineName = Annotated[str, _one_of("engine", engines, _nothing_else)]
Layers = Annotated[Literal["all"] | int | tuple[str, ...], BeforeValidator(_check_layers)]
PrunedLayers = Annotated[Literal["all"] | tuple[str, ...], BeforeValidator(_check_names)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Model(_Strict):
    """Which network."""

    source: ModelSource = Field(
        description="a built-in model (`kilograd models`), or the path of an .onnx or .pt2 file, relative to this file"
    )
    classes: int | None = Field(
        default=None, gt=1, description="outputs of a built-in model; default: the classes of the data"
    )
    reset: int = Field(
        default=0, ge=0, description="layers, counted from the end, that begin with fresh weights after the pretraining"
    )


class Data(_Strict):
    """What it learns on the chip."""

    name: DataName = Field(
        description="data set (`kilograd datasets`), or the path of an .npz file or of a folder of images (`./images`),"
        " relative to this file"
    )
    samples: int | None = Field(default=None, gt=0, description="training samples used; default: all")
    test_samples: int | None = Field(default=None, gt=0, description="test samples used; default: all")


class Pretrain(_Strict):
    """What it learned before, in float on the host."""

    data: DataName | None = Field(
        default=None,
        description="data set of the pretraining, or a path; default: none, start from the model's own weights",
    )
    epochs: int = Field(default=5, gt=0, description="passes over the training samples")
    learning_rate: float = Field(default=1e-3, gt=0, description="learning rate")
    samples: int | None = Field(default=None, gt=0, description="training samples used; default: all")
    augment: tuple[Literal["flip", "shift"], ...] = Field(
        default=(),
        strict=False,
        description="how images are varied: `flip` (half of them left to right), `shift` (by up to an eighth)",
    )
    batch_norm: bool = Field(
        default=False, description="with BatchNorm behind every convolution, folded into it afterwards; needs torch"
    )


class Prune(_Strict):
    """How much smaller it gets after pretraining, on the host."""

    target: float | None = Field(
        default=None, gt=0, lt=1, description="share of each layer's channels or neurons to remove; default: none"
    )
    steps: int = Field(default=4, gt=0, description="times that some are removed, fewer and fewer")
    epochs: int = Field(default=1, gt=0, description="passes over the samples of the pretraining after each step")
    layers: PrunedLayers = Field(
        default="all", description='layers that get smaller: `"all"` but the last, or a list of layer names'
    )


class Train(_Strict):
    """How it learns on the chip."""

    configuration: Literal["uint8", "mixed", "float32"] = Field(
        default="uint8", description="number format; mixed: the last layer in float32, the others in uint8"
    )
    recipe: Literal["best", "paper", "sgd_m", "sgd_m_qas"] = Field(
        default="best",
        description="update rule: ours, the published one, SGD with momentum, or that with quantisation-aware scaling",
    )
    layers: Layers = Field(default="all", description='trained layers: `"all"`, the last n, or a list of layer names')
    formats: dict[str, Literal["uint8", "float32"]] = Field(
        default={}, description="number formats of single layers, by name, where they differ from the configuration"
    )
    parameters: Literal["all", "biases"] = Field(
        default="all", description="what of a trained layer learns: `biases` leaves its weights in flash"
    )
    gradient_bits: Literal[8, 16, 32] = Field(
        default=16, description="width of the gradient buffers of uint8 layers in recipe best; 32: exact sums"
    )
    batch: int = Field(default=48, gt=0, description="training samples per weight update")
    epochs: int = Field(default=6, gt=0, description="passes over the training samples")
    steps: int = Field(default=480, gt=0, description="training samples that a virtual board sees at most")
    learning_rate: float | None = Field(
        default=None, gt=0, description="learning rate; default: that of the recipe, 5e-4 (best), 1e-3 (paper)"
    )
    schedule: Literal["cosine", "linear", "step", "constant"] | None = Field(
        default=None,
        description="how the learning rate falls: `cosine` (half a wave) or `linear` to 0, `step` to a tenth after half"
        " of the updates and a hundredth after three quarters, or `constant`; default: cosine (best), constant (paper)",
    )
    lambda_min: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="sparse updates: share of each layer's channels or neurons that learns from a sample without loss;"
        " 1: all learn, always. The last trained layer always learns whole",
    )
    lambda_max: float = Field(
        default=1.0, ge=0, le=1, description="likewise from a sample with the largest loss so far; between: linear"
    )
    selection: Literal["proportional", "top_k"] | None = Field(
        default=None,
        description="which ones learn: `proportional` by chance, those with more error oftener and none with a bias, or"
        " `top_k`, those with the largest error; default: proportional (best), top_k (paper)",
    )
    seed: int = Field(default=1, ge=0, lt=2**32, description="start of every random choice")

    @field_validator("lambda_max")
    @classmethod
    def _not_below(cls, value: float, info: ValidationInfo) -> float:
        least = info.data.get("lambda_min", 0.0)
        if value < least:
            message = f"must not be below lambda_min = {least}, which {value} is"
            raise ValueError(message)
        return value

    @property
    def rate(self) -> float:
        """Return the learning rate: the experiment's, or the recipe's."""
        if self.learning_rate is not None:
            return self.learning_rate
        return RECIPES[self.recipe].rate(self.configuration)

    @property
    def decay(self) -> str:
        """Return how the learning rate falls: as the experiment says, or the recipe."""
        return self.schedule or RECIPES[self.recipe].decay

    @property
    def sparsity(self) -> Sparsity:
        """Return which part of a layer learns from a sample."""
        selection = self.selection or RECIPES[self.recipe].selection
        return Sparsity(self.lambda_min, self.lambda_max, selection)


class Classifier(_Strict):
    """What a net of two layers learns on the host from the latent means of an autoencoder, with few labels."""

    labels_per_class: tuple[Annotated[int, Field(gt=0)], ...] = Field(
        default=(), strict=False, description="labelled samples of each class; one classifier for each number"
    )
    neurons: int = Field(default=400, gt=1, description="in both layers together, one per class in the second")
    configuration: Literal["uint8", "float32"] = Field(default="float32", description="number format")
    steps: int = Field(default=24_000, gt=0, description="training samples: the labelled ones, again and again")
    learning_rate: float = Field(default=1e-3, gt=0, description="learning rate")


class Run(_Strict):
    """Where it runs."""

    boards: tuple[BoardName, ...] = Field(
        default=("nrf52840",),
        strict=False,
        min_length=1,
        description="boards (`kilograd boards`), or folders of your own",
    )
    engine: EngineName = Field(
        default="builtin",
        description="`builtin`: the virtual chip; `host`: the same C code on the computer; `qemu`, `renode`: these;"
        " `hardware`: a board on a serial port",
    )
    code: str = Field(
        default="flash",
        description="where kernels and runtime lie; `itcm` (imxrt1062) and `ram` (others) cost as much RAM",
    )
    tensors: str = Field(default="ram", description="where feature maps and errors lie: else `ocram` (imxrt1062)")
    clock_hz: int | None = Field(default=None, gt=0, description="core's clock; default: the fastest of the board")
    kernels: Literal["fast", "small"] = Field(
        default="fast",
        description="`small`: those that need no more RAM than plain C; the same bits, slower",
    )
    port: str | None = Field(
        default=None, description="serial port of the engine `hardware`; default: the only one with a USB device"
    )
    time_limit_s: float = Field(
        default=60.0, gt=0, description="seconds of the chip's own time that one request may take"
    )


class Limits(_Strict):
    """What a board must not exceed: more is a failed check."""

    ram_bytes: int | None = Field(default=None, gt=0, description="RAM, stack included")
    flash_bytes: int | None = Field(default=None, gt=0, description="flash")
    time_ms: float | None = Field(default=None, gt=0, description="time of one training sample")


class Experiment(_Strict):
    """One experiment: everything that decides its result."""

    name: str = Field(description="name of the experiment and of its output folder", pattern=r"^[A-Za-z0-9_.-]+$")
    model: Model
    data: Data
    pretrain: Pretrain = Pretrain()
    prune: Prune = Prune()
    train: Train = Train()
    classifier: Classifier = Classifier()
    run: Run = Run()
    limits: dict[BoardName, Limits] = {}


def experiments_folder() -> Path:
    """Return the folder of the experiments that kilograd brings."""
    return paths.PACKAGE / "experiments"


def experiments() -> tuple[str, ...]:
    """Return the names of the experiments that kilograd brings."""
    return tuple(sorted(file.stem for file in experiments_folder().glob("*.toml")))


def parse_override(text: str) -> tuple[str, object]:
    """Split `key=value` of the command line; a value that is not TOML is a string."""
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        message = f"--set {text}: expected KEY=VALUE"
        raise KilogradError(message, "for instance --set train.epochs=2")
    try:
        parsed: object = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    return key.strip(), parsed


def load_experiment(source: str | Path, overrides: Mapping[str, object] | None = None) -> Experiment:
    """
    Read an experiment from a file, or by the name of one that kilograd brings.

    Args:
        source: path of a TOML file, or a name of `experiments()`.
        overrides: values by dotted key ("train.epochs") that replace the file's.

    """
    path = _find(source)
    text = _read(path)
    try:
        written = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line (\d+)", str(error))
        message = f"{path}:{at[1] if at else len(text.splitlines())}: {error}"
        raise KilogradError(message, "an experiment is a TOML file; text needs quotes") from error
    settings = _override(written, overrides or {})
    try:
        experiment = Experiment.model_validate(settings)
    except ValidationError as error:
        raise _explain(error, path, text, overrides or {}) from error
    return _resolve_data(_resolve_model(experiment, path), path)


def _find(source: str | Path) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    if str(source) in experiments():
        return experiments_folder() / f"{source}.toml"
    message = f"there is no experiment {source}"
    raise KilogradError(message, f"give the path of a TOML file, or one of: {', '.join(experiments())}")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read: {error}"
        raise KilogradError(message, "an experiment is a TOML file in UTF-8") from error


def _override(written: Mapping[str, Any], overrides: Mapping[str, object]) -> dict[str, Any]:
    settings = copy.deepcopy(dict(written))
    for dotted, value in overrides.items():
        *tables, key = dotted.split(".")
        table = settings
        for name in tables:
            inner = table.setdefault(name, {})
            if not isinstance(inner, dict):
                message = f"command line: {dotted}: {name} is not a table"
                raise KilogradError(message, f"tables: {', '.join(_tables())}")
            table = inner
        table[key] = value
    return settings


def _resolve_model(experiment: Experiment, path: Path) -> Experiment:
    """Make the path of a model relative to the current folder instead of the experiment's."""
    if not load.is_file(experiment.model.source):
        return experiment
    source = path.parent / experiment.model.source
    if not source.is_file():
        message = f"{path}: model.source: there is no file {source}"
        raise KilogradError(message, "the path of a model is relative to the experiment file")
    model = experiment.model.model_copy(update={"source": str(source)})
    return experiment.model_copy(update={"model": model})


def _resolve_data(experiment: Experiment, path: Path) -> Experiment:
    """Make the paths of the user's own data relative to the current folder instead of the experiment's."""
    name = _data_place(experiment.data.name, path, "data.name")
    data = experiment.data.model_copy(update={"name": name})
    if experiment.pretrain.data is None:
        return experiment.model_copy(update={"data": data})
    known = _data_place(experiment.pretrain.data, path, "pretrain.data")
    pretrain = experiment.pretrain.model_copy(update={"data": known})
    return experiment.model_copy(update={"data": data, "pretrain": pretrain})


def _data_place(name: str, path: Path, key: str) -> str:
    if not is_own(name):
        return name
    place = name if Path(name).is_absolute() else f"{path.parent}/{name}"  # keeps the slash that makes it a path
    if not Path(place).exists():
        message = f"{path}: {key}: there is no file or folder {place}"
        raise KilogradError(message, "the path of your own data is relative to the experiment file")
    return place


def _tables() -> tuple[str, ...]:
    return tuple(name for name in Experiment.model_fields if name != "name")


def _explain(error: ValidationError, path: Path, text: str, overrides: Mapping[str, object]) -> KilogradError:
    """Turn pydantic's first problem into place, key, and what would be right."""
    problem = min(error.errors(), key=lambda item: line_of(text, _keys(item["loc"])))
    keys = _keys(problem["loc"])
    key = ".".join(keys)
    given = any(key == dotted or key.startswith(f"{dotted}.") for dotted in overrides)
    place = "command line" if given else f"{path}:{line_of(text, keys)}"
    if problem["type"] == "extra_forbidden":
        return KilogradError(f"{place}: unknown key {key}", _suggest(keys))
    if problem["type"] == "missing":
        what = f"the table [{key}]" if key in _tables() else f"the key {key}"
        return KilogradError(f"{place}: {what} is missing", _describe(keys))
    return KilogradError(f"{place}: {key} {_complaint(problem)}", _describe(keys))


def _keys(location: tuple[int | str, ...]) -> tuple[str, ...]:
    """Return the keys of a place in the file: without list positions and pydantic's own marks."""
    return tuple(part for part in location if isinstance(part, str) and part != "[key]")


def _complaint(problem: Mapping[str, Any]) -> str:
    kind, given, context = problem["type"], problem["input"], problem.get("ctx", {})
    if kind in _EXPECTED:
        return f"must be {_EXPECTED[kind]}, not {given!r}"
    if kind == "literal_error":
        return f"must be {context['expected']}, not {given!r}"
    if kind == "value_error":
        return str(context["error"])
    message: str = problem["msg"]
    return f"= {given!r}: {message[0].lower()}{message[1:]}"


def _model_at(keys: tuple[str, ...]) -> type[BaseModel]:
    """Return the settings model that holds the last of the keys."""
    models: dict[str, type[BaseModel]] = {
        "model": Model, "data": Data, "pretrain": Pretrain, "prune": Prune, "train": Train,
        "classifier": Classifier, "run": Run, "limits": Limits,
    }  # fmt: skip
    return models.get(keys[0], Experiment) if len(keys) > 1 else Experiment


def _suggest(keys: tuple[str, ...]) -> str:
    known = list(_model_at(keys).model_fields)
    close = difflib.get_close_matches(keys[-1], known, n=1, cutoff=0.5)
    guess = f"did you mean {close[0]}? " if close else ""
    where = f"keys of [{'.'.join(keys[:-1])}]" if len(keys) > 1 else "top-level keys and tables"
    return f"{guess}{where}: {', '.join(known)}"


def _describe(keys: tuple[str, ...]) -> str:
    if keys[0] == "limits" and len(keys) < len(("limits", "board", "key")):
        return f"[limits.<board>] may hold: {', '.join(Limits.model_fields)}"
    model = _model_at(keys)
    if keys[-1] in model.model_fields and model.model_fields[keys[-1]].description:
        return f"{keys[-1]}: {model.model_fields[keys[-1]].description}"
    return _suggest(keys) if len(keys) > 1 else f"tables: {', '.join(_tables())}"


def reference_table() -> str:
    """Return the Markdown table of all keys, which the documentation shows."""
    rows = ["| Key | Default | Meaning |", "| --- | --- | --- |"]
    rows.append(f"| `name` | required | {Experiment.model_fields['name'].description} |")
    for name in _tables():
        model = _model_at((name, ""))
        prefix = "limits.<board>" if name == "limits" else name
        for key, field in model.model_fields.items():
            rows.append(f"| `{prefix}.{key}` | {_default(field.is_required(), field.default)} | {field.description} |")
    return "\n".join(rows) + "\n"


def _default(required: bool, value: object) -> str:  # noqa: FBT001 - a fact about the field, not a mode
    if required:
        return "required"
    if value is None:
        return ""
    return f"`{json.dumps(value)}`"
