# SPDX-License-Identifier: Apache-2.0
"""A watch on memory: what it finds, what it leaves as it is; and traces of what ran."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from chip.programs import start
from command_line import QUICK, Cli
from kilograd import memory_check
from kilograd.engines.builtin import Finding
from kilograd.profile import write_trace

if TYPE_CHECKING:
    from pathlib import Path

    from kilograd.engines.builtin import Watched

M0, M4, M7 = "rp2040", "nrf52840", "imxrt1062"
FRESH = (0x20001000, 0x20001100)


def watch(code: str, name: str, folder: Path) -> Watched:
    """Run code under a watch with 256 fresh bytes, r0 points to them."""
    with start(f"ldr r0, =0x20001000\nmovs r1, #1\n{code}", name, folder) as chip:
        chip.start_watch([FRESH])
        assert "has halted" in chip.advance(100_000)
        return chip.watched()


@pytest.mark.parametrize("name", [M0, M4, M7])
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ldr r2, [r0, #8]", [(8, 4)]),
        ("str r1, [r0, #8]\nldr r2, [r0, #8]\nldrb r2, [r0, #11]", []),
        ("strb r1, [r0, #8]\nldr r2, [r0, #8]", [(9, 3)]),
        ("strh r1, [r0, #8]\nldrb r2, [r0, #10]", [(10, 1)]),
        ("b 2f\n2: ldrb r2, [r0]\nb 3f\n3: ldrb r2, [r0]", [(0, 1)]),  # each byte once
        ("ldr r2, [r0, #0x7C]\nsubs r0, #16\nldr r2, [r0]", [(0x7C, 4)]),  # below the range: not fresh
    ],
)
def test_reads_of_what_nothing_has_written_are_found(
    name: str, code: str, expected: list[tuple[int, int]], tmp_path: Path
) -> None:
    """Byte by byte; a read is told once, where it was first."""
    found = watch(code, name, tmp_path).findings

    assert expected == [(one.address - FRESH[0], one.bytes) for one in found]
    assert {"unwritten"} >= {one.kind for one in found}


@pytest.mark.parametrize("name", [M0, M4, M7])
def test_what_is_left_on_the_stack_is_unwritten_again(name: str, tmp_path: Path) -> None:
    """A variable without a first value reads what another function has left there."""
    call = "bl 5f\nb 6f\n5: push {r1-r4}\nldr r2, [sp, #4]\nadd sp, #16\nbx lr\n6:"

    good = watch(call + "push {r1-r4}\nldr r2, [sp]", name, tmp_path)
    bad = watch(call + "sub sp, #16\nldr r2, [sp, #4]\nldr r2, [sp, #8]", name, tmp_path)

    assert ((), 16) == (good.findings, good.stack_bytes)
    (found,) = bad.findings
    assert ("unwritten", 8, 2) == (found.kind, found.bytes, found.count)
    assert re.fullmatch(r".* \(program\.s:\d+\)", found.where)


def test_misaligned_accesses_are_counted_where_the_core_allows_them(tmp_path: Path) -> None:
    """A word and a halfword that lie across; double words need the alignment of words."""
    code = "str r1, [r0, #4]\nstr r1, [r0]\nldr r2, [r0, #1]\nldrh r2, [r0, #3]\nldrd r2, r3, [r0, #0]"

    (found,) = watch(code, M4, tmp_path).findings

    assert ("unaligned", 0x20001001, 6, 2) == (found.kind, found.address, found.bytes, found.count)


def test_digits_read_nothing_that_was_not_written(cli: Cli) -> None:
    """Every kernel, the planner's reuse of memory and the link, byte by byte; nobody's bits or cycles change."""
    done = cli.run("check", "digits", "--board", "rp2040", *QUICK)

    seen = json.loads(done.stdout)
    assert (0, 48) == (done.returncode, seen["samples"]), done.stderr
    assert [] == seen["findings"]
    assert 100 < seen["stack"]["bytes"] < seen["stack"]["reserved"] == 2048


def test_a_finding_fails_the_check(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """CI must see it; what is merely misaligned does not fail."""
    findings = (Finding("unwritten", "f (a.c:1)", 0x20000000, 4, 1), Finding("unaligned", "g (a.c:2)", 1, 2, 1))
    seen = memory_check.Checked("rp2040", 48, findings, 10, 20, "f")
    monkeypatch.setattr(memory_check, "check_memory", lambda *_, **__: seen)

    done = cli.run("check", "digits")

    assert 1 == done.returncode
    assert "f (a.c:1) reads 4 bytes from 0x20000000 that nothing has written" in done.stderr
    assert "g (a.c:2)" not in done.stderr


LOOP = "movs r3, #3\n1: subs r3, #1\nbne 1b\nbl leaf\nb stop\n.type leaf, %function\n.thumb_func\nleaf: nop\nbx lr"


def test_a_trace_has_the_last_blocks_in_order(tmp_path: Path) -> None:
    """Three rounds, a call, its return; with less room, the last of them."""
    with start(LOOP, M0, tmp_path) as chip:
        chip.start_trace(100)
        chip.advance(10_000)
        whole = chip.trace()
        write_trace(whole, tmp_path / "program.elf", tmp_path / "trace.txt")
    with start(LOOP, M0, tmp_path) as chip:
        chip.start_trace(3)
        chip.advance(10_000)
        last = chip.trace()

    assert [3, 2, 2, 1, 2, 1] == [block.instructions for block in whole[:6]]
    assert whole[-3:] == last
    assert sorted(block.cycles for block in whole) == [block.cycles for block in whole]
    lines = (tmp_path / "trace.txt").read_text().splitlines()
    assert len(whole) == len(lines)
    assert [f"{whole[4].cycles}", "2", f"{whole[4].address:#010x}", "leaf"] == lines[4].split()
