# SPDX-License-Identifier: Apache-2.0
"""Archives: the members of .zip and .tar.gz files, read in memory and never unpacked."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kilograd.data.formats.checks import AGAIN
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DAMAGE = (
    OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError,
)  # fmt: skip
"""What the standard library raises for a damaged archive."""


def zip_names(path: Path) -> list[str]:
    """Return the names of the files in a .zip, in its order."""
    with _explained(path), zipfile.ZipFile(path) as archive:
        return [member.filename for member in archive.infolist() if not member.is_dir()]


def members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the wanted files, in the order of the archive; names use slashes and no leading ./."""
    read = _zip_members if path.suffix == ".zip" else _tar_members
    with _explained(path):
        yield from read(path, wanted)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        message = f"{path}: no such file"
        raise KilogradError(message) from error
    except DAMAGE as error:
        message = f"{path}: not an archive, or damaged: {error}"
        raise KilogradError(message, AGAIN) from error


def named_members(path: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """Return the content of files that must be there."""
    found = dict(members(path, names.__contains__))
    missing = [name for name in names if name not in found]
    if missing:
        message = f"{path}: {missing[0]} is not inside"
        raise KilogradError(message, AGAIN)
    return found


def _zip_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir() and wanted(member.filename):
                yield member.filename, archive.read(member)


def _tar_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path, "r|gz") as archive:  # a stream: a large archive is read once
        for member in archive:
            name = member.name.removeprefix("./")
            content = archive.extractfile(member) if member.isreg() and wanted(name) else None
            if content is not None:
                yield name, content.read()
