# SPDX-License-Identifier: Apache-2.0
"""Training with sparse updates: bit for bit against the oracle, and what is dropped costs and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilograd.data import load_dataset
from kilograd.graph import make_graph
from kilograd.lower import Settings
from kilograd.platforms.board import load_board
from kilograd.schedule import make_schedule, train
from kilograd.state import read_array, split_state
from kilograd.types import DENSE, Sparsity
from kilograd.zoo import _layers as layers
from oracle_select import SparseOracle
from test_training_step import BATCH, SEED, check_paper_layer, differing, model
from twins import PLAIN, digits, samples_for, some
from workshop import Task, steps, workshop
from workshop import digits as digits_of_size

if TYPE_CHECKING:
    from twins import Twin, Twins

PROPORTIONAL, TOP_K = Sparsity(0.1, 0.6), Sparsity(0.2, 0.8, "top_k")


@dataclass(frozen=True)
class Case:
    """A model, how its rows are chosen, the core whose kernels it takes."""

    model: str
    sparsity: Sparsity = PROPORTIONAL
    core: str = "host"
    layers: str | int | tuple[str, ...] = "all"

    def __str__(self) -> str:
        return f"{self.model}-{self.sparsity.selection}-{self.core}-{self.layers}"

    def twin(self, twins: Twins, recipe: str = "best", configuration: str = "uint8") -> Twin:
        """Return its twin."""
        graph = model(self.model)
        return twins.get(graph, configuration, recipe, layers=self.layers, core=self.core, sparsity=self.sparsity)


CASES = [
    Case("digits_cnn"),
    Case("digits_cnn", TOP_K, PLAIN),
    Case("digits_cnn", Sparsity(0.05, 0.05), PLAIN),
    Case("branching"),
    Case("branching", PROPORTIONAL, PLAIN, ("stem", "right", "fc")),
    Case("branching", TOP_K),
]


def oracle_of(twin: Twin, sparsity: Sparsity, recipe: str = "best") -> SparseOracle:
    """Return the oracle in the twin's first state."""
    oracle = SparseOracle(twin.quantised, twin.trained, sparsity, recipe)
    oracle.seed = SEED
    return oracle


@pytest.mark.parametrize(("case", "recipe"), [*((case, "best") for case in CASES), (CASES[0], "sgd_m_qas")], ids=str)
def test_state_equals_the_oracle_after_every_minibatch(twins: Twins, case: Case, recipe: str) -> None:
    """Selection, gradients, marks and updates of a second implementation have the same bits."""
    twin, minibatches = case.twin(twins, recipe), 5
    oracle = oracle_of(twin, case.sparsity, recipe)
    x, labels = twin.store(some(samples_for(twin.quantised.graph), BATCH * minibatches))
    with twin.session() as session:
        assert differing(twin, session, oracle) == []
        session.configure(SEED, 0, BATCH, 5e-3)
        for start in range(0, len(labels), BATCH):
            part = slice(start, start + BATCH)
            session.evaluate(x[:1], labels[:1] * 0 + 9)  # a wrong label: a large loss that must not count
            session.train(x[part], labels[part])
            oracle.train(x[part], labels[part], 5e-3)

            assert differing(twin, session, oracle) == []
        kept = dict(zip(twin.program.sparse, session.kept(), strict=True))
    assert set(kept) == oracle.sparse == twin.trained - {"fc2", "fc"}
    for name, rows in oracle.kept.items():
        assert kept[name] == (sum(map(len, rows)), len(labels) * len(oracle.layers[name].b))


@pytest.mark.parametrize("selection", ["proportional", "top_k"])
def test_paper_update_skips_rows_and_lets_the_format_only_grow(twins: Twins, selection: str) -> None:
    """In float64 from the same state, over minibatches of two samples that leave many rows out."""
    case = Case("digits_cnn", Sparsity(0.1, 0.3, selection))
    twin = case.twin(twins, "paper")
    oracle = oracle_of(twin, case.sparsity, "paper")
    x, labels = twin.store(some(digits()[0], 16))
    unchanged = grown = 0
    with twin.session() as session:
        session.configure(SEED, 0, 2, 1e-3)
        for start in range(0, len(labels), 2):
            part = slice(start, start + 2)
            oracle.load(split_state(twin.program, session.read_state()))
            before = {name: layer.w_scale for name, layer in oracle.layers.items()}
            session.train(x[part], labels[part])
            oracle.train(x[part], labels[part], 1e-3)

            state = session.read_state()
            for name in twin.trained:
                check_paper_layer(twin, state, oracle, name)
            unchanged += sum(before[name] == oracle.layers[name].w_scale for name in oracle.sparse)
            grown += sum(before[name] < oracle.layers[name].w_scale for name in oracle.sparse)
    assert unchanged > 0
    assert grown > 0


@pytest.mark.parametrize("configuration", ["uint8", "mixed", "float32"])
@pytest.mark.parametrize("recipe", ["best", "paper"])
def test_dropped_rows_are_not_touched(twins: Twins, configuration: str, recipe: str) -> None:
    """A minibatch of one sample and one row of fc1: the other rows keep weights, bias and gradients to the bit."""
    twin = Case("digits_cnn", Sparsity(0.0, 0.0, "top_k")).twin(twins, recipe, configuration)
    x, labels = twin.store(some(digits()[0], 1))
    with twin.session() as session:
        before = session.read_state()
        session.configure(SEED, 0, 1, 1e-5)
        session.train(x, labels)
        after = session.read_state()
        kept = dict(zip(twin.program.sparse, session.kept(), strict=True))

    assert kept["fc1"] == (1, 32)
    for member in ("w", "b", "g"):
        old, new = (read_array(twin.program, state, f"fc1_{member}").reshape(32, -1) for state in (before, after))
        changed = np.flatnonzero((old != new).any(axis=1))
        assert len(changed) <= 1
    w_changed = [read_array(twin.program, state, "fc2_w") for state in (before, after)]
    assert configuration == "uint8" or (w_changed[0] != w_changed[1]).any()  # the last layer learns whole


