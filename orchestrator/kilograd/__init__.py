# SPDX-License-Identifier: Apache-2.0
"""Train neural networks on Cortex-M microcontrollers, and prove it without a board."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Import `load` when it is asked for: `import kilograd` alone stays fast."""
    if name == "load":
        return importlib.import_module("kilograd.load")
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
