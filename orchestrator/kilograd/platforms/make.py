# SPDX-License-Identifier: Apache-2.0
"""Makes the folder of a new board from that of another one."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from kilograd import paths
from kilograd.engines import engine_names
from kilograd.errors import KilogradError
from kilograd.platforms.board import boards, load_board

if TYPE_CHECKING:
    from kilograd.platforms.board import Board

NAME = re.compile(r"[a-z][a-z0-9_]{1,31}")
RESERVED = {"all", *engine_names()}
"""Reports name boards and engines side by side."""


def make_board(name: str, like: str, parent: Path | None) -> Path:
    """
    Return the new folder of a board: whole, or there is none.

    Args:
        name: of the board, and of its folder.
        like: name or folder of the board that it starts as.
        parent: where the folder goes; default: among the boards of this checkout, where it is known by its name.

    """
    _check_name(name)
    board = load_board(like)
    parent = _own_boards() if parent is None else parent
    folder = parent / name
    if folder.exists():
        message = f"{folder} is there already"
        raise KilogradError(message, "choose another name, or remove it first")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=f".{name}.") as temporary:
            fresh = Path(temporary) / name
            _fill(fresh, name, board)
            fresh.rename(folder)
    except OSError as error:
        message = f"{folder} cannot be made: {error.strerror}"
        raise KilogradError(message, "choose another place with --out") from error
    return folder


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        message = f"{name!r} cannot be the name of a board"
        raise KilogradError(message, "take 2 to 32 small letters, digits and _, a letter first")
    if name in boards():
        message = f"there is a board {name} already"
        raise KilogradError(message, f"boards: {', '.join(boards())}; choose another name")
    if name in RESERVED:
        message = f"{name} means something else already"
        raise KilogradError(message, "choose another name")


def _own_boards() -> Path:
    """Return where boards are known by name: in a checkout. An installed kilograd is no place for one's own files."""
    share = paths.share()
    return Path() if share.is_relative_to(paths.PACKAGE) else share / "emulation" / "platforms"


def _fill(folder: Path, name: str, board: Board) -> None:
    """Write the files under the new name; only the one whom the board is copied from keeps its name in sources."""
    shutil.copytree(board.folder, folder, ignore=shutil.ignore_patterns(".*"))
    for file in sorted(folder.iterdir()):
        if file.stem == board.name:
            renamed = file.rename(file.with_stem(name))
            if renamed.suffix == ".resc":
                _replace(renamed, {rf"\b{re.escape(board.name)}\b": name})
    title = board.title.replace("\\", "").replace('"', "")
    own = {r"(?m)^title = .*$": f'title = "{name}, made from {title}"', r"(?m)^qemu_machine = .*\n": ""}
    _replace(folder / "board.toml", own)


def _replace(file: Path, changes: dict[str, str]) -> None:
    text = file.read_text(encoding="utf-8")
    for before, after in changes.items():
        text = re.sub(before, lambda _, after=after: after, text)  # type: ignore[misc]
    file.write_text(text, encoding="utf-8")
