# SPDX-License-Identifier: Apache-2.0
"""Models in training for tests: each is lowered and linked once per run, with one library of kernels for all."""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from kilograd import __version__, paths, tools
from kilograd.build import build_kernels
from kilograd.data import load_dataset
from kilograd.engines.host import HostEngine
from kilograd.generate import generate
from kilograd.graph import make_graph
from kilograd.kernels import VARIANTS
from kilograd.link.session import Session
from kilograd.lower import Settings, make_steps
from kilograd.plan import plan
from kilograd.quantise import store_input
from kilograd.recipes import RECIPES
from kilograd.schedule import make_schedule, train
from kilograd.state import float_graph, split_state
from kilograd.types import DENSE, Samples, Sparsity
from kilograd.zoo import _layers as layer
from kilograd.zoo import build_model, models

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from kilograd.types import Graph, Plan, Program, QuantisedGraph

CALIBRATION_SAMPLES = 200
FIRMWARE = paths.share() / "firmware"
FORMATS = {"uint8": {"uint8"}, "mixed": {"uint8", "float32"}, "float32": {"float32"}}
SUPPORTED = [
    (configuration, recipe)
    for configuration, formats in FORMATS.items()
    for recipe, rule in RECIPES.items()
    if formats in rule.formats
]
"""Configurations, each with the recipes that train all its layers."""
PLAIN = "plain"
"""A core of no board: it has no kernels of its own, and takes all of them in plain C."""
VARIANTS[PLAIN] = ()


@dataclass(frozen=True)
class Twin:
    """A model's program, and its host twin, which is built when it is run first."""

    quantised: QuantisedGraph
    trained: frozenset[str]
    program: Program
    plan: Plan
    folder: Path
    library: Path

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Run the twin from its first state."""
        executable = self.folder / "twin"
        if not executable.exists():
            link(generate(self.program, self.plan, self.folder), self.library, executable)
        with HostEngine(executable) as engine:
            yield Session(engine)

    def store(self, samples: Samples) -> tuple[NDArray[np.uint8] | NDArray[np.float32], NDArray[np.int64]]:
        """Return inputs as the firmware takes them, and labels."""
        return store_input(samples.x, self.program.input_format), samples.y

    def with_parts(self, state: bytes, parts: Mapping[str, bytes]) -> bytes:
        """Return a state in which some objects have other bytes."""
        old = split_state(self.program, state)
        return b"".join(parts.get(name, old[name]) for name in self.program.state)


@dataclass
class Twins:
    """Makes twins in a folder; the same model and settings are built once."""

    folder: Path
    library: Path
    _made: dict[tuple[object, ...], Twin] = field(default_factory=dict)
    _pretrained: Graph | None = None

    def get(
        self,
        graph: Graph,
        configuration: str,
        recipe: str = "best",
        *,
        layers: str | int | tuple[str, ...] = "all",
        core: str = "host",
        formats: Mapping[str, str] | None = None,
        parameters: str = "all",
        bits: int = 16,
        sparsity: Sparsity = DENSE,
        kernels: str = "fast",
    ) -> Twin:
        """Return the twin of a model, calibrated with samples of its shape."""
        settings = Settings(configuration, recipe, layers, formats or {}, parameters, bits, sparsity, kernels)
        key = (graph.name, fingerprint(graph), repr(settings), core)
        if key not in self._made:
            self._made[key] = self._make(graph, settings, core)
        return self._made[key]

    def pretrained(self) -> Graph:
        """Return digits_cnn with float32 weights that know the digits."""
        if self._pretrained is None:
            twin = self.get(build_model("digits_cnn", seed=5), "float32")
            train_set, _ = digits()
            with twin.session() as session:
                schedule = make_schedule(len(train_set), 6, 48, 3e-3, 1)
                train(session, train_set, twin.program.input_format, schedule, lambda _: None)
                graph = float_graph(twin.quantised.graph, twin.program, session.read_state())
            self._pretrained = make_graph("digits_pretrained", graph.shapes[graph.input], graph.nodes)
        return self._pretrained

    def _make(self, graph: Graph, settings: Settings, core: str) -> Twin:
        calibration = samples_for(graph).x[:CALIBRATION_SAMPLES]
        quantised, trained, program = make_steps(graph, settings, calibration, core, self.library)
        folder = self.folder / str(len(self._made))
        return Twin(quantised, trained, program, plan(program), folder, self.library)


def fingerprint(graph: Graph) -> int:
    """Return a checksum of all weights and biases."""
    arrays = (array for node in graph.nodes for array in (node.weight, node.bias) if array is not None)
    return zlib.crc32(b"".join(array.tobytes() for array in arrays))


def link(model: Path, library: Path, executable: Path) -> None:
    """Build a twin from a generated file and the library of all kernels."""
    tools.run(
        [
            "gcc", "-std=c11", "-O1", "-ffp-contract=off", f'-DKG_VERSION="{__version__}"',
            "-DKG_LINK_BUFFER_BYTES=1048576", "-I", FIRMWARE, "-I", FIRMWARE / "include",
            model, FIRMWARE / "app" / "main.c", library, f"-Wl,-rpath,{library.parent}", "-o", executable,
        ],
        what=f"linking the twin of {model.parent.name}",
    )  # fmt: skip


def make_twins(folder: Path) -> Twins:
    """Build the kernels and return a maker of twins."""
    return Twins(folder, build_kernels(folder / "kernels"))


def digits() -> tuple[Samples, Samples]:
    """Return the training and test digits."""
    data = load_dataset("digits")
    return data.train, data.test


def samples_for(graph: Graph) -> Samples:
    """Return training digits in the size of a model's input: 8x8, or enlarged for 28x28."""
    train_set, _ = digits()
    if graph.shapes[graph.input] == train_set.x.shape[1:]:
        return train_set
    large = np.kron(train_set.x, np.ones((3, 3), np.float32))
    return Samples(np.pad(large, ((0, 0), (0, 0), (2, 2), (2, 2))), train_set.y)


