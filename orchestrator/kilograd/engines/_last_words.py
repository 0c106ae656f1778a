# SPDX-License-Identifier: Apache-2.0
"""Finds the report of the firmware's fault handler in what came over the UART."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT_BYTES = 4096
_FAULT = re.compile(rb"\nFAULT \w+ [^\n]*\n(?:FAULT[^\n]*\n)*")


class LastWords:
    """Remembers the end of a stream."""

    def __init__(self) -> None:
        self._end = b""

    def hear(self, data: bytes) -> None:
        """Take in what came."""
        self._end = (self._end + data)[-KEPT_BYTES:]

    def fault(self) -> str:
        """Return the report of a fault, or nothing."""
        found = _FAULT.search(self._end)
        return found[0].decode("ascii", "replace").strip() if found else ""

    def check(self, who: str, more: Callable[[], bytes]) -> None:
        """Raise what the fault handler has reported; `more` gives what follows within a moment, or nothing."""
        if not self.fault():
            return
        while data := more():
            self.hear(data)
        report = self.fault()
        message = f"fault on {who}: {report.split()[1]}"
        raise KilogradError(message, f"the firmware's fault handler said:\n{report}")
