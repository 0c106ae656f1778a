# SPDX-License-Identifier: Apache-2.0
"""Give every feature buffer its place in one arena, from when it is written to when it is read last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kilograd.types import PHASES, Plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
    moments = {block.first for block in blocks}
    live = (sum(block.size for block in blocks if block.first <= t <= block.last) for t in moments)
    return max(live, default=0)


def place(blocks: Mapping[str, Block], bound: int) -> dict[str, int]:
    """Place blocks greedily, largest first; while that misses the bound, try other orders (seeded)."""
    names = sorted(blocks, key=lambda name: (-blocks[name].size, blocks[name].first, name))
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
