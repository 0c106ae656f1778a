# SPDX-License-Identifier: Apache-2.0
"""The verb `check`: what firmware does to its memory."""

from __future__ import annotations

from dataclasses import asdict

from kilograd import console
from kilograd.commands import _common
from kilograd.commands._options import Board, Json, Out, Quiet, Seed, Settings, Source


def check(
    experiment: Source,
    board: Board = "nrf52840",
    out: Out = None,
    seed: Seed = None,
    settings: Settings = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """
    Watch every access to RAM while one minibatch trains.

    Reads of bytes that nothing has written are defects (exit code 1): feature maps before their first use and variables
    on the stack. Misaligned accesses cost cycles on Cortex-M4 and M7; a Cortex-M0+ faults at once.
    """
    from kilograd import report
    from kilograd.errors import CheckFailedError
    from kilograd.memory_check import check_memory

    loaded = _common.load_experiment(experiment, [board], None, seed, settings)
    folder, say = _common.out_folder(out, loaded), console.progress(quiet=quiet)
    seen = check_memory(loaded, out=folder, board=loaded.run.boards[0], progress=say)
    stack = {"bytes": seen.stack_bytes, "reserved": seen.stack_reserved, "where": seen.stack_where}
    rows = [{**asdict(finding), "address": f"{finding.address:#010x}"} for finding in seen.findings]
    if as_json:
        _common.show(report.to_json({"board": seen.board, "samples": seen.samples, "findings": rows, "stack": stack}))
    else:
        if rows:
            _common.show_list("findings", rows, as_json=False)
        _common.show(f"stack: {seen.stack_bytes:,} of {seen.stack_reserved:,} bytes, in {seen.stack_where}")
        _common.show(f"{len(seen.unwritten)} reads of unwritten memory, {seen.samples} samples on {seen.board}")
    _common.fail(
        [
            CheckFailedError(
                f"{finding.where} reads {finding.bytes} bytes from {finding.address:#010x} that nothing has written",
                "what it computes depends on what was there before; write it first",
            )
            for finding in seen.unwritten
        ]
    )
