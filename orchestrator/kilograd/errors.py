# SPDX-License-Identifier: Apache-2.0
"""The one error that users see: what went wrong, and the way out."""


class KilogradError(Exception):
    """A problem with the input or the surroundings (exit code 2)."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class CheckFailedError(KilogradError):
    """The thing under test failed: it does not fit, does not match, got worse (exit code 1)."""

    exit_code = 1
