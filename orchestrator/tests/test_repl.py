# SPDX-License-Identifier: Apache-2.0
"""The parser of Renode's platform format."""

from __future__ import annotations

import pytest

from kilograd.errors import KilogradError
from kilograd.platforms.repl import parse_repl


def test_an_entry_has_name_class_address_properties_and_interrupts() -> None:
    """The plain form, as in the board files."""
    text = 'uart0: UART.PL011 @ sysbus 0x4003_4000\n    size: 4_096\n    label: "a \\"b\\""\n    -> nvic@20\n'

    (entry,) = parse_repl(text, "x.repl")

    assert (entry.name, entry.kind, entry.bus) == ("uart0", "UART.PL011", "sysbus")
    assert entry.addresses == (0x40034000,)
    assert dict(entry.properties) == {"size": 4096, "label": 'a "b"'}
    assert entry.interrupts == (20,)
    assert entry.line == 1


def test_a_memory_may_be_registered_at_several_addresses() -> None:
    """The RP2040 shows its flash four times."""
    (entry,) = parse_repl("xip: Memory.MappedMemory @ { sysbus 0x10; sysbus 0x20 }\n    size: 16\n", "x.repl")

    assert entry.addresses == (0x10, 0x20)


def test_values_are_numbers_strings_booleans_and_names() -> None:
    """Every kind of value that Renode's own platforms use."""
    text = "cpu: CPU.CortexM @ sysbus\n  a: -3\n  b: true\n  c: false\n  d: nvic\n  e: '''two\nlines'''\n"

    (entry,) = parse_repl(text, "x.repl")

    assert dict(entry.properties) == {"a": -3, "b": True, "c": False, "d": "nvic", "e": "two\nlines"}
    assert entry.addresses == ()


def test_comments_are_skipped_but_not_inside_strings() -> None:
    """Both kinds of comment, and text that only looks like one."""
    text = '// first\na: M.X @ sysbus 0 /* here\nand here */\n    s: "// no comment" // but this\n    IRQ -> nvic@3\n'

    (entry,) = parse_repl(text, "x.repl")

    assert dict(entry.properties) == {"s": "// no comment"}
    assert entry.interrupts == (3,)


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("a: M.X\n", 1, "'@' after M.X"),
        ("a: M.X @ sysbus 0\n    size 4\n", 2, "':' or '->' after size"),
        ("a: M.X @ sysbus 0\n    size:\n\n\nb: M.Y @ sysbus 1\n", 2, "a value after size:"),
        ("a: M.X @ { sysbus 0, sysbus 1 }\n", 1, "a sign"),
        ("a: M.X @ { sysbus 0 sysbus 1 }\n", 1, "';' or '}'"),
        ("a: M.X @ sysbus 0 size: 4\n", 1, "the end of the line"),
        ("  a: M.X @ sysbus 0\n", 1, "start of a line"),
        ("a: M.X @ sysbus 0\n    size: 1\n    size: 2\n", 3, "size only once"),
        ("a: M.X @ sysbus 0\na: M.X @ sysbus 1\n", 2, "which line 1 has"),
        ("a: M.X @ sysbus 0\n    -> nvic@x\n", 2, "the number of the interrupt line"),
        ("a: M.X @ sysbus 0\n    size: ->\n", 2, "a number, a string"),
        ("a: M.X @\n", 1, "a bus"),
        ('using "other.repl"\n', 1, "':' after using"),
    ],
)
def test_anything_else_is_an_error_with_line_and_expectation(text: str, line: int, expected: str) -> None:
    """A typing error in a user's board must be found at its place."""
    with pytest.raises(KilogradError) as caught:
        parse_repl(text, "my.repl")

    assert caught.value.message.startswith(f"my.repl:{line}: expected ")
    assert expected in caught.value.message
