# SPDX-License-Identifier: Apache-2.0
"""Code that a Cortex-M4 fetches from RAM shares the system bus with data: cycles by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chip.programs import waits

if TYPE_CHECKING:
    from pathlib import Path

M0, M4, ART = "rp2040", "nrf52840", "stm32l4r5"

# A jump to code that lies in RAM on pages of its own, and back.
IN_RAM = """ldr r0, =there + 1
    ldr r2, =0x20000100
    bx r0
    .pushsection .hot, "ax"
    .balign 4096
there:
    {code}
    ldr r0, =stop + 1
    bx r0
    .ltorg
    .popsection
"""


def waited(code: str, name: str, folder: Path) -> int:
    """Return the cycles that ten more of a piece of code, or of its rounds, wait in RAM."""
    longer, shorter = (waits(IN_RAM.format(code=code.format(n=n)), name, folder) for n in (20, 10))
    return longer - shorter


@pytest.mark.parametrize("name", [M4, ART])
@pytest.mark.parametrize(
    ("code", "cycles"),
    [
        (".rept {n}\nnop\n.endr", 0),  # two in a word, which takes two cycles to fetch
        (".rept {n}\nnop.w\n.endr", 10),  # a word for each
        (".rept {n}\nldr r1, [r2]\n.endr", 5),  # 5 words and 10 loads over a bus that does one a cycle
        (".rept {n}\nldr.w r1, [r2]\n.endr", 10),  # 10 words and 10 loads: just as long as the fetches
        (".rept {n}\nldm r2, {{r3-r6}}\n.endr", 0),  # 5 cycles each: 5 words fit beside 40 loads
        (
            "movs r7, #{n}\n.balign 4\n1: subs r7, #1\nbne 1b",
            10,
        ),  # the first fetch behind a branch takes one cycle more
        ("movs r7, #{n}\n.balign 4\n1: nop.w\nsubs.w r7, #1\nbne.w 1b", 20),  # 4 cycles of work, 6 of fetches
    ],
)
def test_code_in_ram_waits_for_the_system_bus(name: str, code: str, cycles: int, tmp_path: Path) -> None:
    """A fetch takes two cycles there, and data go first."""
    assert cycles == waited(code, name, tmp_path)


def test_code_in_the_ram_of_a_core_with_one_bus_waits_for_nothing(tmp_path: Path) -> None:
    """The table of the Cortex-M0+ has the fetches of its only bus in it."""
    assert 0 == waited(".rept {n}\nldr r1, [r2]\n.endr", M0, tmp_path)
