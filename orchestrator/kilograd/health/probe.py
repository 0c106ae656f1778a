# SPDX-License-Identifier: Apache-2.0
"""
A program whose activations and errors can be read: they become part of its state, and none shares memory.

The training is the same, bit for bit. A float32 shadow with the same weights computes, for the same sample, what the
quantised tensors stand for: only so can be told which errors are zero because they underflowed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd.build import build_twin
from kilograd.generate import generate
from kilograd.lower import make_program
from kilograd.plan import plan
from kilograd.quantise import store_input
from kilograd.state import read_array, read_record, split_state

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from kilograd.link.session import Session
    from kilograd.lower import Settings
    from kilograd.material import Material
    from kilograd.types import Graph, Program

SEED = 1
NEVER = 1_000_000
"""Samples of a minibatch that is never full: the shadow must not learn."""


@dataclass(frozen=True)
class Probe:
    """A program that shows its feature buffers, and its twin."""

    program: Program
    twin: Path


@dataclass(frozen=True)
class Snapshot:
    """Everything that a program holds at one moment."""

    program: Program
    state: bytes

    def array(self, name: str) -> NDArray[np.generic]:
        """Return one array, flat."""
        return read_array(self.program, self.state, name)

    def record(self, name: str) -> dict[str, float]:
        """Return the members of one mutable structure."""
        return read_record(self.program, self.state, name)


def open_probe(material: Material, settings: Settings, out: Path) -> Probe:
    """Build the twin of a material's program under other settings, with its feature buffers in the state."""
    m = material
    program, _ = make_program(m.graph, settings, m.calibration, "host", m.kernels, m.rehearsed)
    features = tuple(name for name, buffer in program.buffers.items() if buffer.segment == "features")
    shown = replace(program, state=(*program.state, *features))
    source = generate(shown, plan(shown, share=False), out)
    return Probe(shown, build_twin([source], out / "build"))


def shadow_settings(settings: Settings) -> Settings:
    """Return the settings of the float32 shadow: the same layers train, and every error is computed."""
    return replace(settings, configuration="float32", recipe="best", formats={})


class Shadow:
    """The float32 program beside the one that is watched."""

    def __init__(self, probe: Probe, session: Session, graph: Graph) -> None:
        self._probe = probe
        self._session = session
        self._graph = graph

    def run(self, watched: Snapshot, x: NDArray[np.float32], label: int) -> Snapshot:
        """Return what the shadow holds after it has seen one sample with the weights of the watched program."""
        self._session.write_state(self._with_weights(watched))
        self._session.configure(SEED, 0, NEVER, 0.0)
        stored = store_input(x[None], self._probe.program.input_format)
        self._session.train(stored, np.array([label], np.int64))
        return Snapshot(self._probe.program, self._session.read_state())

    def _with_weights(self, watched: Snapshot) -> bytes:
        parts = split_state(self._probe.program, self._session.read_state())
        for node in self._graph.nodes:
            if f"{node.name}_w" in parts:
                weight, bias = real_weights(watched, node.name)
                parts[f"{node.name}_w"] = weight.astype(np.float32).tobytes()
                parts[f"{node.name}_b"] = bias.astype(np.float32).tobytes()
        return b"".join(parts.values())


def real_weights(watched: Snapshot, layer: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a trained layer's weights and biases as real numbers, flat."""
    weight, bias = (watched.array(f"{layer}_{part}").astype(np.float64) for part in ("w", "b"))
    if not is_quantised(watched.program, layer):
        return weight, bias
    scale = watched.record(f"{layer}_state")["w_scale"]
    zero = watched.record(f"{layer}_quant")["w_zero"]
    return (weight - zero) * scale, bias * scale * float(parameter(watched.program, layer)["x_scale"])


def is_quantised(program: Program, layer: str) -> bool:
    """Tell whether a layer's weights are uint8."""
    return program.buffers[f"{layer}_w"].ctype == "uint8_t"


def parameter(program: Program, layer: str) -> dict[str, Any]:
    """Return the table entry that names everything of a trained layer."""
    return dict(next(record.values for record in program.records if record.name == f"{layer}_parameter"))
