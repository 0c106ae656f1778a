# SPDX-License-Identifier: Apache-2.0
"""
Data sets, one file each: found on this machine, or downloaded once and checked.

Data of the user's own is a path instead of a name.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from kilograd import listing, paths
from kilograd.data._download import download
from kilograd.errors import KilogradError
from kilograd.types import Dataset, Samples

if TYPE_CHECKING:
    import numpy as np

    from kilograd.data._download import DataFile, Progress
    from kilograd.types import Shape


class Source(Protocol):
    """
    What every file of this folder offers; its docstring names source, licence and citation.

    A file may name its FOLDER where sets share their files; else the folder has the name of the set.
    """

    SHAPE: Shape
    """One sample."""
    HOME: str
    """Where people get the data."""
    FILES: tuple[DataFile, ...]
    """What must lie in the folder of the data set."""

    def load(self, folder: Path) -> Dataset:
        """Read the files."""


def datasets() -> tuple[str, ...]:
    """Return the names of all data sets."""
    return listing.names(__name__)


def is_own(name: str) -> bool:
    """Tell whether this is the path of the user's own data: it has a slash, or ends with .npz."""
    return "/" in name or name.endswith(".npz")


def load_dataset(name: str, *, progress: Progress | None = None) -> Dataset:
    """
    Return a data set from KILOGRAD_DATA or the cache, or download it into the cache; or the user's own.

    Args:
        name: one of `datasets()`, or a path (see `_own.py`); a wrong name lists the right ones.
        progress: is called with (file, bytes so far, bytes in all or 0 if unknown) while a file comes in.

    """
    if is_own(name):
        from kilograd.data._own import load_own  # noqa: PLC0415 - only here are its readers needed

        return load_own(Path(name))
    source = cast("Source", listing.member(__name__, "data set", name))
    place = getattr(source, "FOLDER", name)
    cached = paths.cache() / "data" / place
    for folder in (paths.data() / place, cached):
        if all((folder / file.name).is_file() for file in source.FILES):
            return source.load(folder)
    missing = [file.name for file in source.FILES if not (cached / file.name).is_file()]
    hint = f"get {', '.join(missing)} from {source.HOME} and put them into {paths.data() / place}"
    if not all(file.url for file in source.FILES):
        message = f"data set {name} is not on this machine, and cannot be downloaded by kilograd"
        raise KilogradError(message, hint)
    for file in source.FILES:
        if file.name in missing:
            download(file, cached, hint=hint, progress=progress)
    return source.load(cached)


def take(samples: Samples, count: int, rng: np.random.Generator) -> Samples:
    """Return that many samples, drawn without replacement, in random order."""
    if not 0 < count <= len(samples):
        message = f"cannot take {count} samples of {len(samples)}"
        raise KilogradError(message, f"take between 1 and {len(samples)}")
    chosen = rng.permutation(len(samples))[:count]
    return Samples(samples.x[chosen], samples.y[chosen])
