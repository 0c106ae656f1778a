# SPDX-License-Identifier: Apache-2.0
"""The memory plan: no two live buffers share a byte, and no step reads what another buffer has overwritten."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilograd.plan import Block, lower_bound, place, plan
from kilograd.quantise import CONFIGURATIONS
from kilograd.types import PHASES, Array
from kilograd.zoo import models
from test_training_step import model
from twins import FIRMWARE, PLAIN, SUPPORTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kilograd.types import Program, Step, Value
    from twins import Twin, Twins

GRAPHS = [*models(), "branching", "gated", "small_vae"]
NOBODY = -1


@st.composite
def blocks(draw: st.DrawFn) -> dict[str, Block]:
    """Draw blocks with lives; sizes are aligned as those of the planner."""
    count = draw(st.integers(0, 24))
    found = {}
    for number in range(count):
        first = draw(st.integers(-1, 30))
        last = draw(st.integers(first, 31))
        found[f"b{number}"] = Block(4 * draw(st.integers(0, 60)), first, last)
    return found


def live_together(a: Block, b: Block) -> bool:
    """Tell whether two lives have a step in common."""
    return bool(set(range(a.first, a.last + 1)) & set(range(b.first, b.last + 1)))


def largest_live_set(items: Mapping[str, Block]) -> int:
    """Return the bytes that are needed at the worst step."""
    return max((sum(b.size for b in items.values() if b.first <= t <= b.last) for t in range(-1, 32)), default=0)


@given(blocks())
@settings(deadline=None, max_examples=150)
def test_no_two_live_blocks_overlap(items: dict[str, Block]) -> None:
    """Whatever the sizes and lives, memory has one owner at a time."""
    places = place(items, lower_bound(items.values()))

    assert set(places) == set(items)
    assert min(places.values(), default=0) >= 0
    for (one, a), (other, b) in itertools.combinations(items.items(), 2):
        if a.size and b.size and live_together(a, b):
            assert places[one] + a.size <= places[other] or places[other] + b.size <= places[one], (one, other)


@given(blocks())
@settings(deadline=None, max_examples=150)
def test_height_is_between_the_bound_and_the_sum(items: dict[str, Block]) -> None:
    """The bound is the largest live set, and no plan is lower; a plan is never higher than no sharing at all."""
    bound = lower_bound(items.values())
    places = place(items, bound)

    height = max((places[name] + block.size for name, block in items.items()), default=0)
    assert bound == largest_live_set(items)
    assert bound <= height <= sum(block.size for block in items.values())


@given(blocks())
@settings(deadline=None, max_examples=30)
def test_places_do_not_depend_on_the_order_of_blocks(items: dict[str, Block]) -> None:
    """The same model gives the same addresses, on every machine and at every run."""
    bound = lower_bound(items.values())

    assert place(items, bound) == place(dict(reversed(items.items())), bound)


# --- programs --------------------------------------------------------------------------------------------------------


def twin_of(twins: Twins, name: str, configuration: str, recipe: str) -> Twin:
    """Return a model in training."""
    return twins.get(model(name), configuration, recipe)


ALL_PROGRAMS = [(name, configuration, "best") for name in GRAPHS for configuration in CONFIGURATIONS]
ALL_PROGRAMS += [("digits_cnn", configuration, "paper") for configuration in CONFIGURATIONS]


@pytest.mark.parametrize(("name", "configuration", "recipe"), ALL_PROGRAMS)
def test_no_step_reads_overwritten_memory(twins: Twins, name: str, configuration: str, recipe: str) -> None:
    """Run the program on tags: every byte that a step reads was written for that buffer, sharing in place included."""
    twin = twin_of(twins, name, configuration, recipe)
    simulate(twin.program, twin.plan.offsets, twin.plan.features)


def simulate(program: Program, offsets: Mapping[str, int], size: int) -> None:
    """Fill memory with the number of its last writer, and check the tags at every read."""
    features = {name: buffer for name, buffer in program.buffers.items() if buffer.segment == "features"}
    number = {name: tag for tag, name in enumerate(features)}
    memory = np.full(size, NOBODY)

    def span(name: str) -> slice:
        end = offsets[name] + features[name].bytes
        assert end <= size, name
        return slice(offsets[name], end)

    memory[span(program.input)] = number[program.input]
    for phase in PHASES:
        for step in program.phases[phase]:
            scratch = {name for name in step.reads if name in step.writes}
            for name in set(step.reads) - scratch:
                assert (memory[span(name)] == number[name]).all(), (phase, step.layer, step.role, name)
            check_disjoint(step, {name: span(name) for name in (*step.reads, *step.writes)})
            for name in step.writes:
                memory[span(name)] = number[name]
        assert (memory[span(program.logits)] == number[program.logits]).all(), phase


def check_disjoint(step: Step, spans: Mapping[str, slice]) -> None:
    """Fail where a step writes what it also uses under another name, unless it says so and starts at the same byte."""
    for written in step.writes:
        for other in {*step.reads, *step.writes} - {written}:
            a, b = spans[written], spans[other]
            if a.start < b.stop and b.start < a.stop:
                assert step.inplace in {(written, other), (other, written)}, (step.layer, step.role, written, other)
                assert a.start == b.start


@pytest.mark.parametrize(("configuration", "recipe"), SUPPORTED)
@pytest.mark.parametrize("name", ["branching", "resnet_tiny"])
def test_steps_declare_what_their_c_arguments_touch(twins: Twins, name: str, configuration: str, recipe: str) -> None:
    """The planner believes `reads` and `writes`: they are checked against the const members of the C structures."""
    writable = writable_members()
    program = twin_of(twins, name, configuration, recipe).program
    for phase in PHASES:
        for step in program.phases[phase]:
            used = dict(feature_arguments(step, program))
            written = {buffer for member, buffer in used.items() if member in writable[step.args.ctype]}

            assert set(used.values()) == {*step.reads, *step.writes}, (step.layer, step.role)
            assert written == set(step.writes), (step.layer, step.role)


def feature_arguments(step: Step, program: Program) -> Iterator[tuple[str, str]]:
    """Return (member, buffer) for all arguments of a step that lie in the arena."""
    values: Mapping[str, Value] = step.args.values
    for member, value in values.items():
        if isinstance(value, Array) and program.buffers[value.name].segment == "features":
            yield member, value.name


def writable_members() -> dict[str, set[str]]:
    """Return the pointers of every structure in the runtime's headers that are not to const."""
    found = {}
    for header in sorted((FIRMWARE / "runtime").glob("*.h")):
        text = re.sub(r"//[^\n]*", "", header.read_text(encoding="utf-8"))
        for body, name in re.findall(r"typedef struct \{(.*?)\} (\w+);", text, re.DOTALL):
            lines = [line for line in body.split(";") if "*" in line and "const " not in line]
            found[name] = {member for line in lines for member in re.findall(r"\*(\w+)", line)}
    return found


