# SPDX-License-Identifier: Apache-2.0
"""A core without an FPU computes floats in software: what every sample costs must not hold any for each weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kilograd.build import build_firmware
from kilograd.engines.builtin import BuiltinEngine
from kilograd.graph import make_graph
from kilograd.link.session import Session
from kilograd.lower import Settings, lower
from kilograd.platforms.board import load_board
from kilograd.quantise import store_input
from kilograd.types import Sparsity
from kilograd.zoo._layers import flatten, linear
from workshop import workshop

if TYPE_CHECKING:
    import pytest

    from kilograd.types import Graph
    from workshop import Workshop

HIDDEN, CLASSES = 16, 4
FLOATS = ("__aeabi_f", "__aeabi_i2f", "__aeabi_ui2f", "__aeabi_d")


def net(features: int) -> Graph:
    """Return two linear layers."""
    rng = np.random.default_rng(features)
    nodes = (
        flatten("vector", "input"),
        linear(rng, "hidden", "vector", (features, HIDDEN), relu=True),
        linear(rng, "scores", "hidden", (HIDDEN, CLASSES)),
    )
    return make_graph("net", (features, 1, 1), nodes)


def float_operations(features: int, sparsity: Sparsity, shop: Workshop) -> int:
    """Count the calls of soft float while one sample is trained, without an update."""
    board, graph = load_board("rp2040"), net(features)
    x = np.random.default_rng(1).uniform(-1, 1, (8, features, 1, 1)).astype(np.float32)
    settings = Settings("uint8", "best", "all", sparsity=sparsity)
    lowered = lower(graph, settings, x, board.core, shop.kernels, shop.root / board.name)
    elf = build_firmware([lowered.source], board, shop.root / board.name / "build")
    with BuiltinEngine(elf, board) as chip:
        chip.start_profile()
        session = Session(chip)
        session.configure(1, 0, 48, 1e-3)
        chip.start_profile()
        session.train(store_input(x[:1], lowered.program.input_format), np.zeros(1, np.int64))
        calls = [call for call in chip.profile() if "kg_trainer_train" in call.stack]
    return sum(call.calls for call in calls if call.stack[-1].startswith(FLOATS))


def test_floats_of_a_sample_do_not_grow_with_the_weights(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The loss needs some for each class, scales a few for each layer; 3 072 more weights need none."""
    shop = workshop(tmp_path_factory)
    for sparsity in (Sparsity(), Sparsity(0.25, 0.25)):
        few, many = (float_operations(features, sparsity, shop) for features in (64, 256))

        assert 20 < few < 600
        assert abs(many - few) < 20
