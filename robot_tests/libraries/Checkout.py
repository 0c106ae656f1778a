# SPDX-License-Identifier: Apache-2.0
"""Makes the kilograd of this checkout importable, whichever Python runs Robot: resources import it first."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from robot.api.deco import keyword, library

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("kilograd", "numpy", "unicorn", "elftools", "pydantic", "jinja2")

sys.path.insert(0, str(ROOT / "orchestrator"))


@library(scope="GLOBAL")
class Checkout:
    """Says what is missing before anything fails because of it."""

    @keyword
    def kilograd_should_be_complete(self) -> None:
        """Fail with the way out where Robot runs in a Python without kilograd's packages."""
        missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
        if missing:
            message = f"this Python lacks {', '.join(missing)}: run {ROOT}/kilograd once, then .venv/bin/robot"
            raise AssertionError(message)
