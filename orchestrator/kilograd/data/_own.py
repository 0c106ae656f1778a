# SPDX-License-Identifier: Apache-2.0
"""
Data of the user's own: an .npz file, or a folder of images.

An .npz file holds x_train, y_train, x_test, y_test, and optionally classes (their names). x is (n, channels, height,
width) or (n, features); bytes count as images and are divided by 255, other numbers are taken as they are.

A folder of images has a folder for each class: inside train/ and test/, or directly, and then of each class a fifth
(seeded, at least one) is for testing. Images are not scaled: all must have the same size and kind (grey or colour).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kilograd.data.formats import images, npz
from kilograd.data.formats.checks import checked
from kilograd.errors import KilogradError
from kilograd.types import Dataset, Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

PARTS = ("train", "test")
ARRAYS = tuple(f"{kind}_{part}" for part in PARTS for kind in ("x", "y"))
SEED = 1
TESTED_SHARE = 5
FLAT, MAPS = 2, 4

_FILE_HINT = "the file needs x_train, y_train, x_test, y_test, and may have classes (numpy.savez writes such a file)"
_FOLDER_HINT = "the folder needs a folder of images for each class, directly or inside train/ and test/"

Files = dict[str, list[Path]]
"""The images of each class."""


def load_own(path: Path) -> Dataset:
    """Read an .npz file or a folder of images."""
    if path.is_dir():
        return _load_folder(path)
    if path.is_file():
        return _load_npz(path)
    message = f"there is no file or folder {path}"
    raise KilogradError(message, "give the path of an .npz file or of a folder of images")


def _load_npz(path: Path) -> Dataset:
    arrays = dict(zip(ARRAYS, npz.read(path, *ARRAYS, hint=_FILE_HINT), strict=True))
    for name, array in arrays.items():
        _check_array(path, name, array)
    classes = _class_names(path) or _numbers(path, np.union1d(arrays["y_train"], arrays["y_test"]))
    shape = arrays["x_train"].shape[1:]
    train, test = (
        checked(_real(arrays[f"x_{part}"]), arrays[f"y_{part}"], shape, len(classes), f"{path}: {part}", _FILE_HINT)
        for part in PARTS
    )
    return _judged(Dataset(path.stem, train, test, classes), path)


def _check_array(path: Path, name: str, array: NDArray[Any]) -> None:
    """Tell what is wrong with one array of the file, if anything is."""
    if name.startswith("y"):
        if array.dtype.kind not in "iu":
            message = f"{path}: {name} holds {array.dtype}: labels are whole numbers from 0 on"
            raise KilogradError(message, _FILE_HINT)
        return
    if array.dtype.kind not in "iuf":
        message = f"{path}: {name} holds {array.dtype}, expected numbers"
        raise KilogradError(message, _FILE_HINT)
    if array.ndim not in (FLAT, MAPS):
        message = f"{path}: {name} has the shape {array.shape}"
        hint = "samples are (n, channels, height, width), time series (n, channels, 1, moments), or (n, features)"
        raise KilogradError(message, hint)
    spoilt = np.unique(np.nonzero(~np.isfinite(_real(array)))[0])
    if len(spoilt):
        message = f"{path}: {name}[{spoilt[0]}] holds a value that is no finite number"
        raise KilogradError(message, f"correct or leave out {len(spoilt)} samples")


def _class_names(path: Path) -> tuple[str, ...]:
    if "classes" not in npz.names(path):
        return ()
    (classes,) = npz.read(path, "classes", hint=_FILE_HINT)
    if classes.dtype.kind != "U" or classes.ndim != 1:
        message = f"{path}: classes holds {classes.dtype} of shape {classes.shape}, expected a list of names"
        raise KilogradError(message, 'for instance classes=["cat", "dog"]')
    return tuple(map(str, classes))


def _numbers(path: Path, labels: NDArray[Any]) -> tuple[str, ...]:
    """Return the labels as names; a gap among them is more likely a mistake than a class without samples."""
    if not np.array_equal(labels, np.arange(len(labels))):
        message = f"{path}: the labels are {', '.join(map(str, labels[:10]))}, expected 0 to {len(labels) - 1}"
        raise KilogradError(message, "number the classes from 0 on, or name them all in an array called classes")
    return tuple(map(str, labels))


def _real(x: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # too large a number becomes infinite, which is an error of its own
        real = x.astype(np.float32)
    return real / np.float32(255) if x.dtype == np.uint8 else real


def _load_folder(path: Path) -> Dataset:
    split = [part for part in PARTS if (path / part).is_dir()]
    if len(split) == 1:
        message = f"{path}: there is a folder {split[0]}/, but only that of train/ and test/"
        raise KilogradError(message, _FOLDER_HINT)
    trained, tested = (_files(path / part) for part in PARTS) if split else _split(_files(path))
    if trained.keys() != tested.keys():
        lonely = ", ".join(sorted(trained.keys() ^ tested.keys()))
        message = f"{path}: classes in only one of train/ and test/: {lonely}"
        raise KilogradError(message, "both need the same folders")
    first = next(iter(trained.values()))[0]
    shape = _pixels(first).shape
    train, test = (_read(files, shape, first) for files in (trained, tested))
    return _judged(Dataset(path.name, train, test, tuple(trained)), path)


def _files(folder: Path) -> Files:
    """Return the images of each class; hidden files are nobody's data."""
    classes = [inner for inner in sorted(folder.iterdir()) if inner.is_dir() and not inner.name.startswith(".")]
    if not classes:
        message = f"{folder}: there are no folders of classes"
        raise KilogradError(message, _FOLDER_HINT)
    found = {
        inner.name: [file for file in sorted(inner.iterdir()) if not file.is_dir() and not file.name.startswith(".")]
        for inner in classes
    }
    empty = [name for name, files in found.items() if not files]
    if empty:
        message = f"{folder / empty[0]}: there are no images"
        raise KilogradError(message, _FOLDER_HINT)
    return found


