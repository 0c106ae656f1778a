# SPDX-License-Identifier: Apache-2.0
"""The data sets: where they are found, what they hold, how they are downloaded."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import re
import shutil
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from kilograd import data
from kilograd.data import datasets, load_dataset, mnist, take
from kilograd.data._download import DataFile
from kilograd.errors import KilogradError
from kilograd.types import Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

COUNTS = {"train": 30, "t10k": 20}


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the machine's data sets and cache out of the tests."""
    monkeypatch.setenv("KILOGRAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KILOGRAD_DATA", raising=False)


def write_idx(path: Path, array: NDArray[np.uint8], level: int = 9) -> None:
    """Write a gzipped idx-ubyte file."""
    header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes(), level, mtime=0))


def write_mnist(folder: Path, *, parts: tuple[str, ...] = ("train", "t10k")) -> dict[str, NDArray[np.uint8]]:
    """Write a small set in the layout of MNIST and return its arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    arrays = {}
    for part in parts:
        arrays[f"{part}-images-idx3"] = rng.integers(0, 256, (COUNTS[part], 28, 28), np.uint8)
        arrays[f"{part}-labels-idx1"] = (np.arange(COUNTS[part]) % 10).astype(np.uint8)
    for name, array in arrays.items():
        write_idx(folder / f"{name}-ubyte.gz", array)
    return arrays


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Publish a small MNIST under file:// addresses and return its folder."""
    folder = tmp_path / "server"
    write_mnist(folder)

    def published(path: Path) -> DataFile:
        packed = path.read_bytes()
        checks = [
            hashlib.md5(content, usedforsecurity=False).hexdigest() for content in (packed, gzip.decompress(packed))
        ]
        return DataFile(path.name, path.as_uri(), *checks)

    monkeypatch.setattr(mnist, "FILES", tuple(published(path) for path in sorted(folder.iterdir())))
    return folder


def test_data_sets_are_the_files_of_the_folder() -> None:
    """A new data set is one new file; file formats are none."""
    here = {path.stem for path in Path(data.__file__).parent.glob("*.py") if not path.name.startswith("_")}

    assert sorted(here) == list(datasets())
    assert {"cifar100", "digits", "emnist_letters", "kmnist", "speech_commands"} < here


@pytest.mark.parametrize("name", datasets())
def test_docstring_names_source_licence_and_citation(name: str) -> None:
    """Data has authors."""
    text = (importlib.import_module(f"kilograd.data.{name}").__doc__ or "").lower()

    assert "source" in text
    assert "licence" in text
    assert "cit" in text


def test_unknown_data_set_lists_the_known_ones() -> None:
    """A wrong name shows the right ones."""
    with pytest.raises(KilogradError) as caught:
        load_dataset("mnits")

    assert caught.value.message == "unknown data set: mnits"
    assert "kmnist_test_split, mnist" in caught.value.hint


def test_digits_are_split_by_class_without_overlap() -> None:
    """1347 for training, 450 for testing, every class to a quarter, no image lost."""
    digits = load_dataset("digits")
    original = load_digits()

    both = np.concatenate([digits.train.x, digits.test.x])
    labels = np.concatenate([digits.train.y, digits.test.y])

    assert (len(digits.train), len(digits.test)) == (1347, 450)
    assert np.abs(np.bincount(digits.test.y) - np.bincount(original.target) / 4).max() < 1
    rows = sorted(zip(map(bytes, (both * 16).astype(np.uint8)), labels.tolist(), strict=True))
    assert rows == sorted(zip(map(bytes, original.images.astype(np.uint8)), original.target.tolist(), strict=True))


@pytest.mark.parametrize("name", ["digits", "digits_shifted"])
def test_digits_are_float32_from_zero_to_one(name: str) -> None:
    """As every image set, and the same at every load."""
    first, second = load_dataset(name), load_dataset(name)

    for part in (first.train, first.test):
        assert part.x.dtype == np.float32
        assert part.y.dtype == np.int64
        assert part.x.shape[1:] == (1, 8, 8)
        assert part.x.min() == 0
        assert 0.5 < part.x.max() <= 1
    assert first.train.x.tobytes() == second.train.x.tobytes()
    assert first.test.x.tobytes() == second.test.x.tobytes()


