# SPDX-License-Identifier: Apache-2.0
"""Reads the part of Renode's platform description format (.repl) that kilograd's boards use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Value = int | bool | str

_TOKEN = re.compile(
    r"""
      (?P<blank>[ \t\r\n]+ | //[^\n]* | /\*.*?\*/)
    | (?P<string>'''.*?''' | "(?:[^"\\\n]|\\.)*")
    | (?P<number>-?0[xX][0-9a-fA-F_]+ | -?[0-9][0-9_]*)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
    | (?P<sign>->|[:@{};])
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Entry:
    """One peripheral: `name: kind @ bus address`, its `key: value` lines and its interrupt lines."""

    name: str
    kind: str
    bus: str
    addresses: tuple[int, ...]
    properties: Mapping[str, Value]
    interrupts: tuple[int, ...]
    line: int


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    line: int
    column: int


def read_repl(path: Path) -> tuple[Entry, ...]:
    """Return the entries of a .repl file in the order of the file."""
    return parse_repl(path.read_text(encoding="utf-8"), str(path))


def parse_repl(text: str, name: str) -> tuple[Entry, ...]:
    """Return the entries of a platform description; `name` stands in error messages."""
    parser = _Parser(_tokens(text, name), name)
    entries: list[Entry] = []
    seen: dict[str, int] = {}
    while not parser.at_end():
        entry = parser.entry()
        if entry.name in seen:
            _fail(name, entry.line, f"a name other than {entry.name}, which line {seen[entry.name]} has", entry.name)
        seen[entry.name] = entry.line
        entries.append(entry)
    return tuple(entries)


def _fail(name: str, line: int, expected: str, found: str) -> NoReturn:
    message = f"{name}:{line}: expected {expected}, found {found!r}"
    hint = "kilograd reads a part of Renode's platform format: see the boards in emulation/platforms"
    raise KilogradError(message, hint)


def _tokens(text: str, name: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(text):
        line = text.count("\n", 0, position) + 1
        column = position - (text.rfind("\n", 0, position) + 1)
        match = _TOKEN.match(text, position)
        if match is None:
            _fail(name, line, "a name, a value or a sign (: @ { } ; ->)", text[position:].split("\n", 1)[0][:30])
        if match.lastgroup is not None and match.lastgroup != "blank":
            tokens.append(_Token(match.lastgroup, match.group(), line, column))
        position = match.end()
    return tokens


class _Parser:
    """Walks over the tokens of one file."""

    def __init__(self, tokens: list[_Token], name: str) -> None:
        self._tokens = tokens
        self._name = name
        self._next = 0

    def at_end(self) -> bool:
        return self._next == len(self._tokens)

    def entry(self) -> Entry:
        """Read `name: Class @ registration` and the indented lines below it."""
        first = self._take("name", "the name of a peripheral")
        if first.column != 0:
            _fail(self._name, first.line, "a peripheral at the start of a line", first.text)
        self._take(":", f"':' after {first.text}")
        kind = self._take("name", "the class of the peripheral").text
        self._take("@", f"'@' after {kind}")
        bus, addresses = self._registrations()
        properties: dict[str, Value] = {}
        interrupts: list[int] = []
        while not self.at_end() and self._tokens[self._next].column > 0:
            self._attribute(properties, interrupts)
        return Entry(first.text, kind, bus, addresses, MappingProxyType(properties), tuple(interrupts), first.line)

    def _registrations(self) -> tuple[str, tuple[int, ...]]:
        if not self._is("{"):
            bus, address = self._registration()
            return bus, () if address is None else (address,)
        self._take("{", "'{'")
        addresses: list[int] = []
        while True:
            bus, address = self._registration()
            if address is None:
                token = self._tokens[self._next - 1]
                _fail(self._name, token.line, f"an address after {bus}", token.text)
            addresses.append(address)
            if self._is("}"):
                break
            self._take(";", "';' or '}'")
        self._take("}", "'}'")
        return bus, tuple(addresses)

    def _registration(self) -> tuple[str, int | None]:
        bus = self._take("name", "a bus, such as sysbus")
        if self.at_end() or self._tokens[self._next].kind != "number":
            return bus.text, None
        return bus.text, _integer(self._take("number", "an address").text)

    def _attribute(self, properties: dict[str, Value], interrupts: list[int]) -> None:
        first = self._tokens[self._next]
        if first.line == self._tokens[self._next - 1].line:
            _fail(self._name, first.line, "the end of the line", first.text)
        if first.kind == "name":
            self._next += 1
        if self._is("->"):
            self._take("->", "'->'")
            self._take("name", "an interrupt controller")
            self._take("@", "'@' and the number of the interrupt line")
            interrupts.append(_integer(self._take("number", "the number of the interrupt line").text))
            return
        if first.kind != "name":
            _fail(self._name, first.line, "'key: value' or '-> nvic@number'", first.text)
        self._take(":", f"':' or '->' after {first.text}")
        if first.text in properties:
            _fail(self._name, first.line, f"{first.text} only once", first.text)
        properties[first.text] = self._value(first)

    def _value(self, key: _Token) -> Value:
        if not self.at_end() and self._tokens[self._next].line > key.line:
            _fail(self._name, key.line, f"a value after {key.text}:", "the end of the line")
        token = self._take(None, "a number, a string, true, false or a name")
        if token.kind == "number":
            return _integer(token.text)
        if token.kind == "string":
            return _string(token.text)
        if token.kind == "name":
            return {"true": True, "false": False}.get(token.text, token.text)
        _fail(self._name, token.line, "a number, a string, true, false or a name", token.text)

    def _is(self, sign: str) -> bool:
        return not self.at_end() and self._tokens[self._next].text == sign

    def _take(self, kind_or_sign: str | None, expected: str) -> _Token:
        """Return the next token if it is of the kind, or is the sign; None takes any."""
        if self.at_end():
            line = self._tokens[-1].line
            _fail(self._name, line, expected, "the end of the file")
        token = self._tokens[self._next]
        if kind_or_sign not in (None, token.kind, token.text):
            _fail(self._name, token.line, expected, token.text)
        self._next += 1
        return token


def _integer(text: str) -> int:
    digits = text.replace("_", "")
    return int(digits, 16 if "x" in digits.lower() else 10)


def _string(text: str) -> str:
    if text.startswith("'''"):
        return text[3:-3]
    return re.sub(r"\\(.)", r"\1", text[1:-1])