def _split(found: Files) -> tuple[Files, Files]:
    rng = np.random.default_rng(SEED)
    trained: Files = {}
    tested: Files = {}
    for name, files in found.items():
        count = max(1, len(files) // TESTED_SHARE)
        if count == len(files):
            message = f"{files[0].parent}: one image cannot be split for training and testing"
            raise KilogradError(message, "add images, or make train/ and test/ folders")
        chosen = set(rng.permutation(len(files))[:count].tolist())
        trained[name] = [file for place, file in enumerate(files) if place not in chosen]
        tested[name] = [file for place, file in enumerate(files) if place in chosen]
    return trained, tested


def _read(found: Files, shape: tuple[int, ...], first: Path) -> Samples:
    files = [(file, label) for label, listed in enumerate(found.values()) for file in listed]
    x = np.empty((len(files), *shape), np.float32)
    for row, (file, _) in zip(x, files, strict=True):
        image = _pixels(file)
        if image.shape != shape:
            message = f"{file}: its shape is {image.shape}, that of {first} is {shape}"
            raise KilogradError(message, "all images need the same size and kind: (1 or 3 colours, height, width)")
        row[:] = image
    return Samples(x, np.array([label for _, label in files], np.int64))


def _pixels(file: Path) -> NDArray[np.float32]:
    try:
        content = file.read_bytes()
    except OSError as error:
        message = f"{file} cannot be read: {error.strerror}"
        raise KilogradError(message, _FOLDER_HINT) from error
    return images.pixels(content, str(file), hint="take other files out of the folders of classes")


def _judged(data: Dataset, path: Path) -> Dataset:
    """Refuse data from which nothing can be learnt."""
    trained = np.unique(data.train.y)
    if len(trained) < len(("one", "another")):
        message = f"{path}: all samples for training belong to one class, {data.classes[trained[0]]}"
        raise KilogradError(message, "a model learns to tell at least two classes apart")
    unknown = np.setdiff1d(data.test.y, trained)
    if len(unknown):
        message = f"{path}: class {data.classes[unknown[0]]} is tested, but there is no sample of it for training"
        raise KilogradError(message, "add samples of it to the training part, or take it out of the test part")
    return data
