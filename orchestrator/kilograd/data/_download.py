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
    """A gzipped file of a data set; an empty `url` means that kilograd cannot download it."""

    name: str
    url: str = ""
    md5: str = ""
    """Of the file as published."""
    content_md5: str = ""
    """Of what is inside: a mirror may have compressed it again."""


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
    with part.open("rb") as packed:
        if _md5(packed) == file.md5:
            return True
    try:
        with gzip.open(part) as content:
            return _md5(content) == file.content_md5
    except (OSError, EOFError, zlib.error):
        return False


def _md5(stream: IO[bytes] | gzip.GzipFile) -> str:
    digest = hashlib.md5(usedforsecurity=False)  # the published checksums are MD5
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