def some(samples: Samples, count: int, seed: int = 0) -> Samples:
    """Return that many samples in random order, with repetition where there are fewer."""
    chosen = np.random.default_rng(seed).integers(len(samples), size=count)
    return Samples(samples.x[chosen], samples.y[chosen])


def classifiers() -> list[str]:
    """Return the names of the built-in models that tell classes apart."""
    return [name for name in models() if build_model(name, seed=0).loss == "cross_entropy"]


def small_vae() -> Graph:
    """Return a variational autoencoder of four latent variables for images of 8x8."""
    rng = np.random.default_rng(6)
    nodes = (
        layer.conv2d(rng, "conv1", "input", (1, 6), 3, stride=2, pad=1, relu=True),
        layer.flatten("features", "conv1"),
        layer.linear(rng, "heads", "features", (96, 8)),
        layer.sample("latent", "heads"),
        layer.linear(rng, "decoder", "latent", (4, 32), relu=True),
        layer.reshape("map", "decoder", (8, 2, 2)),
        layer.upsample("up1", "map", 2),
        layer.conv2d(rng, "conv2", "up1", (8, 4), 3, pad=1, relu=True),
        layer.conv_transpose2d(rng, "conv3", "conv2", (4, 1)),
    )
    return make_graph("small_vae", (1, 8, 8), nodes, loss="elbo")


