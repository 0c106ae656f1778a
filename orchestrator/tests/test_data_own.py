# SPDX-License-Identifier: Apache-2.0
"""Data of the user's own: .npz files and folders of images, and everything that can be wrong with them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kilograd.data import load_dataset
from kilograd.errors import KilogradError
from kilograd.experiment import load_experiment

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

EXPERIMENT = 'name = "mine"\n[model]\nsource = "digits_cnn"\n[data]\nname = "{}"\n'


def arrays(**changed: Any) -> dict[str, Any]:  # noqa: ANN401 - some are wrong on purpose
    """Return what a good file holds, with changes; None takes an array out."""
    rng = np.random.default_rng(1)
    good: dict[str, Any] = {
        "x_train": rng.normal(size=(6, 1, 4, 5)),
        "y_train": np.array([0, 1, 2, 0, 1, 2]),
        "x_test": rng.normal(size=(3, 1, 4, 5)),
        "y_test": np.array([2, 1, 0], np.uint8),
    }
    return {name: array for name, array in (good | changed).items() if array is not None}


def write_npz(folder: Path, **changed: Any) -> Path:  # noqa: ANN401 - some are wrong on purpose
    """Write such a file."""
    np.savez(folder / "mine.npz", **arrays(**changed))
    return folder / "mine.npz"


def test_arrays_come_out_as_they_are(tmp_path: Path) -> None:
    """Numbers are in the user's own units, classes have their numbers as names."""
    data = load_dataset(str(write_npz(tmp_path)))

    assert data.name == "mine"
    assert data.train.x.dtype == np.float32
    assert np.array_equal(data.train.x, arrays()["x_train"].astype(np.float32))
    assert data.test.y.tolist() == [2, 1, 0]
    assert data.test.y.dtype == np.int64
    assert data.classes == ("0", "1", "2")


def test_bytes_are_images_from_0_to_1(tmp_path: Path) -> None:
    """As in every set of images."""
    images = np.array([0, 51, 255], np.uint8).reshape(3, 1, 1, 1)
    path = write_npz(tmp_path, x_test=images, x_train=np.concatenate([images, images]))

    assert load_dataset(str(path)).test.x.ravel().tolist() == [0, np.float32(0.2), 1]


def test_classes_may_have_names_and_features_one_axis(tmp_path: Path) -> None:
    """A class that has a name may lack samples."""
    names = np.array(["cat", "dog", "cow", "yak"])
    path = write_npz(tmp_path, classes=names, x_train=np.zeros((6, 7)), x_test=np.zeros((3, 7)))

    data = load_dataset(str(path))

    assert data.classes == ("cat", "dog", "cow", "yak")
    assert data.train.x.shape == (6, 7)


