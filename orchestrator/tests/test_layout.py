# SPDX-License-Identifier: Apache-2.0
"""The house rules that a machine can check: where files are, how they begin, how long they get."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOP_LEVEL = {
    "CHANGELOG.md", "CMakeLists.txt", "CONTRIBUTING.md", "DESIGN.md", "LICENSE", "README.md", "cmake", "emulation",
    "firmware", "kilograd", "orchestrator", "pyproject.toml", "robot_tests",
}  # fmt: skip
MADE = {"build", "results", "__pycache__"}  # what tools leave behind; .gitignore names it too
SOURCES = {
    ".py", ".c", ".h", ".S", ".cmake", ".toml", ".repl", ".resc", ".robot", ".resource", ".ld", ".j2", ".yaml",
    ".cs",
}  # fmt: skip
SCRIPTS = {"kilograd", "run", "CMakeLists.txt", ".clang-format", ".editorconfig"}
LONGEST = 500
LICENCE = "SPDX-License-Identifier: Apache-2.0"


def files(checkout: Path) -> Iterator[Path]:
    """Return every file that is not made by a tool."""
    for path in sorted(checkout.rglob("*")):
        parts = path.relative_to(checkout).parts
        hidden = any(part.startswith(".") for part in parts[:-1]) and parts[0] != ".ci"
        if path.is_file() and not hidden and not MADE.intersection(parts):
            yield path


def sources(checkout: Path) -> list[Path]:
    """Return every file that people write and a compiler, interpreter or tool reads; golden files are made."""
    found = [path for path in files(checkout) if path.suffix in SOURCES or path.name in SCRIPTS]
    return [path for path in found if "golden" not in path.parts]


def named(checkout: Path, paths: list[Path]) -> list[str]:
    """Return paths as a reader of a failed test wants them."""
    return [str(path.relative_to(checkout)) for path in paths]


def test_the_top_level_is_as_agreed(checkout: Path) -> None:
    """A newcomer must see the whole house at a glance."""
    found = {path.name for path in checkout.iterdir() if not path.name.startswith(".")} - MADE

    assert TOP_LEVEL == found


def begins_well(path: Path) -> bool:
    """Tell whether a file starts with the licence and then a sentence on what it is for."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines()[:12] if not line.startswith("#!")]
    head = " ".join(line.strip() for line in lines[1:])
    sentence = re.match(r'(?:"""|//|#|/\*|\{#-?|;)\s*\w[^\n]*?[.:](?:\s|"|$)', head)
    return bool(lines) and LICENCE in lines[0] and sentence is not None


def test_every_source_begins_with_the_licence_and_a_sentence(checkout: Path) -> None:
    """Each file says for itself what it may be used for and what it is for."""
    wrong = [path for path in sources(checkout) if not begins_well(path)]

    assert named(checkout, wrong) == []


def test_no_source_is_longer_than_a_subject(checkout: Path) -> None:
    """A file beyond 500 lines has two subjects."""
    wrong = [path for path in sources(checkout) if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST]

    assert named(checkout, wrong) == []


def test_nothing_is_left_for_later(checkout: Path) -> None:
    """An open end belongs into an issue, where it can be found."""
    later = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    text = [path for path in files(checkout) if path.suffix in SOURCES | {".md"} or path.name in SCRIPTS]
    wrong = [path for path in text if later.search(path.read_text(encoding="utf-8"))]

    assert named(checkout, wrong) == []


def test_every_text_ends_with_one_newline_and_has_no_trailing_blanks(checkout: Path) -> None:
    """What .editorconfig asks for, also from those whose editor does not read it."""
    wrong = []
    for path in [path for path in files(checkout) if path.suffix in SOURCES | {".md"} or path.name in SCRIPTS]:
        text = path.read_text(encoding="utf-8")
        if not text.endswith("\n") or text.endswith("\n\n") or re.search(r"[ \t]\n", text) or "\r" in text:
            wrong.append(path)

    assert named(checkout, wrong) == []


def test_documents_know_nothing_of_the_machine_they_were_written_on(checkout: Path) -> None:
    """No output and no text holds an absolute path of somebody's home or work folder."""
    private = re.compile(r"(?<![\w.])/(?:home|root|Users|work)/\w")
    text = [path for path in files(checkout) if path.suffix in SOURCES | {".md", ".json"} or path.name in SCRIPTS]
    wrong = [path for path in text if private.search(path.read_text(encoding="utf-8"))]

    assert named(checkout, wrong) == []
