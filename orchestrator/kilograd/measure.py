# SPDX-License-Identifier: Apache-2.0
"""What a run has cost: cycles and instructions by phase, memory by segment, time and energy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kilograd.elf import memory_use
from kilograd.report import Flash, Phases, PlanReport, Ram, Tensor
from kilograd.types import PHASES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from kilograd.engines.base import StepCount
    from kilograd.link.protocol import Profile
    from kilograd.lower import Lowered
    from kilograd.platforms.board import Board
    from kilograd.types import Plan, Program

MICROJOULES = 1000.0  # in a millijoule: milliwatts times milliseconds


def cycles_by_phase(program: Program, cycles: Sequence[int], samples: int) -> Phases:
    """Sum the cycles of all steps by phase, per training sample."""
    return _by_phase(program, dict(enumerate(cycles)), samples)


def cycles_by_layer(program: Program, cycles: Sequence[int], samples: int) -> dict[str, int]:
    """Sum the cycles of all steps by layer, per training sample."""
    sums: dict[str, int] = {}
    steps = (step for phase in PHASES for step in program.phases[phase])
    for step, cost in zip(steps, cycles, strict=True):
        sums[step.layer] = sums.get(step.layer, 0) + cost
    return {layer: round(total / max(samples, 1)) for layer, total in sums.items()}


def instructions_by_phase(
    program: Program, counts: Mapping[int, StepCount], profile: Profile, ticks: float | None, samples: int
) -> Phases | None:
    """
    Sum the instructions of all steps by phase, per training sample; None where nobody counts them.

    Args:
        program: whose steps they are.
        counts: what the engine has counted, if it does.
        profile: what the firmware has counted.
        ticks: of the firmware's counter for each instruction, where it counts instructions.
        samples: that were trained.

    """
    if counts:
        return _by_phase(program, {step: count.instructions for step, count in counts.items()}, samples)
    if ticks is not None:
        return _by_phase(program, {step: count / ticks for step, count in enumerate(profile.cycles)}, samples)
    return None


def _by_phase(program: Program, costs: Mapping[int, float], samples: int) -> Phases:
    sums = {}
    first = 0
    for phase in PHASES:
        after = first + len(program.phases[phase])
        sums[phase] = round(sum(costs.get(step, 0) for step in range(first, after)) / max(samples, 1))
        first = after
    return Phases(**sums)


def share(count: tuple[int, int]) -> float:
    """Return the first number over the second, 0 where there is nothing to divide."""
    return count[0] / max(count[1], 1)


def time_ms(board: Board, cycles: Phases | None) -> float | None:
    """Return the time of one training sample at the board's clock; None where there are no cycles."""
    return None if cycles is None else cycles.total / board.clock_hz * 1000.0


def energy_mj(board: Board, milliseconds: float | None) -> float | None:
    """Return the energy of one training sample at the board's active current; None where that is not known."""
    if milliseconds is None or board.active_ma is None or board.volts is None:
        return None
    return board.active_ma * board.volts * milliseconds / MICROJOULES


def memory_of(elf: Path, board: Board, stack_peak: int) -> tuple[Ram, Flash]:
    """Return RAM and flash of a built firmware; what the stack reserves but has not used counts as rest."""
    use = memory_use(elf, board)
    rest = use.ram.other + use.ram.stack_reserved - stack_peak
    return (
        Ram(use.ram.features, use.ram.trained, stack_peak, rest, use.ram.limit, use.ram.code or None),
        Flash(use.flash.weights, use.flash.code, use.flash.limit),
    )


def memory_of_twin(lowered: Lowered) -> tuple[Ram, Flash]:
    """Return what the plan says of a program on the host, which has no limits."""
    return Ram(lowered.plan.features, lowered.plan.trained, None, 0, None), Flash(lowered.plan.weights, 0, None)


def plan_report(program: Program, plan: Plan, board: Board, memory: tuple[Ram, Flash] | None) -> PlanReport:
    """Return what the plan needs on a board: as built, or without code where it was not built."""
    ram, flash = memory or (
        Ram(plan.features, plan.trained, board.stack_bytes, 0, board.ram_bytes),
        Flash(plan.weights + plan.trained_image, 0, board.flash.size),
    )
    largest = tuple(Tensor(name, program.buffers[name].segment, size) for name, size in plan.largest)
    bound = {"features": plan.features_bound, "trained": plan.trained, "weights": plan.weights}
    return PlanReport(board.name, ram, flash, bound, largest)


def with_rest(plan: PlanReport, needed: Mapping[str, int]) -> PlanReport:
    """Return a plan with what the linker needed beyond it, in bytes of "RAM" and "flash", as rest and code."""
    ram = replace(plan.ram, other=needed.get("RAM", plan.ram.total) - plan.ram.total)
    flash = replace(plan.flash, code=needed.get("flash", plan.flash.total) - plan.flash.total)
    return replace(plan, ram=ram, flash=flash)
