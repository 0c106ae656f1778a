# SPDX-License-Identifier: Apache-2.0
"""Training of uint8 networks, bit for bit against the oracle; and what must never go wrong in training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kilograd.data import load_dataset
from kilograd.errors import KilogradError
from kilograd.graph import make_graph
from kilograd.kernels import VARIANTS
from kilograd.link.protocol import DECAYS
from kilograd.recipes import RECIPES
from kilograd.schedule import make_schedule, train
from kilograd.state import read_array, split_state
from kilograd.types import Samples
from kilograd.zoo import _layers as layer
from kilograd.zoo import build_model, models_for
from oracle import Oracle
from oracle_numbers import GRADIENT_LIMITS, INT16_MAX, F
from oracle_state import SCALE
from oracle_update import LARGEST_SHIFT, decayed
from twins import PLAIN, SUPPORTED, branching_net, digits, gated_net, samples_for, small_vae, some, with_biases

if TYPE_CHECKING:
    from kilograd.link.session import Session
    from kilograd.types import Graph
    from twins import Twin, Twins

SEED = 7
BATCH = 8
SMALL = (1, 8, 8)
NETS = {"branching": branching_net, "gated": gated_net, "small_vae": small_vae}


@dataclass(frozen=True)
class Case:
    """A model, the layers that train, the core whose kernels it takes."""

    model: str
    layers: str | int | tuple[str, ...] = "all"
    core: str = "host"

    def twin(self, twins: Twins, recipe: str = "best") -> Twin:
        """Return its twin."""
        return twins.get(model(self.model), "uint8", recipe, layers=self.layers, core=self.core)


SGD_RATES = {
    ("uint8", "sgd_m"): 100,
    ("uint8", "sgd_m_qas"): 0.1,
    ("mixed", "sgd_m_qas"): 0.1,
    ("float32", "sgd_m"): 0.1,
}

CASES = [
    Case("digits_cnn"),
    Case("digits_cnn", core=PLAIN),
    Case("digits_cnn", layers=2),
    Case("branching"),
    Case("branching", layers=("stem", "right", "fc"), core=PLAIN),
    Case("gated"),
    Case("gated", layers=("stem", "excite", "right"), core=PLAIN),
    Case("resnet_tiny"),
]


@cache
def small_models() -> tuple[str, ...]:
    """Return the models that take small images."""
    return models_for(SMALL)


def model(name: str) -> Graph:
    """Return a model, small where it takes any size; all of them have biases that are not zero."""
    if name in NETS:
        return with_biases(NETS[name]())
    small = SMALL if name in small_models() else None
    return with_biases(build_model(name, seed=5, input_shape=small))


def differing(twin: Twin, session: Session, oracle: Oracle) -> list[str]:
    """Return the objects of the state that the oracle does not have, or has with other bytes."""
    state, expected = split_state(twin.program, session.read_state()), oracle.dump()
    assert set(expected) <= set(state)
    return [name for name, data in state.items() if expected.get(name) != data]


def oracle_of(twin: Twin, recipe: str = "best") -> Oracle:
    """Return the oracle in the twin's first state."""
    oracle = Oracle(twin.quantised, twin.trained, recipe)
    oracle.seed = SEED
    return oracle


# --- bit for bit -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
def test_state_equals_the_oracle_after_every_minibatch(twins: Twins, case: Case) -> None:
    """A second implementation, written from the specification, gives the same bits in every object of the state."""
    twin, minibatches = case.twin(twins), 5
    oracle = oracle_of(twin)
    x, labels = twin.store(some(samples_for(twin.quantised.graph), BATCH * minibatches))
    with twin.session() as session:
        assert differing(twin, session, oracle) == []
        session.configure(SEED, 0, BATCH, 2e-3)
        for start in range(0, len(labels), BATCH):
            part = slice(start, start + BATCH)
            session.train(x[part], labels[part])
            oracle.train(x[part], labels[part], 2e-3)

            assert differing(twin, session, oracle) == []