def test_gradients_have_no_bias(twins: Twins) -> None:
    """The same sample many times with other random numbers: gradients average to the dense ones."""
    sums = {}
    case = Case("digits_cnn", Sparsity(0.15, 0.15))
    x, labels = case.twin(twins).store(some(digits()[0], 1, seed=3))
    repeats = 500
    for sparsity in (DENSE, case.sparsity):
        twin = Case("digits_cnn", sparsity).twin(twins)
        rows = []
        with twin.session() as session:
            first = session.read_state()
            for seed in range(1 if sparsity.dense else repeats):
                session.write_state(first)
                session.configure(seed, 0, 2, 0.0)  # half a minibatch: no update
                session.train(x, labels)
                state = session.read_state()
                rows.append({name: read_array(twin.program, state, f"{name}_gb") for name in ("fc1", "conv2")})
        sums[sparsity] = {name: np.mean([row[name] for row in rows], axis=0) for name in ("fc1", "conv2")}
    for name in ("fc1", "conv2"):
        dense, sparse = sums[DENSE][name], sums[case.sparsity][name]
        size = np.abs(dense).sum()
        assert np.abs(sparse - dense).sum() < 0.25 * size
        assert sparse @ dense == pytest.approx(dense @ dense, rel=0.1)


def test_a_dense_program_has_nothing_of_it(twins: Twins) -> None:
    """With lambda_min = 1 there are no lists, no marks and no selection; the last trained layer never has them."""
    dense, sparse = (Case("digits_cnn", sparsity).twin(twins).program for sparsity in (DENSE, PROPORTIONAL))

    assert not any("kept" in name or "marks" in name or "norms" in name for name in dense.buffers)
    assert {step.layer for step in sparse.phases["backward"] if step.role == "selection"} == {"conv1", "conv2", "fc1"}
    steps_of = [[(step.layer, step.role) for step in program.phases["backward"]] for program in (dense, sparse)]
    assert steps_of[0] == [step for step in steps_of[1] if step[1] != "selection"]
    assert len(sparse.buffers) - len(dense.buffers) == 3 * 3


def pooled_steps(twins: Twins, kernel: int, configuration: str) -> list[tuple[str, str]]:
    """Return the backward steps of a convolution, and of the pool behind it, whose stride is 2."""
    rng = np.random.default_rng(1)
    pool = layers.max_pool("pool", "conv", 2)
    nodes = [
        layers.conv2d(rng, "conv", "input", (1, 6), 3, pad=1, relu=True),
        replace(
            pool, attributes={**pool.attributes, "kernel": (kernel, kernel), "pads": (0, 0, kernel - 2, kernel - 2)}
        ),
        layers.flatten("features", "pool"),
        layers.linear(rng, "fc", "features", (96, 10)),
    ]
    twin = twins.get(make_graph(f"pooled_{kernel}", (1, 8, 8), nodes), configuration, sparsity=PROPORTIONAL)
    return [(step.layer, step.role) for step in twin.program.phases["backward"] if step.layer in {"conv", "pool"}]


def test_only_errors_of_kept_rows_go_through_a_pool(twins: Twins) -> None:
    """Rows are ranked behind a pool where that gives the same norms: no window shares an element, sums are integers."""
    select, route = ("conv", "selection"), ("pool", "input gradient")

    assert pooled_steps(twins, 2, "uint8")[:2] == [select, route]
    assert pooled_steps(twins, 3, "uint8")[:2] == [route, select]
    assert pooled_steps(twins, 2, "float32")[:2] == [route, select]


def test_float32_and_uint8_learn_with_a_tenth_of_the_rows(twins: Twins) -> None:
    """Six epochs of shifted digits: near the dense accuracy, in every number format."""
    data = load_dataset("digits_shifted")
    for configuration in ("uint8", "float32"):
        accuracies = []
        for sparsity in (DENSE, Sparsity(0.1, 1.0)):
            twin = twins.get(twins.pretrained(), configuration, sparsity=sparsity)
            with twin.session() as session:
                schedule = make_schedule(len(data.train), 6, 48, 1e-3, 1)
                train(session, data.train, twin.program.input_format, schedule, lambda _: None)
                accuracies.append(session.evaluate(*twin.store(data.test)).accuracy)
                shares = [kept / rows for kept, rows in session.kept()]
        assert accuracies[1] > accuracies[0] - 0.03
        assert max(shares) < 0.2


@pytest.mark.parametrize("board", ["rp2040"])
def test_instructions_fall_with_lambda(board: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is dropped is not computed: the backward pass and the update are clearly cheaper."""
    shop = workshop(tmp_path_factory)
    train_set, test = digits_of_size(48)
    costs = []
    for sparsity in (DENSE, Sparsity(0.1, 0.1)):
        settings = Settings("uint8", "best", "all", sparsity=sparsity)
        task = Task(model("digits_cnn"), settings, train_set, test, steps(48, 4))
        costs.append(shop.instructions(task, load_board(board)))

    dense, sparse = costs
    assert sparse.forward == pytest.approx(dense.forward, rel=0.05)  # activations differ, and with them zeros
    assert sparse.backward < 0.45 * dense.backward  # work per element and position stays
    assert sparse.update < 0.7 * dense.update