def branching_net() -> Graph:
    """Return a small model with every operator: strides, groups, overlapping pools, joins with and without masks."""
    rng = np.random.default_rng(3)
    nodes = (
        layer.conv2d(rng, "stem", "input", (1, 6), 3, pad=1),
        layer.relu("stem_relu", "stem"),
        layer.conv2d(rng, "block", "stem_relu", (6, 6), 3, pad=1, groups=3, relu=True),
        layer.add("sum", ("block", "stem"), relu=True),
        layer.conv2d(rng, "left", "sum", (6, 4), 3, stride=2, pad=1, relu=True),
        layer.conv2d(rng, "right", "sum", (6, 4), 1, stride=2, relu=True),
        layer.add("join", ("left", "right")),
        layer.relu("join_relu", "join"),
        overlapping_average("smooth", "join_relu"),
        layer.conv2d(rng, "depthwise", "smooth", (4, 4), 3, pad=1, groups=4, relu=True),
        layer.max_pool("pool", "depthwise", 2),
        layer.conv2d(rng, "pointwise", "pool", (4, 12), 1, relu=True),
        layer.average_pool("mean", "pointwise", 2),
        layer.flatten("features", "mean"),
        layer.linear(rng, "fc", "features", (12, 10)),
    )
    return make_graph("branching", (1, 8, 8), nodes)


def gated_net() -> Graph:
    """Return a small model with every kind of gate, and rectifiers that clamp from above, with and without joins."""
    rng = np.random.default_rng(4)
    nodes = (
        clamped(layer.conv2d(rng, "stem", "input", (1, 8), 3, stride=2, pad=1, relu=True), 0.5),
        layer.max_pool("pool", "stem", 2),
        layer.conv2d(rng, "wide", "pool", (8, 6), 1),
        layer.Node("swish", "hard_swish", ("wide",), "swish"),
        layer.average_pool("squeeze", "swish", 2),
        clamped(layer.conv2d(rng, "reduce", "squeeze", (6, 3), 1, relu=True), 0.3),
        layer.conv2d(rng, "excite", "reduce", (3, 6), 1),
        layer.Node("gate", "hard_sigmoid", ("excite",), "gate", {"slope": 0.4, "offset": 0.6}),
        layer.Node("scaled", "mul", ("swish", "gate"), "scaled"),
        layer.conv2d(rng, "narrow", "scaled", (6, 8), 1),
        clamped(layer.add("sum", ("narrow", "pool"), relu=True), 0.6),
        clamped(layer.conv2d(rng, "left", "sum", (8, 6), 3, pad=1, relu=True), 0.4),
        layer.conv2d(rng, "right", "sum", (8, 6), 1),
        layer.Node("silu_gate", "sigmoid", ("right",), "silu_gate"),
        layer.Node("silu", "mul", ("right", "silu_gate"), "silu"),
        layer.Node("grown", "exp", ("left",), "grown"),
        layer.Node("product", "mul", ("grown", "silu"), "product"),
        clamped(layer.relu("capped", "product"), 0.1),
        layer.flatten("features", "capped"),
        clamped(layer.linear(rng, "hidden", "features", (24, 12), relu=True), 0.3),
        layer.linear(rng, "fc", "hidden", (12, 10)),
    )
    return make_graph("gated", (1, 8, 8), nodes)


def clamped(node: layer.Node, limit: float) -> layer.Node:
    """Return a rectified layer that lets no more than the limit through."""
    return replace(node, attributes={**node.attributes, "clamp": limit})


def with_biases(graph: Graph) -> Graph:
    """Return the same graph with random biases: a rectifier of exactly zero would sit on its kink."""
    rng = np.random.default_rng(2)
    nodes = []
    for node in graph.nodes:
        if node.bias is None:
            nodes.append(node)
            continue
        bias = rng.uniform(-0.1, 0.1, node.bias.shape).astype(np.float32)
        nodes.append(replace(node, bias=bias))
    return make_graph(graph.name, graph.shapes[graph.input], nodes, loss=graph.loss)


def overlapping_average(name: str, source: str) -> layer.Node:
    """Return an average pooling of 3x3 with stride 1 that keeps the size of the map."""
    attributes = {"kernel": (3, 3), "stride": (1, 1), "pads": (1, 1, 1, 1)}
    return layer.Node(name, "average_pool", (source,), name, attributes)
