# SPDX-License-Identifier: Apache-2.0
"""Bad input of every kind, from the command line: the exit code, one message that names the place, and a way out."""

from __future__ import annotations

import gzip
import json
import re
import struct
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from command_line import own_board

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from command_line import Cli

MNIST_FILES = tuple(f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


# --- experiment files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('layer = "all"', ["experiment.toml:7: unknown key train.layer", "did you mean layers?", "epochs"]),
        ("epochs = 2.5", ["experiment.toml:7: train.epochs must be a whole number, not 2.5", "passes over"]),
        ('batch = "48"', ["experiment.toml:7: train.batch must be a whole number, not '48'"]),
        (
            'recipe = "worst"',
            ["experiment.toml:7: train.recipe must be 'best', 'paper', 'sgd_m' or 'sgd_m_qas', not 'worst'"],
        ),
        ("layers = 0", ["experiment.toml:7: train.layers", '"all"']),
        ("epochs =", ["experiment.toml:7: "]),
    ],
)
def test_a_mistake_in_an_experiment_is_named_by_file_line_and_key(cli: Cli, line: str, expected: list[str]) -> None:
    """The line to look at, and what may stand there."""
    experiment = cli.experiment(
        f'name = "x"\n[model]\nsource = "digits_cnn"\n[data]\nname = "digits"\n[train]\n{line}\n'
    )

    told = cli.fails("run", experiment)

    for part in expected:
        assert part in told


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--board", "stm32"], ["'stm32' is no board", "nrf52840, rp2040"]),
        (["--engine", "qemu2"], ["'qemu2' is no engine", "builtin, hardware, host, qemu, renode"]),
        (
            ["--set", "model.source=lenet"],
            ["'lenet' is no built-in model, .onnx or .pt2 file", "mnist_cnn"],
        ),
        (["--set", "data.name=imagenet"], ["'imagenet' is no data set", "digits, digits_shifted", "mnist"]),
        (["--set", 'train.layers=["fc1", "fc3"]'], ["no such layers to train: fc3", "conv1, conv2, fc1, fc2"]),
        (["--set", "train.layers=9"], ["no such layers to train: 9", "a number from 1 to 4"]),
    ],
    ids=["board", "engine", "model", "data set", "layers", "number of layers"],
)
def test_a_wrong_name_lists_the_right_ones(cli: Cli, options: list[str], expected: list[str]) -> None:
    """Nobody should have to search the documentation for a name; and it shows before any long work."""
    told = cli.fails("run", "digits", *options)

    for part in expected:
        assert part in told


def test_a_wrong_experiment_lists_the_right_ones(cli: Cli) -> None:
    """Experiments that kilograd brings have names, others are files."""
    assert "one of: cifar100_transfer, cifar10_mcunet, cifar10_transfer, cwru_transfer," in cli.fails("run", "digitz")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            ["model.source=mnist_cnn"],
            "mnist_cnn takes samples of shape (1, 28, 28), not (1, 8, 8)",
        ),
        (["model.classes=5"], "digits_cnn tells 5 classes apart, digits_shifted has 10: it lacks 5, 6, 7, 8, 9"),
        (["data.samples=1"], "digits_shifted: the samples for training (1) belong to one class, "),
        (["pretrain.samples=1"], "digits: the samples for training (1) belong to one class, "),
    ],
)
def test_data_that_do_not_fit_the_model_are_told_apart(cli: Cli, settings: list[str], expected: str) -> None:
    """Shapes and classes are compared before anything is trained."""
    options = [part for setting in settings for part in ("--set", setting)]

    assert expected in cli.fails("run", "digits", *options)


# --- ONNX files -------------------------------------------------------------------------------------------------------


