# SPDX-License-Identifier: Apache-2.0
"""The verb `test`: kilograd's own tests."""

from __future__ import annotations

import typer

from kilograd.commands import _common
from kilograd.commands._options import Json

SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}


def test(context: typer.Context, as_json: Json = False) -> None:
    """
    Run kilograd's own tests: pytest, then the Robot suites.

    Arguments go to pytest; the Robot suites are then left out.
    """
    from kilograd import report, selftest

    outcome = selftest.run(context.args, quiet_stdout=as_json)
    if as_json:
        _common.show(report.to_json({kind: outcome.counts[kind] for kind in ("passed", "failed", "skipped")}))
    raise typer.Exit(outcome.code)