@pytest.mark.parametrize("case", [CASES[0], CASES[4]], ids=str)
@pytest.mark.parametrize(("recipe", "rate"), [("sgd_m", 1e5), ("sgd_m_qas", 2.0)])
def test_sgd_equals_the_oracle_after_every_minibatch(twins: Twins, case: Case, recipe: str, rate: float) -> None:
    """Float gradients and momentum, whole steps of the weights: the same bits in every object of the state."""
    twin, minibatches = case.twin(twins, recipe), 5
    oracle = oracle_of(twin, recipe)
    x, labels = twin.store(some(samples_for(twin.quantised.graph), BATCH * minibatches))
    with twin.session() as session:
        first = split_state(twin.program, session.read_state())
        session.configure(SEED, 0, BATCH, rate)
        for start in range(0, len(labels), BATCH):
            part = slice(start, start + BATCH)
            session.train(x[part], labels[part])
            oracle.train(x[part], labels[part], rate)

            assert differing(twin, session, oracle) == []
        last = split_state(twin.program, session.read_state())

    moved = ("_w", "_b") if recipe == "sgd_m_qas" else ("_w",)  # unscaled, a bias moves by less than its fine grid
    assert [part for part in first if part.endswith(moved) and first[part] == last[part]] == []


def test_float32_sgd_is_momentum_on_the_mean_gradient(twins: Twins) -> None:
    """From gradients that the twin has summed itself: w -= rate / batch v, and v keeps nine tenths, bit for bit."""
    twin = twins.get(model("digits_cnn"), "float32", "sgd_m")
    x, labels = twin.store(some(digits()[0], 2 * BATCH))

    def after(samples: int, batch: int) -> dict[str, bytes]:
        with twin.session() as session:
            session.configure(SEED, 0, batch, 0.5)
            session.train(x[:samples], labels[:samples])
            return split_state(twin.program, session.read_state())

    summed, stepped = after(BATCH, BATCH + 1), after(BATCH, BATCH)
    for name in twin.trained:
        for weights, gradients in ((f"{name}_w", f"{name}_g"), (f"{name}_b", f"{name}_gb")):
            w, g = (np.frombuffer(summed[part], F) for part in (weights, gradients))
            assert (w - F(0.5) / F(BATCH) * g).tobytes() == stepped[weights]
            assert (g * F(0.9)).tobytes() == stepped[gradients]
            assert g.any()


@pytest.mark.parametrize(
    ("recipe", "configuration", "layers", "hint"),
    [
        ("sgd_m_qas", "float32", "all", "best, paper, sgd_m"),
        ("sgd_m_qas", "mixed", 1, "best, paper, sgd_m"),
        ("sgd_m", "mixed", "all", "best, paper, sgd_m_qas"),
    ],
)
def test_recipe_that_a_configuration_does_not_support(
    twins: Twins, recipe: str, configuration: str, layers: str | int, hint: str
) -> None:
    """The error says why, and which recipes do."""
    with pytest.raises(KilogradError, match=f"recipe {recipe} does not support trained layers in") as caught:
        twins.get(model("digits_cnn"), configuration, recipe, layers=layers)

    assert caught.value.hint.endswith(f"train.recipe: {hint}")