def write_onnx(path: Path, nodes: list[onnx.NodeProto], weight: np.ndarray) -> Path:
    """Write a model for the digits: what is given, then one linear layer."""
    nodes = [
        *nodes,
        helper.make_node("Flatten", [nodes[-1].output[0] if nodes else "x"], ["flat"], name="flat"),
        helper.make_node("Gemm", ["flat", "w"], ["scores"], name="classify", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def onnx_experiment(cli: Cli) -> Path:
    """Write an experiment that trains net.onnx beside it."""
    return cli.experiment('name = "x"\n[model]\nsource = "net.onnx"\n[data]\nname = "digits"\n')


def weight() -> np.ndarray:
    """Return weights for 64 features and 10 classes."""
    return np.random.default_rng(1).normal(0, 0.1, (10, 64)).astype(np.float32)


def test_an_onnx_node_that_is_not_supported_is_named_with_what_would_work(cli: Cli) -> None:
    """Node, operator, reason, way out."""
    write_onnx(cli.place.here / "net.onnx", [helper.make_node("Erf", ["x"], ["y"], name="bend")], weight())

    told = cli.fails("run", onnx_experiment(cli))

    assert "net.onnx: " in told
    assert "bend" in told
    assert "Erf" in told
    assert "Relu" in told


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_onnx_weights_that_are_no_numbers_are_refused(cli: Cli, value: float) -> None:
    """A training that diverged before the export must not be flashed."""
    damaged = weight()
    damaged[3, 4] = value
    write_onnx(cli.place.here / "net.onnx", [], damaged)

    told = cli.fails("run", onnx_experiment(cli))

    assert "net.onnx: tensor w of shape (10, 64) holds NaN or infinity: 1 values, first at 196" in told


def test_an_onnx_file_cut_off_is_refused(cli: Cli) -> None:
    """A download that stopped."""
    path = write_onnx(cli.place.here / "net.onnx", [], weight())
    path.write_bytes(path.read_bytes()[:1000])

    assert f"{path}: not an ONNX file" in cli.fails("run", onnx_experiment(cli))


def test_an_onnx_file_for_other_classes_is_refused(cli: Cli) -> None:
    """Ten digits need ten scores."""
    write_onnx(cli.place.here / "net.onnx", [], weight())
    experiment = onnx_experiment(cli)

    told = cli.fails("run", experiment, "--set", "data.name=digits", "--set", "model.classes=12")

    assert "10" in told
    assert "12 classes" in told


# --- data -------------------------------------------------------------------------------------------------------------


def write_mnist(folder: Path, samples: int = 60) -> None:
    """Write random images and labels in the files of MNIST."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    images = rng.integers(256, size=(samples, 28, 28), dtype=np.uint8)
    labels = (np.arange(samples) % 10).astype(np.uint8)
    for name in MNIST_FILES:
        data = labels if "labels" in name else images
        header = struct.pack(f">HBB{data.ndim}I", 0, 8, data.ndim, *data.shape)
        (folder / name).write_bytes(gzip.compress(header + data.tobytes()))


def mnist_experiment(cli: Cli, model: str = "mnist_cnn") -> Path:
    """Write an experiment on MNIST."""
    return cli.experiment(f'name = "large"\n[model]\nsource = "{model}"\n[data]\nname = "mnist"\n')


def test_a_missing_data_set_tells_where_to_get_it_and_where_to_put_it(cli: Cli) -> None:
    """There is no network: the download fails at once, and what is missing is named file by file."""
    told = cli.fails("run", mnist_experiment(cli))

    assert re.search(r"could not download https://\S+train-images-idx3-ubyte.gz: .*[Cc]onnection refused", told)
    for name in MNIST_FILES:
        assert name in told
    assert f"put them into {cli.place.data / 'mnist'}" in told
    assert not any((cli.place.cache / "data").rglob("*-ubyte.gz"))


@pytest.mark.parametrize("name", MNIST_FILES[:2])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: b"<html>proxy error</html>", id="another file"),
        pytest.param(lambda data: data[: len(data) // 2], id="cut off"),
        pytest.param(lambda data: gzip.compress(gzip.decompress(data)[:-5]), id="too short inside"),
        pytest.param(lambda data: gzip.compress(b"\1" + gzip.decompress(data)[1:]), id="another format inside"),
    ],
)
def test_a_damaged_data_file_is_named(cli: Cli, name: str, damage: Callable[[bytes], bytes]) -> None:
    """The file to delete and fetch again."""
    write_mnist(cli.place.data / "mnist")
    file = cli.place.data / "mnist" / name
    file.write_bytes(damage(file.read_bytes()))

    assert str(file) in cli.fails("run", mnist_experiment(cli))


# --- models that are too large ----------------------------------------------------------------------------------------


def test_a_model_too_large_says_what_takes_the_room_and_every_suggestion_works(cli: Cli) -> None:
    """Bytes by segment, the three largest tensors, and changes after each of which the plan really fits."""
    write_mnist(cli.place.data / "mnist")
    experiment = mnist_experiment(cli, "cnn8_16_fc64_fc10")
    large = ("--set", "train.configuration=float32", "--set", "train.recipe=paper", "--set", 'run.boards=["nrf52840"]')

    done = cli.run("plan", experiment, *large)

    (plan,) = json.loads(done.stdout)["boards"]
    ram = plan["ram"]
    assert (done.returncode, plan["fits"]) == (1, False)
    assert f"does not fit nrf52840: it needs RAM {ram['total']:,} B of 262,144 B" in done.stderr
    assert f"feature maps {ram['features']:,} B, weights and gradients {ram['trained']:,} B" in done.stderr
    largest = [(tensor["name"], tensor["bytes"]) for tensor in plan["largest"][:3]]
    assert largest[:2] == [("fc1_g", 4 * 64 * 784), ("fc1_w", 4 * 64 * 784)]
    assert all(f"{name} (" in done.stderr and f"{size:,} B" in done.stderr for name, size in largest)
    suggested = [options(text) for text in re.findall(r"would fit: (.*)", done.stderr)]
    assert len(suggested) == 3
    for change in suggested:
        assert cli.run("plan", experiment, *large, *change).returncode == 0


def options(suggestion: str) -> list[str]:
    """Return the options of the command line that follow a suggestion."""
    if board := re.fullmatch(r"another board: (\w+).*", suggestion):
        return ["--set", f'run.boards=["{board[1]}"]']
    changes = re.findall(r"((?:train|run)\.\w+) = (\S+)", suggestion)
    return [part for key, value in changes for part in ("--set", f"{key}={value}")]


def test_a_run_that_does_not_fit_still_reports(cli: Cli) -> None:
    """Exit code 1, as a check failed; scripts see what the board would need, and null for what was not measured."""
    write_mnist(cli.place.data / "mnist")

    done = cli.run("run", mnist_experiment(cli), "--board", "nrf52840", "--set", "train.configuration=float32")

    (board,) = json.loads(done.stdout)["boards"]
    assert (done.returncode, board["fits"], board["same_bits"], board["state_hash"]) == (1, False, None, None)
    assert board["ram"]["total"] > board["ram"]["limit"] == 262_144
    assert done.stderr.startswith("error: the model does not fit nrf52840: it needs RAM 1,7")


def test_what_only_the_linker_knows_is_counted_too(cli: Cli) -> None:
    """The plan has no code and no link buffers: a board that is too small for those alone still gets exact bytes."""
    (used,) = json.loads(cli.run("plan", "digits", "--board", "nrf52840").stdout)["boards"]
    small = own_board(cli.place.here / "small", **{"size: 0x40000": f"size: {used['ram']['total'] - 100:#x}"})

    done = cli.run("plan", "digits", "--board", str(small))

    (plan,) = json.loads(done.stdout)["boards"]
    assert (done.returncode, plan["fits"]) == (1, False)
    assert plan["ram"]["total"] == used["ram"]["total"]
    assert f"{used['ram']['total']:,} B of {used['ram']['total'] - 100:,} B" in done.stderr


# --- tools that are missing -------------------------------------------------------------------------------------------


def test_a_missing_compiler_names_both_ways_out(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """At once, not after minutes of pretraining."""
    for name in ("KILOGRAD_COMPILER", "KILOGRAD_TOOLCHAIN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("KILOGRAD_CACHE", str(tmp_path / "cache"))

    for verb in ("run", "plan"):
        told = cli.fails(verb, "digits")
        assert "arm-none-eabi-gcc was not found" in told
        assert "apt-get install gcc-arm-none-eabi" in told
        assert "pip install ziglang and set KILOGRAD_COMPILER=zig" in told


def test_a_missing_host_compiler_names_both_ways_out(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The twin is compiled on this machine."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("kilograd.toolchain.find_spec", lambda _: None)

    told = cli.fails("run", "digits", "--engine", "host")

    assert "no C compiler was found for this machine" in told
    assert "apt-get install gcc" in told
