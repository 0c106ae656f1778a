# SPDX-License-Identifier: Apache-2.0
"""What operators use to lower themselves: a builder that collects buffers, records and steps of one program."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from kilograd.fixed_point import add_weights, requant
from kilograd.losses import loss_of
from kilograd.ops import _rectifier
from kilograd.recipes import GRADIENT_BITS, find_recipe
from kilograd.types import DENSE, Address, Array, Buffer, Record, Sparsity, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from kilograd.kernels import Kernels
    from kilograd.recipes import Recipe
    from kilograd.types import Format, Graph, Node, QuantisedGraph, StoredWeights, Value

ERROR_ZERO = 128
OUTPUT_EXPONENT = -7  # scale 2^-7 covers the output error's [-1, 1)
PAPER_SCALE = np.float32(2 / 255)  # errors in [-1, 1], every layer
CTYPES = {"uint8": "uint8_t", "float32": "float"}
SUFFIXES = {"uint8": "u8", "float32": "f32"}
RENAMES = ("flatten", "reshape")
MOVES = (*RENAMES, "max_pool", "upsample")  # values that go elsewhere, unchanged


@dataclass(frozen=True)
class Error:
    """
    The error of a tensor: its buffer, and for uint8 its scale: the record `scale` times a constant factor.

    `masked` says that elements whose ReLU was off are already zero.
    """

    buffer: str
    scale: str | None
    factor: float
    masked: bool


@dataclass(frozen=True)
class Pooled:
    """
    An error behind a pool that holds all errors before it: rows may be ranked by it.

    `add_step` adds the step before the pool, for the rows in a list of kept ones.
    """

    error: Error
    count: int
    add_step: Callable[[str | None], None]


@dataclass
class Lowering:
    """A program in the making."""

    quantised: QuantisedGraph
    trained: frozenset[str]
    recipe: str
    kernels: Kernels
    parameters: str = "all"
    gradient_bits: int = GRADIENT_BITS
    sparsity: Sparsity = DENSE
    sparse: list[str] = field(default_factory=list)
    buffers: dict[str, Buffer] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    state: list[str] = field(default_factory=list)
    forward: list[Step] = field(default_factory=list)
    backward: list[Step] = field(default_factory=list)
    follow: list[Step] = field(default_factory=list)
    update: list[Step] = field(default_factory=list)
    refresh: list[Step] = field(default_factory=list)
    errors: defaultdict[str, list[Error]] = field(default_factory=lambda: defaultdict(list))
    pooled: dict[str, Pooled] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Learn who makes and who reads each tensor, and where errors must flow."""
        nodes = self.graph.nodes
        self.producer = {node.output: node for node in nodes}
        readers = (node for node in nodes if node.op not in RENAMES)
        self.readers = Counter(self.source(tensor) for node in readers for tensor in node.inputs)
        self.needs_error: set[str] = set()
        for node in nodes:
            if node.name in self.trained or any(tensor in self.needs_error for tensor in node.inputs):
                self.needs_error.add(node.output)

    @property
    def rule(self) -> Recipe:
        """Return what the recipe asks for."""
        return find_recipe(self.recipe)

    @property
    def graph(self) -> Graph:
        """Return the graph that is lowered."""
        return self.quantised.graph

    def function(self, prefixes: Mapping[str, str], suffix: str, verb: str) -> str:
        """Return the name of a recipe's function, without kg_; integer gradients have one for each width."""
        narrow = suffix == "u8" and self.rule.integer_gradients and self.parameters == "all"
        width = f"_g{self.gradient_bits}" if narrow and self.gradient_bits != GRADIENT_BITS else ""
        return f"{prefixes[suffix]}{width}_{suffix}_{verb}"

    def format(self, tensor: str) -> Format:
        """Return how a tensor is stored."""
        return self.quantised.formats[tensor]

    def suffix(self, node: Node) -> str:
        """Return the suffix of the kernels of a node: the arithmetic it works in is its input's."""
        return SUFFIXES[self.format(node.inputs[0]).dtype]

    def weights(self, node: Node) -> StoredWeights:
        """Return a node's weights as the firmware stores them."""
        return self.quantised.weights[node.name]

    def count(self, tensor: str) -> int:
        """Return the number of elements of a tensor."""
        return math.prod(self.graph.shapes[tensor])

    def stream(self) -> int:
        """Return the stream of dither of the trained layer that is being lowered."""
        return len(self.update)

    def is_sparse(self, node: Node) -> bool:
        """Tell whether only some rows of a layer learn from a sample: the last trained layer always learns whole."""
        trained = [other.name for other in self.graph.nodes if other.name in self.trained]
        return not self.sparsity.dense and node.name in trained[:-1]

    # --- feature buffers ---------------------------------------------------------------------------------------------

    def source(self, tensor: str) -> str:
        """Return the tensor that holds the values: some operators only rename."""
        node = self.producer.get(tensor)
        return self.source(node.inputs[0]) if node is not None and node.op in RENAMES else tensor

    def tensor(self, tensor: str) -> str:
        """Return the feature buffer of an activation."""
        tensor = self.source(tensor)
        return self.feature(tensor, CTYPES[self.format(tensor).dtype], self.count(tensor))

    def feature(self, name: str, ctype: str, count: int) -> str:
        """Return the feature buffer of this name, made when it is new."""
        self.buffers.setdefault(name, Buffer(name, ctype, count, "features"))
        return name

    # --- memory that stays -------------------------------------------------------------------------------------------

    def array(self, name: str, ctype: str, count: int, segment: str, data: NDArray[np.generic] | None = None) -> str:
        """Add an array outside the arena; trained and gradient arrays are part of the state."""
        self.buffers[name] = Buffer(name, ctype, count, segment, data)
        if segment in {"trained", "gradients"}:
            self.state.append(name)
        return name

    def record(self, name: str, ctype: str, values: Mapping[str, Value], *, mutable: bool = False) -> str:
        """Add a structure; mutable ones are part of the state."""
        self.records[name] = Record(name, ctype, values, mutable)
        if mutable:
            self.state.append(name)
        return name

    def add_parameters(self, node: Node) -> tuple[str, str]:
        """Add a layer's weights and biases: in RAM where they train, else in flash."""
        stored = self.weights(node)
        segment = "trained" if node.name in self.trained else "weights"
        kept = "weights" if self.parameters == "biases" else segment
        w = self.array(f"{node.name}_w", CTYPES[stored.format.dtype], stored.weight.size, kept, stored.weight)
        ctype = "float" if stored.format.dtype == "float32" else "int32_t"
        b = self.array(f"{node.name}_b", ctype, stored.bias.size, segment, stored.bias)
        return w, b

    # --- steps -------------------------------------------------------------------------------------------------------

    def step(
        self,
        phase: list[Step],
        node: Node | str,
        role: str,
        function: str,
        args: Record | str,
        *,
        reads: Iterable[str] = (),
        writes: Iterable[str] = (),
        inplace: tuple[str, str] | None = None,
    ) -> None:
        """Append a step; `reads` and `writes` are feature buffers, `args` a new record or one added before."""
        layer = node if isinstance(node, str) else node.name
        if isinstance(args, Record):
            self.records[args.name] = args
        record = args if isinstance(args, Record) else self.records[args]
        chosen = self.kernels.choose(f"kg_step_{function}").name
        phase.append(Step(layer, role, chosen, record, tuple(reads), tuple(writes), inplace))

    # --- errors ------------------------------------------------------------------------------------------------------

    def takes_integers(self, tensor: str) -> bool:
        """Tell whether a float tensor is the unrounded result of a uint8 layer, which takes its error in uint8."""
        node = self.producer.get(self.source(tensor))
        return node is not None and node.op == "linear" and self.suffix(node) == "u8"

    def rectified(self, tensor: str) -> bool:
        """Tell whether a tensor's values are the output of a ReLU, perhaps behind operators that move values only."""
        return self.rectifier(tensor) is not None

    def rectifier(self, tensor: str) -> Node | None:
        """Return the node whose ReLU gives a tensor's values."""
        node = self.producer.get(tensor)
        if node is not None and node.op in MOVES:
            return self.rectifier(node.inputs[0])
        return node if node is not None and _rectifier.rectifies(node) else None

    def mask(self, tensor: str) -> str | None:
        """Return the buffer that masks this tensor's error, where it has a ReLU; from here on it only is a mask."""
        node = self.rectifier(tensor)
        if node is None:
            return None
        buffer = self.tensor(tensor)
        self._fold_clamp(node, self.source(tensor), buffer)
        return buffer

    def _fold_clamp(self, node: Node, tensor: str, buffer: str) -> None:
        """Zero what a clamp from above has stopped: then one comparison masks what either clamp has stopped."""
        form = self.format(tensor)
        stored = _rectifier.clamped_u8(node, form) if form.dtype == "uint8" else _rectifier.clamp(node)
        if stored is None:
            return
        args: dict[str, Value] = {"count": self.count(tensor), "y_max": stored, "y": Array(buffer)}
        if form.dtype == "uint8":
            args["zero"] = form.zero
        suffix = SUFFIXES[form.dtype]
        record = Record(f"{tensor}_mask", f"kg_relu_mask_{suffix}_t", args)
        self.step(self.backward, tensor, "mask", f"relu_mask_{suffix}", record, reads=[buffer], writes=[buffer])

    def early_mask(self, tensor: str) -> str | None:
        """Return the mask to apply at once: a tensor with several readers is masked after the join."""
        return self.mask(tensor) if self.readers[self.source(tensor)] == 1 else None

    def new_scale(self, name: str, *, follows: bool = True) -> str:
        """Add the scale of a new uint8 error; it follows the errors unless the recipe fixes it."""
        exponent = OUTPUT_EXPONENT
        fixed = self.rule.fixed_errors
        values: dict[str, Value] = {
            "scale": float(PAPER_SCALE) if fixed else 2.0**exponent,
            "exponent": exponent,
            "peak": 0.0,
            "range": 0.0,
        }
        scale = self.record(f"{name}_scale", "kg_error_scale_t", values, mutable=True)
        if follows and not fixed:
            largest = float(loss_of(self.graph).LARGEST_ERROR)
            args = Record(f"{scale}_follow", "kg_error_scale_follow_t", {"error": Address(scale), "largest": largest})
            self.step(self.follow, name, "error scale", "error_scale_follow", args)
        return scale

    def error_buffer(self, node: Node, tensor: str) -> str:
        """Add the buffer of the error that one reader gives to a tensor."""
        name = f"{tensor}_error_{node.name}" if self.readers[tensor] > 1 else f"{tensor}_error"
        return self.feature(name, CTYPES[self.format(tensor).dtype], self.count(tensor))

    def new_error(self, node: Node, tensor: str, *, masked: bool) -> Error:
        """Add the error that one reader gives to a tensor, with a scale of its own in uint8."""
        tensor = self.source(tensor)
        buffer = self.error_buffer(node, tensor)
        scale = self.new_scale(buffer) if self.format(tensor).dtype == "uint8" else None
        return Error(buffer, scale, 1.0, masked or not self.rectified(tensor))

    def pass_error(self, tensor: str, error: Error) -> None:
        """Give a tensor the error of its reader's output, in the same memory."""
        if tensor in self.needs_error:
            self.errors[self.source(tensor)].append(replace(error, masked=not self.rectified(tensor)))

    def error_factor(self, node: Node, name: str, unit: np.float32, above: Error, below: Error) -> str:
        """Add the fixed-point factor from one error to another, times a constant, and the step that renews it."""
        factor = requant(unit * np.float32(above.factor))  # all scales start equal
        self.record(name, "kg_requant_t", factor, mutable=True)
        args: dict[str, Value] = {
            "factor": Address(name),
            "unit": float(unit),
            "e_scale": error_ref(above),
            "dx_scale": Address(str(below.scale)),
        }
        record = Record(f"{name}_refresh", "kg_factor_refresh_u8_t", args)
        self.step(self.refresh, node, "refresh", "factor_refresh_u8", record)
        return name

    def settle(self, tensor: str) -> Error:
        """Return a tensor's whole error: the only one, or the join of all, masked where it has a ReLU."""
        tensor = self.source(tensor)
        errors = self.errors[tensor]
        while len(errors) > 1:
            errors.append(self._join(tensor, errors.pop(0), errors.pop(0), last=len(errors) == 0))
        (error,) = errors
        if self.rectified(tensor) and not error.masked:
            error = self._join(tensor, error, None, last=True)
        self.errors[tensor] = [error]
        return error

    def _join(self, tensor: str, a: Error, b: Error | None, *, last: bool) -> Error:
        mask = self.mask(tensor) if last else None
        name = f"{tensor}_error" if last else f"{tensor}_error_{len(self.errors[tensor])}"
        dtype = self.format(tensor).dtype
        buffer = self.feature(name, CTYPES[dtype], self.count(tensor))
        joined = Error(buffer, self.new_scale(name) if dtype == "uint8" else None, 1.0, masked=True)
        values: dict[str, Value] = {
            "count": self.count(tensor),
            "a": Array(a.buffer),
            "b": Array(b.buffer) if b else None,
            "mask": Array(mask) if mask else None,
            "dx": Array(buffer),
        }
        if dtype == "uint8":
            values |= self._join_quant(tensor, name, (a, b, joined))
        args = Record(f"{name}_join", f"kg_join_{SUFFIXES[dtype]}_t", values)
        reads = [error.buffer for error in (a, b) if error] + ([mask] if mask else [])
        self.step(
            self.backward, tensor, "join", f"join_{SUFFIXES[dtype]}", args,
            reads=reads, writes=[buffer], inplace=(buffer, a.buffer),
        )  # fmt: skip
        return joined

    def _join_quant(self, tensor: str, name: str, errors: tuple[Error, Error | None, Error]) -> dict[str, Value]:
        """Add the join's integer weights, and the update step that renews them when a scale has moved."""
        a, b, joined = errors
        zeros: dict[str, Value] = {"a_zero": ERROR_ZERO, "b_zero": ERROR_ZERO, "y_zero": ERROR_ZERO}
        weights = add_weights(np.float32(a.factor), np.float32(b.factor if b else 0))
        values = zeros | {"y_min": 0, "y_max": 255} | weights
        quant = self.record(f"{name}_quant", "kg_add_quant_t", values, mutable=True)
        nothing: Mapping[str, Value] = {"error": None, "factor": 0.0}
        refresh: dict[str, Value] = {
            "quant": Address(quant),
            "a_scale": error_ref(a),
            "b_scale": error_ref(b) if b else nothing,
            "dx_scale": Address(str(joined.scale)),
        }
        args = Record(f"{name}_join_refresh", "kg_join_refresh_u8_t", refresh)
        self.step(self.refresh, tensor, "refresh", "join_refresh_u8", args)
        zero = self.format(tensor).zero
        return {"mask_zero": zero, "quant": Address(quant), "dx_scale": Address(str(joined.scale))}


def error_ref(error: Error) -> dict[str, Value]:
    """Return an error's scale as kg_error_ref_t."""
    return {"error": Address(str(error.scale)), "factor": error.factor}