def spoilt(value: float) -> NDArray[np.float64]:
    """Return training samples, of which the last but one holds a strange value."""
    x = np.zeros((6, 1, 4, 5))
    x[4, 0, 3, 3] = value
    return x


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "missing array": ({"y_test": None}, "there is no array y_test, but x_test, x_train, y_train"),
    "not a number": ({"x_train": spoilt(np.nan)}, "x_train[4] holds a value that is no finite number"),
    "infinite": ({"x_train": spoilt(-np.inf)}, "x_train[4] holds a value that is no finite number"),
    "too large for float32": ({"x_train": spoilt(1e200)}, "x_train[4] holds a value that is no finite number"),
    "objects": ({"x_train": np.array([None] * 6)}, "cannot read x_train"),
    "texts": ({"x_train": np.array(["a"] * 6)}, "x_train holds <U1"),
    "three axes": ({"x_train": np.zeros((6, 9, 128))}, "x_train has the shape (6, 9, 128)"),
    "other shape in test": ({"x_test": np.zeros((3, 1, 5, 4))}, "test: samples are (1, 5, 4), expected (1, 4, 5)"),
    "too few labels": ({"y_train": np.array([0, 1, 2])}, "train: 3 labels for 6 samples"),
    "a column of labels": ({"y_test": np.array([[0], [1], [2]])}, "test: 3 x 1 labels for 3 samples"),
    "labels with fractions": ({"y_train": np.array([0.0, 1, 2, 0, 1, 2])}, "y_train holds float64"),
    "negative label": ({"y_train": np.array([-1, 1, 2, 0, 1, 2])}, "the labels are -1, 0, 1, 2, expected 0 to 3"),
    "labels from 1 on": (
        {"y_train": np.array([3, 1, 2, 3, 1, 2]), "y_test": np.array([1, 2, 3])},
        "the labels are 1, 2, 3, expected 0 to 2",
    ),
    "huge label": ({"y_train": np.array([0, 1, 2, 0, 1, 10**15])}, "expected 0 to 3"),
    "fewer classes than labels": ({"classes": np.array(["cat", "dog"])}, "train: label 2, but there are 2 classes"),
    "classes that are no names": ({"classes": np.array([1, 2, 3])}, "classes holds int64"),
    "one class": ({"y_train": np.zeros(6, int), "y_test": np.zeros(3, int)}, "belong to one class, 0"),
    "class only in test": ({"y_train": np.array([0, 1, 0, 1, 0, 1])}, "class 2 is tested, but there is no sample"),
    "no samples to train": ({"x_train": np.zeros((0, 1, 4, 5)), "y_train": np.zeros(0, int)}, "train: there are no"),
    "no samples to test": ({"x_test": np.zeros((0, 1, 4, 5)), "y_test": np.zeros(0, int)}, "test: there are no"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arrays_are_one_clear_error(case: str, tmp_path: Path) -> None:
    """The file, the array, what is wrong, and what to do."""
    changed, reason = WRONG[case]
    path = write_npz(tmp_path, **changed)

    with pytest.raises(KilogradError) as caught:
        load_dataset(str(path))

    assert caught.value.message.startswith(f"{path}: ")
    assert reason in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_damaged_file_is_named(content: bytes | None, tmp_path: Path) -> None:
    """Empty, something else, or cut off."""
    path = write_npz(tmp_path)
    path.write_bytes(path.read_bytes()[:-40] if content is None else content)

    with pytest.raises(KilogradError) as caught:
        load_dataset(str(path))

    assert caught.value.message.startswith(f"{path}: not an .npz file, or damaged")


def test_one_flipped_bit_is_found(tmp_path: Path) -> None:
    """The checksums inside a zip see it."""
    path = write_npz(tmp_path)
    content = bytearray(path.read_bytes())
    content[400] ^= 1
    path.write_bytes(content)

    with pytest.raises(KilogradError, match="x_train"):
        load_dataset(str(path))


def test_missing_path_is_named(tmp_path: Path) -> None:
    """A path is never taken for the name of a set."""
    with pytest.raises(KilogradError, match="there is no file or folder"):
        load_dataset(f"{tmp_path}/digits")


def write_images(folder: Path, counts: dict[str, int], *, size: tuple[int, int] = (5, 4), mode: str = "L") -> None:
    """Write images (width, height) of random pixels, as many as told for each class."""
    image = pytest.importorskip("PIL.Image", reason="Pillow is optional")
    rng = np.random.default_rng(7)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
        for number in range(count):
            pixels = rng.integers(0, 256, shape, np.uint8)
            image.fromarray(pixels).save(folder / name / f"{number:03}.png")


def test_a_folder_for_each_class_is_split_by_class(tmp_path: Path) -> None:
    """A fifth of each class is for testing, nothing is lost, and every run sees the same split."""
    write_images(tmp_path / "pets", {"cat": 10, "dog": 16})
    (tmp_path / "pets" / ".cache").mkdir()
    (tmp_path / "pets" / "cat" / ".hidden").touch()

    first, again = load_dataset(f"{tmp_path}/pets"), load_dataset(f"{tmp_path}/pets")

    assert (first.name, first.classes) == ("pets", ("cat", "dog"))
    assert np.bincount(first.train.y).tolist() == [8, 13]
    assert np.bincount(first.test.y).tolist() == [2, 3]
    assert len({row.tobytes() for row in np.concatenate([first.train.x, first.test.x])}) == 26
    assert first.test.x.tobytes() == again.test.x.tobytes()


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_train_and_test_folders_are_kept_apart(tmp_path: Path, mode: str, channels: int) -> None:
    """Pixels come out as Pillow shows them, channels first, from 0 to 1."""
    write_images(tmp_path / "pets" / "train", {"cat": 2, "dog": 2}, mode=mode)
    write_images(tmp_path / "pets" / "test", {"cat": 1, "dog": 1}, mode=mode)

    data = load_dataset(f"{tmp_path}/pets/")

    image = pytest.importorskip("PIL.Image").open(tmp_path / "pets" / "train" / "dog" / "001.png")
    expected = np.asarray(image).reshape(4, 5, channels)
    assert data.train.x.shape == (4, channels, 4, 5)
    assert data.train.y.tolist() == [0, 0, 1, 1]
    assert np.array_equal(np.rint(data.train.x[3].transpose(1, 2, 0) * 255), expected)


def test_an_image_of_another_size_is_named(tmp_path: Path) -> None:
    """Images are not scaled behind the user's back."""
    write_images(tmp_path / "pets", {"cat": 5, "dog": 5})
    write_images(tmp_path / "pets" / "dog", {"odd": 1}, size=(9, 9))
    (tmp_path / "pets" / "dog" / "odd" / "000.png").rename(tmp_path / "pets" / "dog" / "odd.png")

    with pytest.raises(KilogradError, match=r"dog/odd\.png: its shape is \(1, 9, 9\), that of .*cat/00\d\.png is"):
        load_dataset(f"{tmp_path}/pets")


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    """Also a damaged one."""
    write_images(tmp_path / "pets", {"cat": 5, "dog": 5})
    (tmp_path / "pets" / "dog" / "notes.txt").write_text("a good dog")

    with pytest.raises(KilogradError, match=r"dog/notes\.txt: not an image, or damaged"):
        load_dataset(f"{tmp_path}/pets")


def test_a_link_to_nowhere_is_named(tmp_path: Path) -> None:
    """Large files are often links, and their targets elsewhere: they must not be left out in silence."""
    write_images(tmp_path / "pets", {"cat": 5, "dog": 5})
    (tmp_path / "pets" / "dog" / "000.jpg").symlink_to(tmp_path / "nowhere.jpg")

    with pytest.raises(KilogradError, match=r"dog/000\.jpg cannot be read: No such file"):
        load_dataset(f"{tmp_path}/pets")


def test_sixteen_bits_are_refused(tmp_path: Path) -> None:
    """Pillow would clip them to 8 bits without a word."""
    write_images(tmp_path / "pets", {"cat": 5, "dog": 5})
    pixels = np.zeros((4, 5), np.uint16)
    pytest.importorskip("PIL.Image").fromarray(pixels).save(tmp_path / "pets" / "cat" / "000.png")

    with pytest.raises(KilogradError, match=r"cat/000\.png: pixels of the kind I;16 are not supported"):
        load_dataset(f"{tmp_path}/pets")


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"cat": 5}, "belong to one class, cat"),
        ({"cat": 5, "dog": 1}, "dog: one image cannot be split"),
        ({"cat": 5, "dog": 0}, "dog: there are no images"),
        ({}, "there are no folders of classes"),
        ({"train/cat": 5, "train/dog": 5}, "there is a folder train/, but only that"),
        ({"train/cat": 5, "train/dog": 5, "test/cat": 2}, "classes in only one of train/ and test/: dog"),
    ],
)
def test_a_folder_from_which_nothing_can_be_learnt_is_refused(
    tmp_path: Path, parts: dict[str, int], reason: str
) -> None:
    """One clear error each."""
    (tmp_path / "pets").mkdir()
    write_images(tmp_path / "pets", parts)

    with pytest.raises(KilogradError) as caught:
        load_dataset(f"{tmp_path}/pets")

    assert reason in caught.value.message
    assert caught.value.hint


