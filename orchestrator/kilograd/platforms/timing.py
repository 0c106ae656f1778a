# SPDX-License-Identifier: Apache-2.0
"""Reads emulation/timing: which class an instruction belongs to, and what each class costs on a core."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kilograd import paths
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DEFAULT = "default"
"""The class of instructions that no pattern names."""

READ, WRITE, EARLY, LATE = 1, 2, 4, 8
FIRST_FLOAT = 16

# What a pattern's letter says of the register: (first register of its bank, access).
LETTERS: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys("de", (0, WRITE)),
    **dict.fromkeys("nm", (0, READ)),
    **dict.fromkeys("su", (0, READ | EARLY)),
    **dict.fromkeys("ab", (0, READ | LATE)),
    **dict.fromkeys("xz", (0, READ | WRITE)),
    **dict.fromkeys("gh", (0, READ | WRITE | LATE)),
    "y": (0, READ | EARLY | WRITE),
    "v": (FIRST_FLOAT, WRITE),
    **dict.fromkeys("pq", (FIRST_FLOAT, READ)),
    "o": (FIRST_FLOAT, READ | LATE),
    "w": (FIRST_FLOAT, READ | WRITE | LATE),
}
Flow = Literal["straight", "conditional", "always", "indirect", "it"]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Operand:
    """A register of an instruction: where the bits of its number are, most significant first."""

    bits: tuple[int, ...]
    first: int
    access: int


@dataclass(frozen=True)
class Row:
    """One encoding: an instruction is of this row if `code & mask == value`."""

    mask: int
    value: int
    list: int
    number: int
    kind: str
    operands: tuple[Operand, ...]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InstructionClass(_Strict):
    """Instructions that a core treats alike."""

    flow: Flow = "straight"
    fpu: bool = False
    literal: bool = False
    accesses: int = Field(default=0, ge=0, le=255)


class EarlyOut(_Strict):
    """How long a division takes by its operands, in cycles."""

    zero: int = Field(gt=0, le=255)
    smaller: int = Field(gt=0, le=255)
    first: int = Field(gt=0, le=255)
    bits_per_cycle: int = Field(gt=0, le=32)
    is_signed: bool


class Cost(_Strict):
    """What one class costs on one core, in cycles; the core's file says what the words mean."""

    cycles: int = Field(ge=0, le=255)
    per_register: int = Field(default=0, ge=0, le=255)
    width: int = Field(default=1, ge=1, le=16)
    taken: int = Field(default=0, ge=0, le=255)
    latency: int | None = Field(default=None, ge=0, le=255)
    early: int = Field(default=0, ge=0, le=255)
    late: int = Field(default=0, ge=0, le=255)
    after_load: int = Field(default=0, ge=0, le=255)
    follow: int = Field(default=0, ge=0, le=255)
    load: bool = False
    folds: bool = False
    unit: str = ""
    first_only: bool = False
    not_with: tuple[str, ...] = ()
    early_out: EarlyOut | None = None
    source: str


class Fetch(_Strict):
    """How a core fetches behind branches: cycles beyond those of the branch itself, and targets it remembers."""

    unaligned_target: int = Field(default=0, ge=0)
    targets: int = Field(default=0, ge=0)
    mispredicted: int = Field(default=0, ge=0)
    unknown_target: int = Field(default=0, ge=0)
    source: str = ""


class CoreTiming(_Strict):
    """A core: unicorn's name for it, its CPUID, and its costs by class."""

    unicorn: str
    cpuid: int
    fpu: bool
    missing: tuple[str, ...] = ()
    """Classes that the core does not have although unicorn would run them."""
    units: dict[str, int] = {}
    fetch: Fetch = Fetch()
    default: Cost
    costs: dict[str, Cost]


class _Patterns(_Strict):
    halfword: tuple[tuple[str, str], ...]
    word: tuple[tuple[str, str], ...]


class _Thumb(_Strict):
    classes: dict[str, InstructionClass]
    patterns: _Patterns


@dataclass(frozen=True)
class Timing:
    """The instruction table and one core's costs; class 0 is the default."""

    classes: tuple[str, ...]
    kinds: Mapping[str, InstructionClass]
    halfword: tuple[Row, ...]
    word: tuple[Row, ...]
    core: CoreTiming

    def cost(self, name: str) -> Cost:
        """Return what a class costs on this core."""
        return self.core.costs.get(name, self.core.default)


def load_timing(core: str) -> Timing:
    """Return the timing of a core by its name, such as cortex-m4."""
    folder = paths.share() / "emulation" / "timing"
    thumb = _read(folder / "thumb.toml", _Thumb)
    costs = _read(folder / f"{core}.toml", CoreTiming)
    unknown = [name for name in (*costs.costs, *costs.missing) if name not in thumb.classes]
    unknown += [kind for _, kind in (*thumb.patterns.halfword, *thumb.patterns.word) if kind not in thumb.classes]
    named = [unit for cost in costs.costs.values() for unit in (cost.unit, *cost.not_with)]
    unknown += [unit for unit in named if unit and unit not in costs.units]
    if unknown:
        message = f"{folder}: {core}.toml or thumb.toml names {', '.join(sorted(set(unknown)))}, which is not defined"
        raise KilogradError(message, "classes are defined in thumb.toml, units in the core's file")
    return Timing(
        classes=(DEFAULT, *thumb.classes),
        kinds={DEFAULT: InstructionClass(), **thumb.classes},
        halfword=tuple(parse_pattern(text, kind, 16) for text, kind in thumb.patterns.halfword),
        word=tuple(parse_pattern(text, kind, 32) for text, kind in thumb.patterns.word),
        core=costs,
    )


def parse_pattern(text: str, kind: str, bits: int) -> Row:
    """Return the row of a pattern; thumb.toml explains how patterns are written."""
    letters = text.replace(" ", "")
    allowed = {*"01.lLk", *LETTERS, *(letter.upper() for letter, (first, _) in LETTERS.items() if first)}
    if len(letters) != bits or set(letters) - allowed:
        message = f"thumb.toml: pattern {text!r} of class {kind} is not {bits} known letters"
        raise KilogradError(message)

    def places(wanted: str) -> tuple[int, ...]:
        return tuple(bits - 1 - index for index, letter in enumerate(letters) if letter in wanted)

    def mask(wanted: str) -> int:
        return sum(1 << place for place in places(wanted))

    operands = tuple(
        Operand(places(letter) + (places(letter.upper()) if first else ()), first, access)
        for letter, (first, access) in LETTERS.items()
        if letter in letters
    )
    return Row(mask("01L"), mask("1L"), mask("lL"), mask("k"), kind, operands)


def _read(path: Path, model: type[Model]) -> Model:
    try:
        return model.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        message = f"{path.stem} has no timing table"
        known = sorted(file.stem for file in path.parent.glob("cortex-*.toml"))
        raise KilogradError(message, f"cores: {', '.join(known)}") from error
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        message = f"{path}: {error}"
        raise KilogradError(message) from error
