# SPDX-License-Identifier: Apache-2.0
"""What is looked at while a firmware trains: its accuracy so far, and the gradients of every structure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd.state import read_array, read_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from kilograd.link.session import Session
    from kilograd.types import Program

BANDS = 64
"""Rows of a heat map; a layer with more structures shows groups of them."""
DIGITS = 4


class Watch:
    """Looks at a program under training, and keeps what it has seen."""

    def __init__(self, program: Program, session: Session, test: Callable[[], float]) -> None:
        self._program = program
        self._session = session
        self._test = test
        self.accuracies: list[float] = []
        self._gradients: dict[str, list[tuple[float, ...]]] = {layer: [] for layer in trained_layers(program)}
        self._kept: dict[str, list[float]] = {layer: [] for layer in program.sparse}
        self._tallies = [(0, 0)] * len(program.sparse)

    def look(self) -> None:
        """Test, and read the gradient buffers; training goes on as if nothing had happened."""
        self.accuracies.append(self._test())
        state = self._session.read_state()
        for layer, seen in self._gradients.items():
            rows = np.abs(gradient(self._program, state, layer)).mean(axis=1)
            bands = np.array_split(rows, min(BANDS, len(rows)))
            seen.append(tuple(float(f"{band.mean():.{DIGITS}g}") for band in bands))

        tallies = self._session.kept() if self._kept else []
        for layer, old, new in zip(self._kept, self._tallies, tallies, strict=True):
            self._kept[layer].append(round((new[0] - old[0]) / max(1, new[1] - old[1]), DIGITS))
        self._tallies = tallies

    def gradient_table(self) -> dict[str, tuple[tuple[float, ...], ...]]:
        """Return per layer and look the mean |gradient| of each structure (or group of them)."""
        return {layer: tuple(seen) for layer, seen in self._gradients.items()}

    def kept_table(self) -> dict[str, tuple[float, ...]]:
        """Return per sparse layer and look the share of structures that were kept since the look before."""
        return {layer: tuple(shares) for layer, shares in self._kept.items()}


def trained_layers(program: Program) -> list[str]:
    """Return the layers with gradient buffers, in the order of the forward pass."""
    layers = [name.removesuffix("_w") for name in program.state if name.endswith("_w")]
    return [layer for layer in layers if f"{layer}_g" in program.buffers]


def gradient(program: Program, state: bytes, layer: str) -> NDArray[np.float64]:
    """Return a layer's gradient buffer (structures, weights of one) in the units of the loss."""
    values: dict[str, Any] = dict(
        next(record.values for record in program.records if record.name == f"{layer}_parameter")
    )
    stored = read_array(program, state, f"{layer}_g").astype(np.float64)
    if program.buffers[f"{layer}_g"].ctype.startswith("int"):
        scalars = read_record(program, state, f"{layer}_state")
        stored *= values["x_scale"] * values["error_factor"] * 2.0 ** (scalars["e_exponent"] + scalars["g_shift"])
    return stored.reshape(values["matrix"]["rows"], values["matrix"]["columns"])
