# SPDX-License-Identifier: Apache-2.0
"""Download of data files: checked before anybody sees them, so a file in the cache is whole."""

from __future__ import annotations

import gzip
import hashlib
import tempfile
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from typing import IO

CHUNK = 1 << 16
TIMEOUT = 30

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class DataFile:
    """A file of a data set; an empty `url` means that kilograd cannot download it."""

    name: str
    url: str = ""
    md5: str = ""
    """Of the file as published."""
    content_md5: str = ""
    """Of what is inside a gzipped file: a mirror may have compressed it again."""
    sha256: str = ""
    """Of the file, where this was published instead."""


def download(file: DataFile, folder: Path, *, hint: str, progress: Progress | None = None) -> None:
    """Bring one file into the folder; on any failure the folder stays as it was."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".incoming-") as incoming:
            part = Path(incoming) / file.name
            _copy(file, part, progress)
            if not _is_published(file, part):
                message = f"{file.url} is not the published file: its checksum differs"
                raise KilogradError(message, hint)
            part.replace(folder / file.name)
    except (OSError, HTTPException, ValueError) as error:
        message = f"could not download {file.url}: {error}"
        raise KilogradError(message, hint) from error


def _copy(file: DataFile, part: Path, progress: Progress | None) -> None:
    with urllib.request.urlopen(file.url, timeout=TIMEOUT) as response, part.open("wb") as out:  # noqa: S310 - our URLs
        total = int(response.headers.get("Content-Length") or 0)
        done = 0
        while chunk := response.read(CHUNK):
            out.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(file.name, done, total)


def _is_published(file: DataFile, part: Path) -> bool:
    kind, published = ("sha256", file.sha256) if file.sha256 else ("md5", file.md5)
    with part.open("rb") as packed:
        if _digest(packed, kind) == published:
            return True
    if not file.content_md5:
        return False
    try:
        with gzip.open(part) as content:
            return _digest(content, "md5") == file.content_md5
    except (OSError, EOFError, zlib.error):
        return False


def _digest(stream: IO[bytes] | gzip.GzipFile, kind: str) -> str:
    digest = hashlib.new(kind, usedforsecurity=False)  # most published checksums are MD5
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
