# SPDX-License-Identifier: Apache-2.0
"""Where a key stands in the text of a TOML file: tomllib reads values but forgets their lines."""

from __future__ import annotations

import re

_TABLE = re.compile(r"\s*\[\[?(?P<name>[^\[\]]+)\]")
_KEY = re.compile(r"\s*(?P<name>[\w.\"' -]+?)\s*=")


def line_of(text: str, keys: tuple[str, ...]) -> int:
    """Return the line of a key, or of the innermost table around it that is written out; line 1 if there is none."""
    table: tuple[str, ...] = ()
    line, depth = 1, 0
    for number, content in enumerate(text.splitlines(), start=1):
        if header := _TABLE.match(content):
            path = table = _split(header["name"])
        elif key := _KEY.match(content):
            path = (*table, *_split(key["name"]))
        else:
            continue
        common = min(len(path), len(keys))
        if common > depth and path[:common] == keys[:common]:
            line, depth = number, common
    return line


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip(" \"'") for part in dotted.split("."))
