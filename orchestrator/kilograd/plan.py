# SPDX-License-Identifier: Apache-2.0
"""Give every feature buffer its place in one arena, from when it is written to when it is read last."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from kilograd.types import PHASES, Plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from kilograd.types import Program, Step

ALIGNMENT = 8  # what kernels may expect of their scratch memory
ATTEMPTS = 400
LARGEST = 8


@dataclass(frozen=True)
class Block:
    """Memory for one or more buffers that follow each other in place: size, and first and last step of its life."""

    size: int
    first: int
    last: int


def plan(program: Program, *, share: bool = True) -> Plan:
    """
    Return the places of all feature buffers; the arena is as small as the search finds it.

    Args:
        program: what is planned.
        share: False gives every buffer a place of its own, so that all can be read after a step.

    """
    steps = [step for phase in PHASES for step in program.phases[phase]]
    lives = _lives(program, steps)
    if not share:
        lives = dict.fromkeys(lives, (-1, len(steps)))
    owner = _merge_in_place(program, steps, lives) if share else {}
    blocks = _blocks(program, lives, owner)
    bound = lower_bound(blocks.values())
    places = place(blocks, bound)
    size = max((places[name] + block.size for name, block in blocks.items()), default=0)
    offsets = {name: places[_root(owner, name)] for name in lives}
    return Plan(
        offsets=offsets,
        features=size,
        features_bound=bound,
        trained=_segment(program, "trained") + _segment(program, "gradients") + _scales(program),
        trained_image=_segment(program, "trained") + _scales(program),
        weights=_segment(program, "weights"),
        largest=_largest(program),
    )


def lower_bound(blocks: Iterable[Block]) -> int:
    """Return the largest sum of blocks that live at one step: no plan can be smaller."""
    blocks = list(blocks)
    return max((_live(blocks, block.first) for block in blocks), default=0)


def place(blocks: Mapping[str, Block], bound: int) -> dict[str, int]:
    """Place blocks greedily, in the first of some orders that meets the bound; if none does, search on (seeded)."""
    for order in _orders(blocks):
        places = _first_fit(order, blocks)
        if _height(places, blocks) <= bound:
            return places
    return _search(blocks, bound)


def _orders(blocks: Mapping[str, Block]) -> Iterator[list[str]]:
    """Yield promising orders: largest first, what lives at the peak first, and longest first."""

    def longest(name: str) -> tuple[int, int, int, str]:
        block = blocks[name]
        return block.first - block.last, -block.size, block.first, name

    moments = sorted(block.first for block in blocks.values())
    peak = max(moments, key=partial(_live, blocks.values()), default=0)
    yield _largest_first(blocks)
    yield sorted(blocks, key=lambda name: (not blocks[name].first <= peak <= blocks[name].last, *longest(name)))
    yield sorted(blocks, key=longest)


def _search(blocks: Mapping[str, Block], bound: int) -> dict[str, int]:
    """Exchange two blocks of the order as long as the arena does not grow by it."""
    names = _largest_first(blocks)
    best = _first_fit(names, blocks)
    rng = np.random.default_rng(0)
    for _ in range(ATTEMPTS):
        if _height(best, blocks) <= bound:
            break
        i, j = rng.integers(len(names), size=2)
        names[i], names[j] = names[j], names[i]
        candidate = _first_fit(names, blocks)
        if _height(candidate, blocks) <= _height(best, blocks):
            best = candidate
        else:
            names[i], names[j] = names[j], names[i]
    return best


def _largest_first(blocks: Mapping[str, Block]) -> list[str]:
    return sorted(blocks, key=lambda name: (-blocks[name].size, blocks[name].first, name))


def _live(blocks: Iterable[Block], moment: int) -> int:
    """Return the bytes of the blocks that live at a step."""
    return sum(block.size for block in blocks if block.first <= moment <= block.last)


def _lives(program: Program, steps: Sequence[Step]) -> dict[str, tuple[int, int]]:
    """Return the first and last step of every feature buffer; the input and the logits outlive the sample."""
    lives: dict[str, tuple[int, int]] = {program.input: (-1, -1)}
    for number, step in enumerate(steps):
        for name in (*step.reads, *step.writes):
            first = lives.get(name, (number, number))[0]
            lives[name] = (first, number)
    first = lives[program.logits][0]
    lives[program.logits] = (first, len(steps))
    return lives


def _merge_in_place(program: Program, steps: Sequence[Step], lives: Mapping[str, tuple[int, int]]) -> dict[str, str]:
    """Let a written buffer take over the memory of one that is read for the last time in the same step."""
    owner: dict[str, str] = {}
    for number, step in enumerate(steps):
        if step.inplace is None:
            continue
        written, read = step.inplace
        same_size = program.buffers[written].bytes <= program.buffers[read].bytes
        if same_size and lives[read][1] == number and lives[written][0] == number:
            owner[written] = read
    return owner


def _root(owner: Mapping[str, str], name: str) -> str:
    while name in owner:
        name = owner[name]
    return name


def _blocks(program: Program, lives: Mapping[str, tuple[int, int]], owner: Mapping[str, str]) -> dict[str, Block]:
    blocks: dict[str, Block] = {}
    for name, (first, last) in lives.items():
        root = _root(owner, name)
        size = -(-program.buffers[name].bytes // ALIGNMENT) * ALIGNMENT
        old = blocks.get(root, Block(size, first, last))
        blocks[root] = Block(max(size, old.size), min(first, old.first), max(last, old.last))
    return blocks


def _first_fit(names: Sequence[str], blocks: Mapping[str, Block]) -> dict[str, int]:
    """Place blocks in this order, each at the lowest offset that is free for its whole life."""
    places: dict[str, int] = {}
    for name in names:
        block = blocks[name]
        taken = sorted(
            (offset, offset + blocks[other].size)
            for other, offset in places.items()
            if blocks[other].first <= block.last and block.first <= blocks[other].last
        )
        offset = 0
        for start, end in taken:
            if start - offset >= block.size:
                break
            offset = max(offset, end)
        places[name] = offset
    return places


def _height(places: Mapping[str, int], blocks: Mapping[str, Block]) -> int:
    return max((offset + blocks[name].size for name, offset in places.items()), default=0)


def _segment(program: Program, segment: str) -> int:
    return sum(buffer.bytes for buffer in program.buffers.values() if buffer.segment == segment)


def _scales(program: Program) -> int:
    """Return the bytes of the scales and factors that training changes."""
    return sum(record.bytes for record in program.records if record.mutable)


def _largest(program: Program) -> tuple[tuple[str, int], ...]:
    in_ram = [(b.name, b.bytes) for b in program.buffers.values() if b.segment != "weights"]
    return tuple(sorted(in_ram, key=lambda entry: (-entry[1], entry[0]))[:LARGEST])