def test_without_pillow_the_error_tells_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is optional: the sets that come with kilograd do not need it."""
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(2):
            (tmp_path / "pets" / name / f"{number}.png").touch()

    with pytest.raises(KilogradError, match="image files need the package Pillow") as caught:
        load_dataset(f"{tmp_path}/pets")

    assert "pip install 'kilograd[images]'" in caught.value.hint


@pytest.mark.parametrize("key", ["data.name", "pretrain.data"])
def test_own_data_is_found_beside_the_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """Wherever the command is started, and also beside it."""
    write_npz(tmp_path)
    (tmp_path / "my.toml").write_text(EXPERIMENT.format("digits"))
    elsewhere = load_experiment(tmp_path / "my.toml", {key: "mine.npz"})
    monkeypatch.chdir(tmp_path)
    here = load_experiment("my.toml", {key: "mine.npz"})

    for experiment in (elsewhere, here):
        name = experiment.data.name if key == "data.name" else experiment.pretrain.data
        assert load_dataset(str(name)).classes == ("0", "1", "2")


def test_a_folder_with_the_name_of_a_set_stays_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slash tells."""
    (tmp_path / "digits").mkdir()
    (tmp_path / "my.toml").write_text(EXPERIMENT.format("./digits"))
    monkeypatch.chdir(tmp_path)

    with pytest.raises(KilogradError, match="digits: there are no folders of classes"):
        load_dataset(load_experiment("my.toml").data.name)


def test_missing_own_data_is_named_with_the_key(tmp_path: Path) -> None:
    """The path is relative to the experiment, which a user may not expect."""
    (tmp_path / "my.toml").write_text(EXPERIMENT.format("mine.npz"))

    with pytest.raises(KilogradError) as caught:
        load_experiment(tmp_path / "my.toml")

    assert caught.value.message == f"{tmp_path / 'my.toml'}: data.name: there is no file or folder {tmp_path}/mine.npz"
    assert "relative to the experiment" in caught.value.hint
