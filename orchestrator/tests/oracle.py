# SPDX-License-Identifier: Apache-2.0
"""
An independent model of quantised training, in numpy: one uint8 training sample, and the updates of all recipes.

Written from the specification of the method and the comments in the headers of firmware/: whole numbers are int64,
fixed-point factors are exact fractions, and float32 appears only where the runtime says float. The object names of the
state are those of the generated tables, so that a whole state can be compared.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

import oracle_gates
from oracle_numbers import (
    ONE,
    ZERO,
    Array,
    Error,
    F,
    Join,
    Refresh,
    dither,
    is_rectified,
    join_weights,
    limits,
    narrow,
    nearest,
    requant,
    stopped_above,
    top_bits,
    window,
)
from oracle_state import StateBytes
from oracle_update import (
    GRADIENT,
    OUTPUT_EXPONENT,
    Layer,
    Scale,
    follow,
    update_best,
    update_biases,
    update_paper,
    update_sgd,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilograd.types import Node, QuantisedGraph

PAPER_SCALE = F(2 / 255)


class Oracle(StateBytes):
    """A uint8 network in training."""

    def __init__(
        self,
        quantised: QuantisedGraph,
        trained: frozenset[str],
        recipe: str = "best",
        parameters: str = "all",
        bits: int = 16,
    ) -> None:
        self.quantised, self.trained, self.recipe, self.parameters = quantised, trained, recipe, parameters
        self.bits = bits
        self.graph = quantised.graph
        self.seed = self.samples = self.updates = 0
        self.producer = {node.output: node for node in self.graph.nodes}
        self.needs_error = self._needs_error()
        self.scales: dict[str, Scale] = {}
        self.joins: dict[str, Join] = {}
        self.factors: dict[str, F] = {}
        self.refreshes: dict[tuple[str, str], Refresh] = {}
        self.underflow: dict[str, tuple[int, int]] = {}
        """By error: elements that became zero without a reason, and all elements that were not masked."""
        weighted = (node for node in self.graph.nodes if node.weight is not None)
        self.layers: dict[str, Layer] = {node.name: self._layer(node) for node in weighted}
        self._number_streams()
        self._dry_run()

    # --- structure ---------------------------------------------------------------------------------------------------

    def _needs_error(self) -> set[str]:
        found: set[str] = set()
        for node in self.graph.nodes:
            if node.name in self.trained or found.intersection(node.inputs):
                found.add(node.output)
        return found

    def _layer(self, node: Node) -> Layer:
        stored = self.quantised.weights[node.name]
        x, y = (self.quantised.formats[tensor] for tensor in (node.inputs[0], node.output))
        rows = stored.weight.shape[0]
        layer = Layer(
            stored.weight.reshape(rows, -1).astype(np.int64), stored.bias.astype(np.int64),
            stored.format.zero, F(stored.format.scale), x.zero, F(x.scale), y.zero, F(y.scale),
            limits=limits(node, y),
        )  # fmt: skip
        layer.g = np.zeros(layer.w.shape, self.kind)
        layer.gb = np.zeros(rows, np.int64)
        layer.bits, layer.g_shift = self.bits, {8: 14, 16: 6, 32: 0}[self.bits]
        layer.statistics, layer.bias_momentum = np.zeros((rows, 4)), np.zeros(rows, F)
        layer.forward = layer.w_scale * layer.x_scale / layer.y_scale
        return layer

    def _number_streams(self) -> None:
        """Give every trained layer its stream of dither: counted from the loss."""
        names = [node.name for node in reversed(self.graph.nodes) if node.name in self.trained]
        for number, name in enumerate(names):
            self.layers[name].stream = number

    def _dry_run(self) -> None:
        """Learn which error scales and joins there are, by training on nothing; leave no other trace."""
        shape = self.graph.shapes[self.graph.input]
        values = self.forward(np.zeros(shape, np.int64))
        self.backward(values, 0)
        for scale in self.scales.values():
            scale.peak = ZERO
        for layer in self.layers.values():
            layer.g[...] = 0
            layer.gb[...] = 0
            layer.statistics[...] = 0
        self.underflow.clear()
        self.refresh()

    def source(self, tensor: str) -> str:
        """Return the tensor that holds the values."""
        node = self.producer.get(tensor)
        return self.source(node.inputs[0]) if node is not None and node.op == "flatten" else tensor

    def readers(self, tensor: str) -> int:
        """Count the nodes that read a tensor, flatten aside."""
        nodes = [node for node in self.graph.nodes if node.op != "flatten"]
        return sum(self.source(used) == self.source(tensor) for node in nodes for used in node.inputs)

    def rectifier(self, tensor: str) -> Node | None:
        """Return the node whose ReLU gives a tensor's values: its error is to be masked where it clamps."""
        node = self.producer.get(tensor)
        if node is not None and node.op in {"max_pool", "flatten"}:
            return self.rectifier(node.inputs[0])
        return node if node is not None and is_rectified(node) else None

    def rectified(self, tensor: str) -> bool:
        """Tell whether a tensor's error is to be masked."""
        return self.rectifier(tensor) is not None

    # --- forward -----------------------------------------------------------------------------------------------------

    def forward(self, x: Array) -> dict[str, Array]:
        """Return all tensors; the logits are float32."""
        values = {self.graph.input: x.astype(np.int64)}
        for node in self.graph.nodes:
            inputs = [values[tensor] for tensor in node.inputs]
            here = getattr(self, f"_forward_{node.op}", None)
            values[node.output] = here(node, *inputs) if here else oracle_gates.forward(self, node, *inputs)
        return values

    def _forward_conv2d(self, node: Node, x: Array) -> Array:
        layer, win, size = self.layers[node.name], window(node), self.graph.shapes[node.output][1:]
        weight = self._grouped(node)
        padded = win.pad(x - layer.x_zero)
        sums = np.zeros((*weight.shape[:2], *size), np.int64)
        for tap in win.taps():
            seen = win.seen(padded, tap, size).reshape(weight.shape[0], -1, *size)
            sums += np.einsum("goi,gihw->gohw", weight[..., tap[0], tap[1]], seen)
        return self._output(layer, sums.reshape(-1, *size) + layer.b[:, None, None])

    def _grouped(self, node: Node) -> Array:
        """Return weights less their zero point: (groups, outputs, inputs, height, width)."""
        layer, shape = self.layers[node.name], self.quantised.weights[node.name].weight.shape
        groups = node.attributes.get("groups", 1)
        assert isinstance(groups, int)
        return (layer.w - layer.w_zero).reshape(groups, shape[0] // groups, *shape[1:])

    def _forward_linear(self, node: Node, x: Array) -> Array:
        layer = self.layers[node.name]
        sums = (layer.w - layer.w_zero) @ (x - layer.x_zero) + layer.b
        if node.output == self.graph.output:
            return sums.astype(F) * (layer.w_scale * layer.x_scale)
        return self._output(layer, sums)

    def _output(self, layer: Layer, sums: Array) -> Array:
        return np.clip(layer.y_zero + requant(sums, layer.forward), *layer.limits)

    def _forward_max_pool(self, node: Node, x: Array) -> Array:
        return self._windows(node, x, fill=-1).max(axis=0)

    def _windows(self, node: Node, x: Array, fill: int) -> Array:
        """Return what each tap sees: (taps, channels, *size)."""
        win, size = window(node), self.graph.shapes[node.output][1:]
        padded = win.pad(x, fill)
        return np.stack([win.seen(padded, tap, size) for tap in win.taps()])

    def _forward_average_pool(self, node: Node, x: Array) -> Array:
        inside, outside = (self.quantised.formats[tensor] for tensor in (node.inputs[0], node.output))
        taps = self._windows(node, x - inside.zero, fill=0)
        factor = F(inside.scale) / (F(outside.scale) * F(len(taps)))
        return np.clip(outside.zero + requant(taps.sum(axis=0), factor), 0, 255)

    def _forward_add(self, node: Node, a: Array, b: Array) -> Array:
        forms = [self.quantised.formats[tensor] for tensor in (*node.inputs, node.output)]
        ratios = [F(form.scale) / F(forms[2].scale) for form in forms[:2]]
        weights = join_weights(*ratios)
        sums = (a - forms[0].zero) * weights.a_weight + (b - forms[1].zero) * weights.b_weight
        rounded = forms[2].zero + ((sums + (1 << (weights.shift - 1))) >> weights.shift)
        return np.clip(rounded, *limits(node, forms[2]))

    def _forward_relu(self, node: Node, x: Array) -> Array:
        return np.clip(x, *limits(node, self.quantised.formats[node.output]))

    def _forward_flatten(self, _: Node, x: Array) -> Array:
        return x.reshape(-1)

    # --- backward ----------------------------------------------------------------------------------------------------

    def backward(self, values: Mapping[str, Array], label: int) -> None:
        """Add one sample's gradients to the buffers, and see the peaks of the errors."""
        self.values = values
        self.errors: dict[str, list[Error]] = {}
        logits = values[self.graph.output].astype(np.float64)
        p = np.exp(logits - logits.max())
        error = p / p.sum() - np.eye(len(p))[label]
        scale = self.scale("loss_error")
        quanta = np.clip(nearest(error / np.float64(scale.scale)), -128, 127)
        self.give(self.graph.output, Error(quanta, "loss_error", ONE, masked=True))
        for node in reversed(self.graph.nodes):
            if node.output in self.needs_error:
                here, error = getattr(self, f"_backward_{node.op}", None), self._settle(node.output)
                _ = here(node, error) if here else oracle_gates.backward(self, node, error)

    def scale(self, name: str) -> Scale:
        """Return an error scale, made when it is first met."""
        first = PAPER_SCALE if self.recipe == "paper" else F(2.0**OUTPUT_EXPONENT)
        return self.scales.setdefault(name, Scale(first))

    def step(self, error: Error) -> F:
        """Return the real step of an error."""
        return self.scales[error.scale].scale * error.factor

    def give(self, tensor: str, error: Error) -> None:
        """Add an error to those of a tensor."""
        self.errors.setdefault(self.source(tensor), []).append(error)

    def _pass(self, tensor: str, error: Error) -> None:
        """Hand an error on unchanged to a tensor that needs it."""
        if tensor in self.needs_error:
            shape = self.graph.shapes[self.source(tensor)]
            self.give(tensor, Error(error.values.reshape(shape), error.scale, error.factor, not self.rectified(tensor)))

    def _off(self, tensor: str) -> Array:
        """Return where the ReLU of a tensor has clamped: at zero, or from above."""
        node, form = self.rectifier(tensor), self.quantised.formats[tensor]
        assert node is not None
        return (self.values[tensor] <= form.zero) | (self.values[tensor] >= stopped_above(node, form))

    def early_mask(self, tensor: str) -> Array | None:
        """Return where the only reader of a tensor must give it no error."""
        if self.readers(tensor) > 1 or not self.rectified(tensor):
            return None
        return self._off(self.source(tensor))

    def _settle(self, tensor: str) -> Error:
        """Return the whole error of a tensor: joined, and masked after the last join."""
        tensor = self.source(tensor)
        errors = self.errors[tensor]
        while len(errors) > 1:
            pair = [errors.pop(0), errors.pop(0)]
            errors.append(self._join(tensor, pair, last=not errors))
        if self.rectified(tensor) and not errors[0].masked:
            errors[0] = self._join(tensor, errors[:1], last=True)
        return errors[0]

    def _join(self, tensor: str, parts: list[Error], *, last: bool) -> Error:
        name = f"{tensor}_error" if last else f"{tensor}_error_{len(self.errors[tensor])}"
        scale = self.scale(name)
        above = tuple((part.scale, part.factor) for part in parts)
        self.refreshes.setdefault(("join", name), Refresh("join", name, above, name))
        join = self.joins.setdefault(name, join_weights(*(part.factor for part in parts)))
        sums = sum(part.values * weight for part, weight in zip(parts, (join.a_weight, join.b_weight), strict=False))
        off = self._off(tensor) if last and self.rectified(tensor) else None
        kept = sums if off is None else np.where(off, 0, sums)
        self._see(scale, int(np.abs(kept).max()), scale.scale * F(2.0**-join.shift))
        rounded = (kept + (1 << (join.shift - 1))) >> join.shift
        return Error(np.clip(rounded, -128, 127), name, ONE, masked=True)

    def _see(self, scale: Scale, peak: int, unit: F) -> None:
        scale.peak = max(scale.peak, F(peak) * unit)

    def _below(self, node: Node, sums: Array, error: Error) -> None:
        """Bring the sums of an input gradient to uint8, masked where the producer's ReLU was off."""
        tensor = self.source(node.inputs[0])
        layer = self.layers[node.name]
        name = f"{tensor}_error_{node.name}" if self.readers(tensor) > 1 else f"{tensor}_error"
        scale = self.scale(name)
        above = ((error.scale, error.factor),)
        self.refreshes[("layer", node.name)] = Refresh("layer", node.name, above, name)
        if layer.backward == ZERO:
            layer.backward = layer.w_scale * error.factor
        off = self.early_mask(tensor)
        sums = sums.reshape(self.graph.shapes[tensor])
        kept = sums if off is None else np.where(off, 0, sums)
        self._see(scale, int(np.abs(kept).max()), layer.w_scale * self.step(error))
        quanta = np.clip(requant(kept, layer.backward), -128, 127)
        lost, alive = self.underflow.get(name, (0, 0))
        self.underflow[name] = lost + int(((quanta == 0) & (kept != 0)).sum()), alive + int((kept != 0).sum())
        self.give(tensor, Error(quanta, name, ONE, masked=off is not None or not self.rectified(tensor)))

    def _weighted(self, node: Node, sums: Array, error: Error) -> None:
        """Add weight gradients (rows, columns) of one sample."""
        self.refreshes.setdefault(
            ("layer", node.name), Refresh("layer", node.name, ((error.scale, error.factor),), None)
        )
        if node.name not in self.trained:
            return
        layer = self.layers[node.name]
        errors = error.values.reshape(len(layer.b), -1)
        layer.gb += errors.sum(axis=1)
        if self.parameters == "biases":
            return
        rows = (errors != 0).any(axis=1)
        if self.recipe == "best":
            u = self._draw(layer, self.samples, GRADIENT)
            added = narrow(layer.g + ((sums + top_bits(u, layer.g_shift)) >> layer.g_shift), self.bits)
            layer.g[rows] = added[rows]
        elif self.recipe != "paper":
            layer.g += self.step(error) * layer.x_scale * sums.astype(F)
        else:
            real = sums * (np.float64(self.step(error)) * np.float64(layer.x_scale))
            layer.g += real
            layer.statistics[:, 2] += real.mean(axis=1)
            layer.statistics[:, 3] += (real**2).mean(axis=1)

    def _backward_linear(self, node: Node, error: Error) -> None:
        layer = self.layers[node.name]
        x = self.values[node.inputs[0]] - layer.x_zero
        self._weighted(node, np.outer(error.values, x), error)
        if node.inputs[0] in self.needs_error:
            self._below(node, error.values @ (layer.w - layer.w_zero), error)

    def _backward_conv2d(self, node: Node, error: Error) -> None:
        layer, win, weight = self.layers[node.name], window(node), self._grouped(node)
        groups, size = len(weight), error.values.shape[1:]
        errors = error.values.reshape(groups, -1, *size)
        padded = win.pad(self.values[node.inputs[0]] - layer.x_zero)
        gradient, below = np.zeros_like(weight), np.zeros_like(padded)
        for tap in win.taps():
            seen = win.seen(padded, tap, size).reshape(groups, -1, *size)
            gradient[..., tap[0], tap[1]] = np.einsum("gohw,gihw->goi", errors, seen)
            spread = np.einsum("goi,gohw->gihw", weight[..., tap[0], tap[1]], errors)
            win.seen(below, tap, size)[...] += spread.reshape(-1, *size)
        self._weighted(node, gradient.reshape(layer.w.shape), error)
        if node.inputs[0] in self.needs_error:
            self._below(node, win.crop(below), error)

    def _backward_max_pool(self, node: Node, error: Error) -> None:
        win, tensor = window(node), self.source(node.inputs[0])
        winner = self._windows(node, self.values[tensor], fill=-1).argmax(axis=0)
        below = win.pad(np.zeros_like(self.values[tensor]))
        for number, tap in enumerate(win.taps()):
            win.seen(below, tap, error.values.shape[1:])[...] += np.where(winner == number, error.values, 0)
        quanta = np.clip(win.crop(below), -128, 127)
        self.give(tensor, Error(quanta, error.scale, error.factor, error.masked))

    def _backward_average_pool(self, node: Node, error: Error) -> None:
        """Sum the errors of all windows, divided by how many an element has at most; the rest goes into the factor."""
        win, tensor = window(node), self.source(node.inputs[0])
        overlap = int(np.prod([-(-kernel // stride) for kernel, stride in zip(win.kernel, win.stride, strict=True)]))
        below = win.pad(np.zeros_like(self.values[tensor]))
        for tap in win.taps():
            win.seen(below, tap, error.values.shape[1:])[...] += error.values
        off = self.early_mask(tensor)
        quanta = np.clip(requant(win.crop(below), F(1) / F(overlap)), -128, 127)
        quanta = quanta if off is None else np.where(off, 0, quanta)
        factor = F(float(error.factor) * overlap / int(np.prod(win.kernel)))
        masked = off is not None or not self.rectified(tensor)
        self.give(tensor, Error(quanta, error.scale, factor, masked))

    def _backward_add(self, node: Node, error: Error) -> None:
        for tensor in node.inputs:
            self._pass(tensor, error)

    def _backward_relu(self, node: Node, error: Error) -> None:
        self._pass(node.inputs[0], error)

    def _backward_flatten(self, node: Node, error: Error) -> None:
        (error,) = self.errors[self.source(node.output)]
        shape = self.graph.shapes[self.source(node.output)]
        self.errors[self.source(node.output)] = [
            Error(error.values.reshape(shape), error.scale, error.factor, error.masked)
        ]

    # --- update ------------------------------------------------------------------------------------------------------

    def train(self, x: Array, labels: Array, rate: float) -> None:
        """Train on one minibatch: all samples, then the update with this learning rate."""
        for sample, label in zip(x, labels, strict=True):
            self.backward(self.forward(sample), int(label))
            self.samples += 1
        self.update(F(rate), len(labels))

    def update(self, rate: F, batch: int) -> None:
        """Do what ends a minibatch."""
        if self.recipe != "paper":
            for name, scale in self.scales.items():
                if name != "loss_error":
                    follow(scale)
        for name, (error, factor) in self._layer_errors().items():
            layer, scale = self.layers[name], self.scales[error]
            if self.parameters == "biases" and self.recipe == "best":
                update_biases(layer, scale, rate)
            elif self.recipe == "best":
                update_best(layer, scale, rate, partial(self._draw, layer, self.updates))
            elif self.recipe != "paper":
                update_sgd(layer, scale, factor, rate, batch, scaled=self.recipe == "sgd_m_qas")
            else:
                update_paper(layer, scale.scale * factor, rate, batch, first=self.updates == 0)
        self.refresh()
        self.updates += 1

    def _draw(self, layer: Layer, tick: int, purpose: int) -> Array:
        return dither(self.seed, layer.stream + purpose, tick, layer.g.size).reshape(layer.g.shape)

    def _layer_errors(self) -> dict[str, tuple[str, F]]:
        return {r.name: r.above[0] for r in self.refreshes.values() if r.kind == "layer" and r.name in self.trained}

    def refresh(self) -> None:
        """Renew every fixed-point factor that depends on scales."""
        for item in self.refreshes.values():
            steps = [self.scales[name].scale * factor for name, factor in item.above]
            if item.kind == "join":
                assert item.below is not None
                below = self.scales[item.below].scale
                self.joins[item.name] = join_weights(*(step / below for step in steps))
                continue
            if item.kind == "factor":
                assert item.below is not None
                self.factors[item.name] = item.unit * steps[0] / self.scales[item.below].scale
                continue
            layer = self.layers[item.name]
            layer.forward = layer.w_scale * layer.x_scale / layer.y_scale
            if item.below is not None:
                layer.backward = layer.w_scale * steps[0] / self.scales[item.below].scale