def randomise(oracle: Oracle, rng: np.random.Generator) -> None:
    """Put the oracle into a state that reaches every branch of the update."""
    for name in sorted(oracle.trained):
        one = oracle.layers[name]
        one.w = rng.integers(0, 256, one.w.shape)
        one.w_zero = int(rng.integers(40, 216))
        one.w_scale = F(one.w_scale * rng.uniform(0.5, 2))
        one.b = rng.integers(-20_000, 20_000, one.b.shape)
        largest = min(int(rng.choice([1, 40, 5_000, GRADIENT_LIMITS[oracle.bits]])), GRADIENT_LIMITS[oracle.bits])
        one.g = rng.integers(-largest, largest + 1, one.g.shape)
        one.g[rng.random(len(one.g)) < 0.1] = 0
        one.g_shift = int(rng.integers(0, LARGEST_SHIFT + 1)) if oracle.bits < 32 else 0
        one.gb = rng.integers(-5_000, 5_000, one.gb.shape)
        one.e_exponent = int(rng.integers(-14, -5))
    for name, scale in oracle.scales.items():
        if name != "loss_error":
            scale.exponent = int(rng.integers(-14, -5))
            scale.scale = F(2.0**scale.exponent)
            scale.range = F(scale.scale * rng.uniform(20, 127))
    oracle.refresh()


@pytest.mark.parametrize("case", [CASES[0], CASES[3]], ids=str)
@pytest.mark.parametrize("start", range(8))
def test_state_equals_the_oracle_from_any_state(twins: Twins, case: Case, start: int) -> None:
    """Saturated weights, full gradient buffers and moving scales are too rare to be met by training alone."""
    twin, rng = case.twin(twins), np.random.default_rng(start)
    oracle = oracle_of(twin)
    randomise(oracle, rng)
    before = {name: (one.w_zero, one.g_shift) for name, one in oracle.layers.items()}
    x, labels = twin.store(some(samples_for(twin.quantised.graph), 2 * BATCH, start))
    with twin.session() as session:
        session.write_state(twin.with_parts(session.read_state(), oracle.dump()))
        session.configure(SEED, 0, BATCH, 0.1)
        for part in (slice(0, BATCH), slice(BATCH, None)):
            session.train(x[part], labels[part])
            oracle.train(x[part], labels[part], 0.1)

            assert differing(twin, session, oracle) == []
    after = {name: (one.w_zero, one.g_shift) for name, one in oracle.layers.items()}
    assert before != after  # ranges or units of gradients have moved


