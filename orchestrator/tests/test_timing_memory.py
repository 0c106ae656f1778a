# SPDX-License-Identifier: Apache-2.0
"""What code and data wait for flash, behind caches that the firmware switches on: by hand, and by a model here."""

from __future__ import annotations

import random
import shutil
from collections import OrderedDict
from typing import TYPE_CHECKING

import pytest

from chip.programs import start, waits
from kilograd import bench_engine, paths
from kilograd.errors import KilogradError
from kilograd.platforms.board import load_board

if TYPE_CHECKING:
    from pathlib import Path

M0, M4, M7 = "rp2040", "nrf52840", "imxrt1062"
ART = "stm32l4r5"
# A barrier ends the block: what is fetched with the write itself still finds the cache off.
ICACHE_ON = "ldr r0, =0x4001E540\nmovs r1, #1\nstr r1, [r0]\nisb\n"
ART_ON = "ldr r0, =0x40022000\nldr r1, =0x705\nstr r1, [r0]\nisb\n"
CACHES_ON = "ldr r0, =0xE000ED14\nldr r1, =0x30000\nstr r1, [r0]\ndsb\nisb\n"
DATA = "\n.pushsection .rodata\n.balign 4096\ntable: .space {size}\n.balign 4096\n.popsection\n"

RAM = "0x20000124"  # on every board, and no constant that a mov could make


def straight(lines: int, line_bytes: int) -> str:
    """Return straight code that fills so many lines."""
    return f".balign {line_bytes}\n.rept {lines * line_bytes // 2}\nnop\n.endr\n"


def loop(rounds: int, lines: int, line_bytes: int) -> str:
    """Return a loop whose body fills so many lines, but for its end."""
    body = straight(lines, line_bytes)
    return (
        f"movs r7, #{rounds}\n.balign {line_bytes}\n1:\n{body}subs r7, #1\nbeq.w 2f\nb.w 1b\n.balign {line_bytes}\n2:\n"
    )


@pytest.mark.parametrize(("name", "line_bytes", "fill"), [(M4, 16, 2), (ART, 8, 5)])
def test_code_waits_for_each_line_of_flash(name: str, line_bytes: int, fill: int, tmp_path: Path) -> None:
    """With caches off, the nRF52840's flash gives 16 bytes every 2 wait states, the STM32L4R5's 8 bytes every 5."""
    longer, shorter = (waits(straight(lines, line_bytes), name, tmp_path) for lines in (60, 20))

    assert 40 * fill == longer - shorter


def test_the_prefetch_of_the_stm32_hides_most_of_the_next_line(tmp_path: Path) -> None:
    """Straight code waits 2 cycles for 8 bytes, a loop in the cache of 1 KB not again, one of 2 KB always."""
    longer, shorter = (waits(ART_ON + straight(lines, 8), ART, tmp_path) for lines in (60, 20))
    fits = [waits(ART_ON + loop(rounds, 100, 8), ART, tmp_path) for rounds in (1, 10)]
    large = [waits(ART_ON + loop(rounds, 255, 8), ART, tmp_path) for rounds in (1, 10)]

    assert 40 * 2 == longer - shorter
    assert abs(fits[1] - fits[0]) <= 5  # the loop's last line, as it ends
    # The first line of a round is not behind the one that was read last: 5. The loop's end takes two lines more.
    assert 9 * (5 + 254 * 2 + 2 * 2) == pytest.approx(large[1] - large[0], abs=5)


def test_constants_of_the_stm32_have_a_cache_of_their_own(tmp_path: Path) -> None:
    """A table of 256 bytes waits once for each 8, and is then there."""
    once = "movs r1, #255\n1: ldrb r2, [r0, r1]\nsubs r1, #1\nbpl 1b\n"
    code = ART_ON + "ldr r0, ={base}\nb 3f\n.ltorg\n3: " + once + once + DATA.format(size=256)

    assert 32 * 5 == waits(code.format(base="table"), ART, tmp_path) - waits(code.format(base=RAM), ART, tmp_path)


def test_a_loop_in_the_cache_waits_once(tmp_path: Path) -> None:
    """The firmware's own write to ICACHECNF switches the cache on; a miss costs 3."""
    one, ten = (waits(ICACHE_ON + loop(rounds, 100, 16), M4, tmp_path) for rounds in (1, 10))

    assert one == ten
    assert 100 * 3 <= one <= 110 * 3


def test_a_loop_without_the_cache_waits_every_time(tmp_path: Path) -> None:
    """Firmware that forgets to switch the cache on pays for it, as on silicon."""
    one, ten = (waits(loop(rounds, 100, 16), M4, tmp_path) for rounds in (1, 10))

    # The body and the line with its end, nine times more.
    assert 9 * 101 * 2 == ten - one


def test_a_loop_larger_than_the_cache_never_hits(tmp_path: Path) -> None:
    """Going round in more lines than the ways hold is the worst case of an LRU cache."""
    one, ten = (waits(ICACHE_ON + loop(rounds, 200, 16), M4, tmp_path) for rounds in (1, 10))

    assert 9 * 201 * 3 == ten - one


