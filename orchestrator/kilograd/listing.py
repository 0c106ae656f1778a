# SPDX-License-Identifier: Apache-2.0
"""Folders as registries: every module of a package is one member, except those with a leading underscore."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from types import ModuleType


def names(package: str) -> tuple[str, ...]:
    """Return the members of a package, sorted."""
    paths = importlib.import_module(package).__path__
    found = (module for module in pkgutil.iter_modules(paths) if not module.ispkg)
    return tuple(sorted(module.name for module in found if not module.name.startswith("_")))


def member(package: str, kind: str, name: str) -> ModuleType:
    """Import one member of a package; a wrong name lists the right ones."""
    known = names(package)
    if name not in known:
        message = f"unknown {kind}: {name}"
        raise KilogradError(message, f"known: {', '.join(known)}")
    return importlib.import_module(f"{package}.{name}")
