# SPDX-License-Identifier: Apache-2.0
"""What one look at a training says about a layer, and what many looks say together."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, cast

import numpy as np

from kilograd.health.probe import Snapshot, is_quantised, parameter, real_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kilograd.types import Address, Array, Format, Node

LEVELS = 255
ERROR_ZERO = 128
LIMITS = {"int8_t": 127, "int16_t": 32767, "int32_t": 2**31 - 1}


@dataclass(frozen=True)
class Look:
    """Everything that is known around the last sample of a minibatch."""

    before: Snapshot
    """After its last sample but one."""
    shadow: Snapshot
    """The float32 shadow after the same sample."""
    after: Snapshot
    """After the update."""


@dataclass(frozen=True)
class LayerHealth:
    """A layer's figures; None stands for what its format does not have."""

    layer: str
    format: str
    activation_saturation: float | None
    """Share of outputs at the end of their range."""
    activation_range: float | None
    """Largest output by what the range can hold: 1 fits, more is cut off."""
    range_drift: float | None
    """The same at the last look by that at the first."""
    weight_saturation: float | None
    """Share of weights at 0 or 255."""
    weight_levels: float | None
    """Root mean square of the weights, in quanta."""
    dead_gradients: float | None
    """Share of errors that are zero though they should not be."""
    lost_gradient: float | None
    """What these errors add up to, as a share of all."""
    gradient_saturation: float | None
    """Share of the gradient buffer at its limits."""
    update_quanta: float | None
    """Mean |change| of a weight in one update, in quanta."""
    update_ratio: float
    """The same by the root mean square of the weights."""
    weights_moved: float
    """Share of weights that one update has changed."""
    error_exponent: int | None
    """Errors are stored in steps of two to this power."""


def measure(looks: Sequence[Look], node: Node, form: Format) -> LayerHealth:
    """Return a trained layer's figures over all looks; `form` is how its output is stored."""
    layer, program = node.name, looks[0].before.program
    quantised = is_quantised(program, layer)
    stored = form if form.dtype == "uint8" else None
    ranges = [_range_use(look, node, stored) for look in looks] if stored else []
    changes = [_update(look, layer) for look in looks]
    dead, lost = _dead(looks, node) if quantised else (None, None)
    return LayerHealth(
        layer=layer,
        format="uint8" if quantised else "float32",
        activation_saturation=_mean([_at_end(look, node, stored) for look in looks]) if stored else None,
        activation_range=max(ranges) if ranges else None,
        range_drift=ranges[-1] / ranges[0] if ranges and ranges[0] else None,
        weight_saturation=_mean([_weights_at_end(look, layer) for look in looks]) if quantised else None,
        weight_levels=_weight_levels(looks[-1].after, layer) if quantised else None,
        dead_gradients=dead,
        lost_gradient=lost,
        gradient_saturation=_gradient_saturation(looks, layer),
        update_quanta=_mean([change.quanta for change in changes]) if quantised else None,
        update_ratio=_mean([change.ratio for change in changes]),
        weights_moved=_mean([change.moved for change in changes]),
        error_exponent=_exponent(looks[-1].after, layer) if quantised else None,
    )


def as_object(health: LayerHealth) -> dict[str, object]:
    """Return the figures for JSON, rounded to what they are good for."""
    content = {field.name: getattr(health, field.name) for field in fields(health)}
    return {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in content.items()}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _values(snapshot: Snapshot, tensor: str) -> NDArray[np.float64]:
    return snapshot.array(tensor).astype(np.float64)


# --- activations -----------------------------------------------------------------------------------------------------


def _at_end(look: Look, node: Node, form: Format) -> float:
    """Return the share of outputs at an end of the range that is no rectifier's."""
    y = _values(look.before, node.output)
    ends = y == LEVELS
    if not node.attributes.get("relu"):
        ends |= (y == 0) & (form.zero > 0)
    return float(ends.mean())


def _range_use(look: Look, node: Node, form: Format) -> float:
    """Return the largest true output by the end of the range that it is closest to."""
    y = _values(look.shadow, node.output)
    use = [max(float(y.max()), 0.0) / (form.scale * (LEVELS - form.zero))] if form.zero < LEVELS else []
    if form.zero > 0 and not node.attributes.get("relu"):
        use.append(max(-float(y.min()), 0.0) / (form.scale * form.zero))
    return max(use)


# --- weights ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Update:
    quanta: float
    ratio: float
    moved: float


def _weights_at_end(look: Look, layer: str) -> float:
    w = _values(look.after, f"{layer}_w")
    return float(((w == 0) | (w == LEVELS)).mean())


def _weight_levels(snapshot: Snapshot, layer: str) -> float:
    weight, _ = real_weights(snapshot, layer)
    return float(np.sqrt(np.mean(weight**2))) / snapshot.record(f"{layer}_state")["w_scale"]


def _update(look: Look, layer: str) -> _Update:
    """Compare the weights before and after one update, as real numbers: their scale may have moved."""
    old, new = real_weights(look.before, layer)[0], real_weights(look.after, layer)[0]
    change, size = np.abs(new - old), float(np.sqrt(np.mean(old**2)))
    quantum = look.before.record(f"{layer}_state")["w_scale"] if is_quantised(look.before.program, layer) else 0.0
    moved = float((change > quantum / 2).mean())
    return _Update(float(change.mean()) / quantum if quantum else 0.0, float(change.mean()) / (size or 1.0), moved)


# --- errors and gradients --------------------------------------------------------------------------------------------


def _dead(looks: Sequence[Look], node: Node) -> tuple[float, float]:
    """Return the share of errors that underflow, and what they add up to; what a rectifier masks does not count."""
    dead = alive = 0
    lost = total = 0.0
    for look in looks:
        quantised = _values(look.before, _error_name(look.before, node.name)) - ERROR_ZERO
        true = np.abs(_values(look.shadow, _error_name(look.shadow, node.name)))
        true[_masked(look.before, node)] = 0
        gone = (quantised == 0) & (true > 0)
        dead, alive = dead + int(gone.sum()), alive + int((true > 0).sum())
        lost, total = lost + float(true[gone].sum()), total + float(true.sum())
    return (dead / alive if alive else 0.0), (lost / total if total else 0.0)


def _error_name(snapshot: Snapshot, layer: str) -> str:
    """Return the buffer that a layer's weight gradient reads its error from."""
    values = next(record.values for record in snapshot.program.records if record.name == f"{layer}_weight_gradient")
    return cast("Array", values["e"]).name


def _masked(snapshot: Snapshot, node: Node) -> NDArray[np.bool_]:
    y = _values(snapshot, node.output)
    if not node.attributes.get("relu"):
        return np.zeros(len(y), np.bool_)
    zero = snapshot.record(f"{node.name}_quant")["y_zero"]
    masked: NDArray[np.bool_] = y <= zero
    return masked


def _gradient_saturation(looks: Sequence[Look], layer: str) -> float | None:
    limit = LIMITS.get(looks[0].before.program.buffers[f"{layer}_g"].ctype)
    if limit is None:
        return None
    return _mean([float((np.abs(_values(look.before, f"{layer}_g")) >= limit).mean()) for look in looks])


def _exponent(snapshot: Snapshot, layer: str) -> int:
    """Return the power of two that the error of a layer's output is stored in."""
    values = parameter(snapshot.program, layer)
    scale = snapshot.record(cast("Address", values["error"]).name)["scale"] * cast("float", values["error_factor"])
    return int(np.frexp(scale)[1]) - 1