def at_a_limit_of_the_range(oracle: Oracle, rng: np.random.Generator) -> None:
    """Give every layer weights for which the range is about to grow, to shrink, or to be clipped at 4 rms."""
    for one in oracle.layers.values():
        one.w_zero = 128
        if rng.random() < 0.5:  # most of the range is used, but for one or two steps
            used = int(rng.integers(212, 221))
            one.w = rng.integers(128 - used // 2, 128 - used // 2 + used + 1, one.w.shape)
        else:  # saturated, and 4 rms is near the end of the range that has grown
            ends, rms = np.array([-128, 127]), 32 * rng.uniform(1.005, 1.03)
            spread = np.sqrt((one.w.size * rms**2 - (ends**2).sum()) / (one.w.size - 2))
            one.w = np.clip(np.rint(128 + spread * rng.standard_normal(one.w.shape)), 0, 255).astype(int)
            one.w[0, [0, -1]] = 128 + ends
        one.g = rng.integers(-5_000, 5_001, one.g.shape)
        one.g_shift = 4
    oracle.refresh()


@pytest.mark.parametrize("start", range(8))
def test_range_moves_where_the_oracle_moves_it(twins: Twins, start: int) -> None:
    """The thresholds of the range policy, met closely: weights near the end of their range, or near 4 rms."""
    twin, rng = CASES[0].twin(twins), np.random.default_rng(start)
    oracle = oracle_of(twin)
    x, labels = twin.store(some(digits()[0], 12))
    with twin.session() as session:
        first = session.read_state()
        for number in range(len(labels)):
            oracle.load(split_state(twin.program, first))
            oracle.samples = oracle.updates = 0
            at_a_limit_of_the_range(oracle, rng)
            session.write_state(twin.with_parts(first, oracle.dump()))
            session.configure(SEED, 0, 1, 2e-3)
            part = slice(number, number + 1)
            session.train(x[part], labels[part])
            oracle.train(x[part], labels[part], 2e-3)

            assert differing(twin, session, oracle) == []


@pytest.mark.parametrize("decay", DECAYS)
def test_learning_rate_falls_as_asked(twins: Twins, decay: str) -> None:
    """The schedule reaches the weights, bit for bit; what comes after its end has the last rate."""
    twin, updates = CASES[0].twin(twins), 4
    oracle = oracle_of(twin)
    x, labels = twin.store(some(digits()[0], BATCH * (updates + 1)))
    with twin.session() as session:
        session.configure(SEED, updates, BATCH, 0.01, decay)
        session.train(x, labels)
        for number in range(updates + 1):
            part = slice(number * BATCH, (number + 1) * BATCH)
            oracle.train(x[part], labels[part], decayed(decay, F(0.01), number, updates))

        assert differing(twin, session, oracle) == []


def test_fast_kernels_train_to_the_same_state(twins: Twins) -> None:
    """Whichever kernels a core takes, the bits are those of plain C."""
    states = []
    for core in VARIANTS:
        twin = Case("resnet_tiny", core=core).twin(twins)
        with twin.session() as session:
            session.configure(SEED, 0, 16, 1e-3)
            session.train(*twin.store(some(samples_for(twin.quantised.graph), 64)))
            states.append(split_state(twin.program, session.read_state()))

    assert all(state == states[0] for state in states)


def test_another_seed_gives_other_bits(twins: Twins) -> None:
    """The seed decides the rounding, and nothing else does: the same one gives the same state."""
    twin = CASES[0].twin(twins)
    samples = twin.store(some(digits()[0], 4 * BATCH))

    def hash_after(seed: int) -> str:
        with twin.session() as session:
            session.configure(seed, 0, BATCH, 1e-3)
            session.train(*samples)
            return session.state_hash()

    assert hash_after(1) == hash_after(1)
    assert hash_after(1) != hash_after(2)


# --- recipe paper ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [CASES[0], CASES[3], CASES[4]], ids=str)
def test_paper_update_follows_equations_5_to_8(twins: Twins, case: Case) -> None:
    """In float64 from the same state: weights agree within one quantum, and more than 99 % of them wholly."""
    twin = case.twin(twins, "paper")
    oracle = oracle_of(twin, "paper")
    x, labels = twin.store(some(samples_for(twin.quantised.graph), 3 * BATCH))
    with twin.session() as session:
        session.configure(SEED, 0, BATCH, 1e-3)
        for part in (slice(start, start + BATCH) for start in range(0, len(labels), BATCH)):
            oracle.load(split_state(twin.program, session.read_state()))
            session.train(x[part], labels[part])
            oracle.train(x[part], labels[part], 1e-3)

            state = session.read_state()
            for name in twin.trained:
                check_paper_layer(twin, state, oracle, name)


def check_paper_layer(twin: Twin, state: bytes, oracle: Oracle, name: str) -> None:
    """Compare one layer after an update of recipe paper."""

    def array(member: str) -> np.ndarray:
        return read_array(twin.program, state, f"{name}_{member}")

    ours = oracle.layers[name]
    off = array("w").astype(int) - ours.w.ravel()
    assert np.abs(off).max() <= 1
    assert (off == 0).mean() > 0.99
    scale = np.frombuffer(split_state(twin.program, state)[f"{name}_state"], np.float32, 1)[0]
    assert scale == pytest.approx(float(ours.w_scale), rel=1e-5)
    np.testing.assert_allclose(array("b"), ours.b, rtol=1e-5, atol=1)
    statistics = np.frombuffer(split_state(twin.program, state)[f"{name}_statistics"], np.float32).reshape(-1, 4)
    np.testing.assert_allclose(statistics, ours.statistics, rtol=1e-4, atol=1e-9)
    assert not array("g").any()
    assert not array("gb").any()


# --- pitfalls --------------------------------------------------------------------------------------------------------


def test_rate_zero_changes_no_weight(twins: Twins) -> None:
    """Stochastic rounding of a step of 0 is 0, whatever the random numbers."""
    twin = CASES[0].twin(twins)
    with twin.session() as session:
        before = session.read_state()
        session.configure(SEED, 0, BATCH, 0.0)
        session.train(*twin.store(some(digits()[0], 10 * BATCH)))
        after = session.read_state()

    for name in twin.trained:
        for member in ("w", "b"):
            np.testing.assert_array_equal(
                read_array(twin.program, after, f"{name}_{member}"),
                read_array(twin.program, before, f"{name}_{member}"),
            )
        assert read_array(twin.program, after, f"{name}_g").any()


@pytest.mark.parametrize(("recipe", "minibatches"), [("best", 4), ("paper", 1)])
def test_channel_without_gradient_does_not_change(twins: Twins, recipe: str, minibatches: int) -> None:
    """A neuron whose rectifier is off keeps its weights: no drift by the mean, no division by a deviation of 0."""
    twin, dead = twins.get(digits_with_dead_neuron(3), "uint8", recipe), 3

    def row(state: bytes) -> tuple[float, np.ndarray]:
        parts = split_state(twin.program, state)
        zero = int(np.frombuffer(parts["fc1_quant"], np.int32)[1])
        scale = float(np.frombuffer(parts["fc1_state"], np.float32, 1)[0])
        return scale, scale * (read_array(twin.program, state, "fc1_w").reshape(32, -1)[dead].astype(float) - zero)

    with twin.session() as session:
        before = session.read_state()
        session.configure(SEED, 0, BATCH, 1e-4)
        session.train(*twin.store(some(digits()[0], minibatches * BATCH)))
        after = session.read_state()

    (old_scale, old), (scale, new) = row(before), row(after)
    if recipe == "best":
        assert (scale, new.tolist()) == (old_scale, old.tolist())
    else:  # the range of all weights is renewed, and every weight rounded to it once
        assert np.abs(new - old).max() <= 0.5001 * scale
    assert not read_array(twin.program, after, "fc1_g").reshape(32, -1)[dead].any()
    assert read_array(twin.program, before, "fc1_w").tobytes() != read_array(twin.program, after, "fc1_w").tobytes()


def digits_with_dead_neuron(dead: int) -> Graph:
    """Return a model in which one hidden neuron is never on."""
    graph = build_model("digits_cnn", seed=5)
    nodes = []
    for node in graph.nodes:
        if node.name == "fc1" and node.bias is not None:
            bias = np.where(np.arange(len(node.bias)) == dead, np.float32(-100), node.bias)
            nodes.append(layer.Node(node.name, node.op, node.inputs, node.output, node.attributes, node.weight, bias))
        else:
            nodes.append(node)
    return make_graph("digits_dead", graph.shapes[graph.input], nodes)


@pytest.mark.parametrize(("configuration", "recipe"), SUPPORTED)
def test_training_loss_falls_on_a_changed_sensor(twins: Twins, configuration: str, recipe: str) -> None:
    """Every configuration and recipe adapts a model that knows the digits to shifted ones."""
    twin = twins.get(twins.pretrained(), configuration, recipe)
    shifted = load_dataset("digits_shifted")
    test = twin.store(shifted.test)
    with twin.session() as session:
        before = session.evaluate(*test)
        rule = RECIPES[recipe]
        rate = SGD_RATES.get((configuration, recipe), 1e-3)
        schedule = make_schedule(len(shifted.train), 5, 48, rate, 1, decay=rule.decay)
        train(session, shifted.train, twin.program.input_format, schedule, lambda _: None)
        after = session.evaluate(*test)

    weak = (configuration, recipe) == ("uint8", "sgd_m")  # some layers are stuck, whatever the rate: that is its point
    assert after.losses.mean() < before.losses.mean() / (1.5 if weak else 2.5)
    assert before.accuracy < 0.7
    assert after.accuracy > (0.65 if weak else 0.8)


@pytest.mark.parametrize(("configuration", "recipe"), SUPPORTED)
def test_images_of_one_colour_do_not_destroy_a_model(twins: Twins, configuration: str, recipe: str) -> None:
    """All gradients of a row are equal then: what is left of them without the mean is rounding, and no direction."""
    twin = twins.get(build_model("mlp_784_64_10", seed=1), configuration, recipe)
    grey = twin.store(Samples(np.full((BATCH, 1, 28, 28), 0.3, np.float32), np.arange(BATCH)))
    with twin.session() as session:
        session.configure(SEED, 0, BATCH, 1e-3)
        losses = [session.train(*grey).losses.mean() for _ in range(5)]

    assert max(losses) == losses[0]


def test_saturation_and_underflow_are_rare(twins: Twins) -> None:
    """After some epochs hardly a gradient sits at its limit, and errors still reach the first layer."""
    twin = twins.get(twins.pretrained(), "uint8")
    oracle = oracle_of(twin)
    shifted = load_dataset("digits_shifted").train
    with twin.session() as session:
        schedule = make_schedule(len(shifted), 3, 48, 1e-3, 1)
        train(session, shifted, twin.program.input_format, schedule, lambda _: None)
        state = session.read_state()

    gradients = np.concatenate([read_array(twin.program, state, f"{name}_g") for name in twin.trained])
    assert (np.abs(gradients) == INT16_MAX).mean() < 1e-4
    oracle.load(split_state(twin.program, state))
    x, labels = twin.store(some(shifted, 48))
    for sample, label in zip(x, labels, strict=True):
        oracle.backward(oracle.forward(sample), int(label))
    shares = {name: lost / alive for name, (lost, alive) in oracle.underflow.items()}
    assert set(shares) == {"conv1_error", "pool_error", "fc1_error"}
    assert max(shares.values()) < 0.95


def test_errors_pass_a_join(twins: Twins) -> None:
    """The scale of a joined error follows errors that are smaller than its first step."""
    twin = Case("branching").twin(twins)
    with twin.session() as session:
        session.configure(SEED, 0, BATCH, 1e-3)
        session.train(*twin.store(some(digits()[0], 4 * BATCH)))
        parts = split_state(twin.program, session.read_state())

    below = [SCALE.unpack(parts[f"sum_error_{name}_scale"]) for name in ("left", "right")]
    assert min(scale[3] for scale in below) > 0  # errors come that far
    assert SCALE.unpack(parts["sum_error_scale"])[3] > 0
    assert np.frombuffer(parts["stem_g"], np.int16).any()


def test_bias_saturates(twins: Twins) -> None:
    """A bias that runs away must stop at its limit, not come back with the other sign."""
    twin = CASES[0].twin(twins)
    oracle = oracle_of(twin)
    x, labels = twin.store(some(digits()[0], 1))
    oracle.layers["fc2"].g[:, ::2], oracle.layers["fc2"].gb[:] = 1, 2**27
    with twin.session() as session:
        session.write_state(twin.with_parts(session.read_state(), oracle.dump()))
        session.configure(SEED, 0, 1, 1.0)
        session.train(x, labels)
        state = session.read_state()

    assert read_array(twin.program, state, "fc2_b").max() < 0


def test_unit_of_gradients_stays_in_bounds_without_errors(twins: Twins) -> None:
    """A camera that sees black for long soon makes no errors; its weights must be able to learn afterwards."""
    twin = CASES[0].twin(twins)
    black = np.zeros((600, 1, 8, 8), np.uint8)
    with twin.session() as session:
        session.configure(SEED, 0, 1, 1e-2)
        session.train(black, np.full(len(black), 3))
        parts = split_state(twin.program, session.read_state())

    shifts = [np.frombuffer(parts[f"{name}_state"], np.int32)[1] for name in twin.trained]
    assert max(shifts) <= LARGEST_SHIFT