def test_xip_lines_are_read_over_four_wires(tmp_path: Path) -> None:
    """An RP2040 without its code in the cache waits 112 cycles for 8 bytes."""
    assert 50 * 112 == waits(straight(70, 8), M0, tmp_path) - waits(straight(20, 8), M0, tmp_path)


@pytest.mark.parametrize(("name", "fill"), [(M0, 112), (M4, 2)])
def test_constants_between_code_wait_for_flash(name: str, fill: int, tmp_path: Path) -> None:
    """Literal pools are data: on the nRF52840 they pass its instruction cache by."""
    load, far = "ldr r0, 9f\nnop\n", ".balign 64\nb 2f\n.balign 64\n9: .word 1\n.balign 64\n2:\n"
    without = "nop\nnop\n" + far

    assert fill == waits(load + far, name, tmp_path) - waits(without, name, tmp_path)


@pytest.mark.parametrize(("name", "fill", "line_bytes"), [(M0, 112, 8), (M4, 2, 16)])
def test_data_in_flash_waits_line_by_line(name: str, fill: int, line_bytes: int, tmp_path: Path) -> None:
    """Weights that stay in flash are read through its cache or buffer."""
    code = "ldr r0, ={base}\nb 3f\n.ltorg\n3: movs r1, #255\n1: ldrb r2, [r0, r1]\nsubs r1, #1\nbpl 1b\n"
    flash = waits(code.format(base="table") + DATA.format(size=256), name, tmp_path)
    ram = waits(code.format(base=RAM) + DATA.format(size=256), name, tmp_path)

    assert 256 // line_bytes * fill == flash - ram


def test_reading_on_is_cheaper_than_jumping_about(tmp_path: Path) -> None:
    """FlexSPI prefetches: of two lines in a row, the second costs its data only."""
    code = CACHES_ON + "ldr r0, =table\nldr r1, [r0]\nldr r1, [r0, #{offset}]\n" + DATA.format(size=4096)

    same, following, other = (waits(code.format(offset=offset), M7, tmp_path) for offset in (4, 32, 64))

    assert (289, 379) == (following - same, other - same)


def test_the_data_cache_keeps_what_was_used_last(tmp_path: Path) -> None:
    """Random loads from 128 KB against another model of four ways of 256 lines, replaced by age."""
    numbers = random.Random(3)
    offsets = [numbers.choice((numbers.randrange(4096), numbers.randrange(32768))) * 4 for _ in range(3000)]
    loads = "".join(f"movw r1, #{offset & 0xFFFF}\nmovt r1, #{offset >> 16}\nldr r2, [r0, r1]\n" for offset in offsets)
    code = CACHES_ON + "ldr r0, ={base}\nb 1f\n.ltorg\n1:\n" + loads + DATA.format(size=131072)
    sets: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(256)]
    expected, last = 0, -2
    for offset in offsets:
        line = offset // 32
        ways = sets[line % 256]
        if line not in ways:
            expected += 289 if line == last + 1 else 379
            last = line
        ways[line] = None
        ways.move_to_end(line)
        if len(ways) > 4:
            ways.popitem(last=False)

    flash, ram = (waits(code.format(base=base), M7, tmp_path) for base in ("table", RAM))

    assert expected == flash - ram


def test_writes_to_data_in_flash_and_its_execution_still_fault(tmp_path: Path) -> None:
    """Data pages of timed flash are mapped otherwise; they are as read-only as before."""
    for code, fault in (("str r1, [r0]", "read-only"), ("adds r0, #1\nbx r0", "not executable")):
        body = f"ldr r0, =table\nmovs r1, #1\n{code}" + DATA.format(size=64)
        with start(body, M0, tmp_path, ideal_memory=False) as chip, pytest.raises(KilogradError, match=fault):
            chip.read()


def test_a_kernel_that_fits_into_the_caches_hardly_waits() -> None:
    """The benchmark switches the caches of the board on: it waits for its first round only."""
    result = bench_engine.bench(M7, instructions=10_000_000)

    ratio = result["cycles_with_memory"] / result["instructions_with_memory"]
    assert ratio == pytest.approx(result["cycles"] / result["instructions"], rel=0.1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('code = ["icache", "flash_code"]', 'code = ["l2"]', "waits.flash: there are no lines 'l2'"),
        ("[waits.flash]", "[waits.sdram]", "memory 'sdram' is not in"),
        ('peripheral = "nvmc"', 'peripheral = "cache"', "lines.icache.on: 'cache' is not in"),
        ("bytes = 2048", "bytes = 2000", "powers of two"),
    ],
)
def test_a_mistake_in_a_boards_memories_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    """A board of one's own says where it is wrong."""
    folder = tmp_path / "mine"
    shutil.copytree(paths.share() / "emulation" / "platforms" / M4, folder)
    (folder / f"{M4}.repl").rename(folder / "mine.repl")
    text = (folder / "board.toml").read_text(encoding="utf-8")
    assert old in text
    (folder / "board.toml").write_text(text.replace(old, new), encoding="utf-8")

    with pytest.raises(KilogradError, match=message):
        load_board(str(folder))
