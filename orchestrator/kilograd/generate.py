# SPDX-License-Identifier: Apache-2.0
"""Print the C tables of a program: arrays, structures, step lists, the model."""

from __future__ import annotations

import re
import textwrap
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jinja2
import numpy as np

from kilograd.errors import KilogradError
from kilograd.paths import PACKAGE
from kilograd.types import PHASES, Address, Array, Function

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from kilograd.types import Buffer, Plan, Program, Record, Value

WIDTH = 100
TEMPLATE = "model.c.j2"


@dataclass(frozen=True)
class CArray:
    """An array as the template prints it."""

    name: str
    ctype: str
    count: int
    bytes: int
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class CRecord:
    """A structure as the template prints it."""

    name: str
    ctype: str
    value: str


def generate(program: Program, plan: Plan, out: Path) -> Path:
    """Write model.c into a folder and return its path; an unchanged file is left alone."""
    text = render(program, plan)
    path = out / "model.c"
    out.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        fresh = path.with_suffix(".tmp")
        fresh.write_text(text)
        fresh.replace(path)
    return path


def render(program: Program, plan: Plan) -> str:
    """Return the text of model.c; its id is a checksum over all of it."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PACKAGE / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - this prints C, not HTML
    )
    template = environment.get_template(TEMPLATE)
    context = _context(program, plan)
    model_id = zlib.crc32(template.render(**context, id="").encode())
    return template.render(**context, id=f"0x{model_id:08x}u")


def model_id(source: Path) -> int:
    """Return the id of a model from its model.c: the firmware made of it says the same."""
    found = re.search(r"\.id = (0x[0-9a-f]{8})u", source.read_text())
    if found is None:
        message = f"{source} has no model id"
        raise KilogradError(message, "it is damaged: remove it, and build again")
    return int(found[1], 16)


def _context(program: Program, plan: Plan) -> dict[str, object]:
    segments = {
        segment: [_array(buffer) for buffer in program.buffers.values() if buffer.segment == segment]
        for segment in ("features", "trained", "gradients", "weights")
    }
    phases = [
        {"name": phase, "steps": [(step.function, step.args.name) for step in program.phases[phase]]}
        for phase in PHASES
    ]
    return {
        "name": program.name,
        "features_bytes": max(plan.features, 1),
        "segments": segments,
        "offsets": plan.offsets,
        "mutable": [_record(record, program) for record in program.records if record.mutable],
        "constant": [_record(record, program) for record in program.records if not record.mutable],
        "phases": phases,
        "steps": sum(len(program.phases[phase]) for phase in PHASES),
        "state": [_region(name, program) for name in program.state],
        "input": f"t_{program.input}",
        "input_bytes": program.buffers[program.input].bytes,
        "logits": f"t_{program.logits}",
        "classes": program.classes,
        "output": f"t_{program.output}",
        "output_bytes": program.buffers[program.output].bytes,
        "sparse": len(program.sparse),
    }


def _region(name: str, program: Program) -> tuple[str, str]:
    """Return a part of the state as C: its address and its size."""
    buffer = program.buffers.get(name)
    if buffer is None:
        return f"&{name}", f"sizeof({name})"
    if buffer.segment == "features":
        return f"t_{name}", str(buffer.bytes)
    return name, f"sizeof({name})"


def _array(buffer: Buffer) -> CArray:
    rows = _rows(buffer.data) if buffer.data is not None else ()
    return CArray(buffer.name, buffer.ctype, buffer.count, buffer.bytes, rows)


def _rows(data: NDArray[np.generic]) -> tuple[str, ...]:
    values = data.reshape(-1).tolist()
    words = (_number(value) for value in values)
    return tuple(textwrap.wrap(", ".join(words), WIDTH - 4, break_long_words=False, break_on_hyphens=False))


def _record(record: Record, program: Program) -> CRecord:
    if record.ctype == "float":
        return CRecord(record.name, record.ctype, _number(float(_scalar(record.values["value"]))))
    return CRecord(record.name, record.ctype, _members(record.values, program, indent="    "))


def _members(values: Mapping[str, Value], program: Program, indent: str) -> str:
    lines = (f"{indent}.{name} = {_expression(value, program)}," for name, value in values.items())
    return "\n".join(("{", *lines, "}"))


def _expression(value: Value, program: Program) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, Array):
        return f"t_{value.name}" if program.buffers[value.name].segment == "features" else value.name
    if isinstance(value, Address):
        return f"&{value.name}"
    if isinstance(value, Function):
        return value.name
    if isinstance(value, int | float):
        return _number(value)
    return "{" + ", ".join(f".{name} = {_expression(member, program)}" for name, member in value.items()) + "}"


def _scalar(value: Value) -> float:
    if not isinstance(value, int | float):
        message = f"a number was expected, got {value!r}"
        raise TypeError(message)
    return value


def _number(value: float) -> str:
    """Return a C constant: floats in hexadecimal, so that the text is exact."""
    if isinstance(value, int):
        return str(value)
    mantissa, exponent = float(np.float32(value)).hex().split("p")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}p{exponent}f"
