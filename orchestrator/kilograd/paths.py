# SPDX-License-Identifier: Apache-2.0
"""Where kilograd's own files and the user's caches are."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).parent


def share() -> Path:
    """Return the folder that holds firmware/, emulation/ and cmake/: inside a wheel, or the checkout."""
    packaged = PACKAGE / "_share"
    return packaged if packaged.is_dir() else PACKAGE.parent.parent


def cache() -> Path:
    """Return the user's cache folder (setting KILOGRAD_CACHE), made if it is missing."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kilograd"
    folder = Path(os.environ.get("KILOGRAD_CACHE", default)).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def data() -> Path:
    """Return the folder with data sets (setting KILOGRAD_DATA), one folder for each set."""
    return Path(os.environ.get("KILOGRAD_DATA", cache() / "data")).expanduser()