@pytest.mark.parametrize(("name", "configuration", "recipe"), [case for case in ALL_PROGRAMS if case[0] in models()])
def test_arena_is_as_small_as_the_largest_live_set(twins: Twins, name: str, configuration: str, recipe: str) -> None:
    """For every built-in model no byte is lost between buffers."""
    placed = twin_of(twins, name, configuration, recipe).plan

    assert placed.features == placed.features_bound


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4"])
@pytest.mark.parametrize("name", models())
def test_scratch_memory_of_fast_kernels_leaves_no_gaps(twins: Twins, name: str, core: str) -> None:
    """Fast kernels bring many large short-lived buffers: the arena still is as small as the largest live set."""
    placed = twins.get(model(name), "uint8", core=core).plan

    assert placed.features == placed.features_bound


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4", "cortex-m7"])
def test_small_kernels_need_no_more_memory_than_plain_c(twins: Twins, core: str) -> None:
    """Fast ones take scratch memory for their speed; small ones are fast only where plain C takes as much."""
    net = model("resnet8")
    sizes = {kind: twins.get(net, "uint8", core=core, kernels=kind).plan.features for kind in ("fast", "small")}

    assert sizes["small"] <= twins.get(net, "uint8", core=PLAIN).plan.features < sizes["fast"]


@pytest.mark.parametrize("core", ["host", PLAIN])
@pytest.mark.parametrize(("name", "configuration"), [("branching", "uint8"), ("cnn8_16_fc64_fc10", "float32")])
def test_every_buffer_is_aligned_for_any_kernel(twins: Twins, name: str, configuration: str, core: str) -> None:
    """Kernels are promised scratch memory at multiples of 8 bytes; the arena itself starts at one."""
    twin = twins.get(model(name), configuration, core=core)

    assert [buffer for buffer, offset in twin.plan.offsets.items() if offset % 8] == []


def test_plan_is_deterministic(twins: Twins) -> None:
    """Planning twice gives the same addresses."""
    twin = twin_of(twins, "branching", "uint8", "best")

    assert plan(twin.program) == twin.plan


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("name", ["digits_cnn", "branching"])
def test_segments_are_the_sums_of_their_arrays(twins: Twins, name: str, configuration: str) -> None:
    """RAM and flash for parameters, counted from the graph: what is known before flashing is right."""
    twin = twin_of(twins, name, configuration, "best")
    nodes = [node for node in twin.quantised.graph.nodes if node.weight is not None and node.bias is not None]
    image = trained = 0
    for node in nodes:
        integer = twin.quantised.weights[node.name].weight.dtype == np.uint8
        weights, biases = node.weight.size, node.bias.size
        image += weights * (1 if integer else 4) + 4 * biases
        trained += weights * (3 if integer else 8) + 8 * biases  # 16-bit gradients of 8-bit weights

    scales = sum(record.bytes for record in twin.program.records if record.mutable)
    assert (twin.plan.trained_image - scales, twin.plan.trained - scales, twin.plan.weights) == (image, trained, 0)
    frozen = twins.get(model(name), configuration, layers=1)
    scales = sum(record.bytes for record in frozen.program.records if record.mutable)
    assert frozen.plan.weights + frozen.plan.trained_image - scales == image