def test_shifted_digits_fool_a_model_of_digits_and_can_be_learnt() -> None:
    """The story of the demo, with nearest neighbours as the model."""
    digits, shifted = load_dataset("digits"), load_dataset("digits_shifted")
    old, new = (
        KNeighborsClassifier(1).fit(part.x.reshape(len(part), -1), part.y) for part in (digits.train, shifted.train)
    )

    at_home = old.score(digits.test.x.reshape(450, -1), digits.test.y)
    lost = old.score(shifted.test.x.reshape(450, -1), shifted.test.y)
    back = new.score(shifted.test.x.reshape(450, -1), shifted.test.y)

    assert at_home > 0.97
    assert lost < 0.65
    assert back > 0.93
    assert np.array_equal(shifted.test.y, digits.test.y)


@pytest.mark.parametrize(("name", "last"), [("fashion_mnist", "Ankle boot"), ("kmnist", "wo"), ("mnist", "9")])
def test_images_are_grey_values_over_255(name: str, last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels and labels come out as they were written; KILOGRAD_DATA is looked at first."""
    monkeypatch.setenv("KILOGRAD_DATA", str(tmp_path / "data"))
    arrays = write_mnist(tmp_path / "data" / name)

    images = load_dataset(name)

    assert images.train.x.dtype == np.float32
    assert images.train.x.shape == (30, 1, 28, 28)
    assert np.array_equal(np.rint(images.train.x[:, 0] * 255), arrays["train-images-idx3"])
    assert np.array_equal(images.test.y, arrays["t10k-labels-idx1"])
    assert images.classes[9] == last


def test_kmnist_is_split_by_its_index_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both parts come from the official test set."""
    monkeypatch.setenv("KILOGRAD_DATA", str(tmp_path))
    arrays = write_mnist(tmp_path / "kmnist", parts=("t10k",))
    train, test = np.array([19, 3, 4], np.uint16), np.array([0, 1], np.uint16)
    np.savez(tmp_path / "kmnist" / "split_8k_2k.npz", train_index=train, test_index=test)

    characters = load_dataset("kmnist_test_split")

    assert np.array_equal(np.rint(characters.train.x[:, 0] * 255), arrays["t10k-images-idx3"][[19, 3, 4]])
    assert characters.test.y.tolist() == [0, 1]


@pytest.mark.parametrize("damage", ["no zip", "missing key", "outside"])
def test_damaged_split_is_named(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file and the index."""
    monkeypatch.setenv("KILOGRAD_DATA", str(tmp_path))
    write_mnist(tmp_path / "kmnist", parts=("t10k",))
    path = tmp_path / "kmnist" / "split_8k_2k.npz"
    indices = {"train_index": np.array([0]), "test_index": np.array([1])}
    if damage == "outside":
        indices["test_index"] = np.array([20])
    if damage == "missing key":
        del indices["test_index"]
    np.savez(path, **indices)  # type: ignore[arg-type]
    if damage == "no zip":
        path.write_bytes(b"nothing")

    with pytest.raises(KilogradError, match=r"split_8k_2k\.npz: .*((train|test)_index|not an \.npz file)"):
        load_dataset("kmnist_test_split")


def test_data_set_that_cannot_be_downloaded_tells_how_to_get_it(tmp_path: Path) -> None:
    """The files, the place to get them, and where to put them."""
    with pytest.raises(KilogradError) as caught:
        load_dataset("kmnist_test_split")

    assert "kmnist_test_split is not on this machine" in caught.value.message
    for part in ("split_8k_2k.npz", "http://codh.rois.ac.jp/kmnist", str(tmp_path / "cache" / "data" / "kmnist")):
        assert part in caught.value.hint


def test_missing_data_set_is_downloaded_once(server: Path) -> None:
    """The second time the server may be gone; progress counts the bytes of every file."""
    sizes = {path.name: path.stat().st_size for path in server.iterdir()}
    seen: dict[str, tuple[int, int]] = {}

    first = load_dataset("mnist", progress=lambda name, done, total: seen.update({name: (done, total)}))
    for path in server.iterdir():
        path.unlink()
    second = load_dataset("mnist")

    assert seen == {name: (size, size) for name, size in sizes.items()}
    assert np.array_equal(first.train.x, second.train.x)
    assert (len(second.train), len(second.test)) == (30, 20)


def test_file_compressed_again_is_the_published_one(server: Path) -> None:
    """What counts is the content."""
    path = server / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 1, mtime=7))

    assert len(load_dataset("mnist").test) == 20


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", gzip.compress(b"other")])
def test_file_with_another_checksum_is_not_kept(content: bytes, server: Path, tmp_path: Path) -> None:
    """A proxy's error page must never become training data."""
    (server / "t10k-images-idx3-ubyte.gz").write_bytes(content)

    with pytest.raises(KilogradError, match=r"t10k-images-idx3-ubyte\.gz is not the published file"):
        load_dataset("mnist")

    assert list((tmp_path / "cache" / "data" / "mnist").iterdir()) == []


def test_sha256_counts_where_it_is_what_was_published(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One damaged bit is found with either kind of checksum."""
    published = [
        DataFile(file.name, file.url, sha256=hashlib.sha256((server / file.name).read_bytes()).hexdigest())
        for file in mnist.FILES
    ]
    monkeypatch.setattr(mnist, "FILES", tuple(published))

    assert len(load_dataset("mnist").test) == 20
    shutil.rmtree(tmp_path / "cache")
    (server / "t10k-labels-idx1-ubyte.gz").write_bytes(b"other")
    with pytest.raises(KilogradError, match="its checksum differs"):
        load_dataset("mnist")


@pytest.mark.parametrize("name", datasets())
def test_every_download_has_a_checksum(name: str) -> None:
    """What comes over the network is known to the byte, or not fetched at all."""
    for file in importlib.import_module(f"kilograd.data.{name}").FILES:
        assert bool(file.url) == bool(
            re.fullmatch("[0-9a-f]{32}", file.md5) or re.fullmatch("[0-9a-f]{64}", file.sha256)
        )


def test_unreachable_server_tells_how_to_get_the_data(server: Path, tmp_path: Path) -> None:
    """The error names the address and the reason, the hint the files and the place."""
    (server / "train-labels-idx1-ubyte.gz").unlink()

    with pytest.raises(KilogradError) as caught:
        load_dataset("mnist")

    assert f"could not download {server.as_uri()}/train-labels-idx1-ubyte.gz" in caught.value.message
    assert "train-labels-idx1-ubyte.gz" in caught.value.hint
    assert str(tmp_path / "cache" / "data" / "mnist") in caught.value.hint


@pytest.mark.usefixtures("server")
def test_interrupted_download_leaves_nothing(tmp_path: Path) -> None:
    """The next run starts from a clean folder."""

    def interrupt(_: str, __: int, ___: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_dataset("mnist", progress=interrupt)

    assert list((tmp_path / "cache" / "data" / "mnist").iterdir()) == []


def test_taking_draws_pairs_without_repetition() -> None:
    """Images keep their labels, and the seed decides."""
    samples = Samples(np.arange(50, dtype=np.float32).reshape(50, 1), np.arange(50, dtype=np.int64))

    first, again = (take(samples, 20, np.random.default_rng(3)) for _ in range(2))

    assert first.x[:, 0].tolist() == first.y.tolist() == again.y.tolist()
    assert len(set(first.y.tolist())) == 20
    assert sorted(take(samples, 50, np.random.default_rng(3)).y.tolist()) == list(range(50))


@pytest.mark.parametrize("count", [0, -1, 51])
def test_taking_too_many_is_refused(count: int) -> None:
    """The hint gives the range."""
    samples = Samples(np.zeros((50, 1), np.float32), np.zeros(50, np.int64))

    with pytest.raises(KilogradError, match=f"cannot take {count} samples of 50"):
        take(samples, count, np.random.default_rng(3))
