# SPDX-License-Identifier: Apache-2.0
"""The data sets, read from small files in the format of the published ones."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
import wave
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.io import savemat  # type: ignore[import-untyped]

from kilograd.data import load_dataset
from kilograd.data.formats.mel import log_mel
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

CIFAR = "cifar-100-binary"
SECOND = 16000


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder with data sets; the machine's own are out of reach."""
    monkeypatch.setenv("KILOGRAD_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("KILOGRAD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "data"


def write_lzma(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an .npz file whose members are compressed with LZMA."""
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array)
            archive.writestr(f"{name}.npy", content.getvalue())


def write_zip(path: Path, members: Mapping[str, bytes]) -> None:
    """Write a .zip archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def write_tar(path: Path, members: Mapping[str, bytes], prefix: str = "") -> None:
    """Write a .tar.gz archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def jpeg(colour: tuple[int, int, int], size: tuple[int, int]) -> bytes:
    """Return a photograph of one colour."""
    image = pytest.importorskip("PIL.Image", reason="Pillow is optional")
    content = io.BytesIO()
    image.new("RGB", size, colour).save(content, "jpeg")
    return content.getvalue()


def wav(sound: NDArray[np.int16], *, rate: int = SECOND, channels: int = 1) -> bytes:
    """Return a 16-bit .wav file."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound.astype("<i2").tobytes())
    return content.getvalue()


# Name and file of a set, shape and type of x in the file, shape of a sample, what 100 in the file means.
PACKED = [
    ("cifar10", "cifar10_10k_2k.npz", (3, 32, 32), np.uint8, (3, 32, 32), 100 / 255),
    ("cwru", "cwru_de12k_w512.npz", (1, 512), np.int16, (1, 1, 512), 100 / 4800 / 0.34),
    ("uci_har", "uci_har_9x128.npz", (9, 128), np.int16, (9, 1, 128), 100 / 4096),
]


def write_packed(path: Path, shape: tuple[int, ...], kind: type[np.generic], **changed: NDArray[Any]) -> None:
    """Write a set of five samples, whose first values are 100, as an .npz file."""
    x = np.zeros((5, *shape), kind)
    x[:, ..., 0] = 100
    y = np.array([0, 5, 1, 2, 3], np.uint8)
    good = {"x_train": x[:3], "y_train": y[:3], "x_test": x[3:], "y_test": y[3:]}
    write_lzma(path, good | changed)


@pytest.mark.parametrize(("name", "file", "stored", "kind", "shape", "hundred"), PACKED)
def test_packed_sets_come_out_in_real_units(
    home: Path,
    name: str,
    file: str,
    stored: tuple[int, ...],
    kind: type[np.generic],
    shape: tuple[int, ...],
    hundred: float,
) -> None:
    """A time series gets a height of 1, and the members are LZMA."""
    write_packed(home / name / file, stored, kind)

    data = load_dataset(name)

    assert data.name == name
    assert data.train.x.shape == (3, *shape)
    assert data.train.x.dtype == np.float32
    assert data.train.y.tolist() == [0, 5, 1]
    assert data.test.y.tolist() == [2, 3]
    assert data.test.x[..., 0] == pytest.approx(hundred)
    assert not data.test.x[..., 1:].any()


DAMAGES: dict[str, tuple[dict[str, NDArray[Any]], str]] = {
    "other shape": (
        {"x_train": np.zeros((3, 9, 127), np.int16)},
        "x_train: samples are (9, 127), expected (9, 1, 128)",
    ),
    "floats": ({"x_train": np.zeros((3, 9, 128))}, "x_train holds float64, expected whole numbers"),
    "labels": ({"y_test": np.array([0, 6])}, "x_test: label 6, but there are 6 classes"),
    "label count": ({"y_test": np.array([0])}, "x_test: 1 labels for 2 samples"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_wrong_packed_set_is_named(home: Path, case: str) -> None:
    """The file, the array, and what is wrong."""
    changed, reason = DAMAGES[case]
    path = home / "uci_har" / "uci_har_9x128.npz"
    write_packed(path, (9, 128), np.int16, **changed)

    with pytest.raises(KilogradError) as caught:
        load_dataset("uci_har")

    assert caught.value.message.startswith(f"{path}: ")
    assert reason in caught.value.message


@pytest.mark.parametrize("place", [100, 1000, -16])
def test_a_damaged_packed_set_is_named(home: Path, place: int) -> None:
    """LZMA, zip and numpy each complain in their own way; a user sees one."""
    path = home / "cwru" / "cwru_de12k_w512.npz"
    noise = np.random.default_rng(3).integers(-99, 99, (3, 1, 512), np.int16)
    write_packed(path, (1, 512), np.int16, x_train=noise)
    content = bytearray(path.read_bytes())
    content[place : place + 8] = bytes(8)
    path.write_bytes(content)

    with pytest.raises(KilogradError) as caught:
        load_dataset("cwru")

    assert caught.value.message.startswith(f"{path}: ")


def test_a_part_of_speech_commands_becomes_spectrograms_of_twelve_classes(home: Path) -> None:
    """The words' own labels are in the file too."""
    sound = np.random.default_rng(1).integers(-9999, 9999, (3, 1, SECOND), np.int16)
    labels = {"y_train": np.array([30, 35]), "y12_train": np.array([1, 11]), "y_test": np.array([7])}
    arrays = {"x_train": sound[:2], "x_test": sound[2:], "y12_test": np.array([10])} | labels
    write_lzma(home / "speech_commands_mini" / "speech_commands_mini.npz", arrays)

    data = load_dataset("speech_commands_mini")

    assert data.train.y.tolist() == [1, 11]
    assert [data.classes[label] for label in (*data.train.y, *data.test.y)] == ["no", "unknown", "silence"]
    assert np.array_equal(data.train.x, log_mel(sound[:2, 0]))


def idx(array: NDArray[np.uint8]) -> bytes:
    """Return a gzipped idx-ubyte file."""
    return gzip.compress(struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes())


@pytest.mark.parametrize(("name", "first", "last"), [("letters", "A", "Z"), ("digits", "0", "9")])
def test_emnist_is_upright_and_counted_from_0(home: Path, name: str, first: str, last: str) -> None:
    """Its images lie on their side, its letters begin at 1; both sets share one download."""
    images = np.random.default_rng(2).integers(0, 256, (4, 28, 28), np.uint8)
    lowest, highest = (1, 26) if name == "letters" else (0, 9)
    labels = np.array([lowest, highest, lowest, lowest], np.uint8)
    members = {f"gzip/emnist-{name}-{part}-images-idx3-ubyte.gz": idx(images) for part in ("train", "test")}
    members |= {f"gzip/emnist-{name}-{part}-labels-idx1-ubyte.gz": idx(labels) for part in ("train", "test")}
    write_zip(home / "emnist" / "gzip.zip", members)

    data = load_dataset(f"emnist_{name}")

    assert [data.classes[label] for label in data.train.y[:2]] == [first, last]
    assert np.array_equal(np.rint(data.train.x[1, 0] * 255), images[1].T)


def test_emnist_without_a_set_names_what_is_missing(home: Path) -> None:
    """An archive of something else."""
    write_zip(home / "emnist" / "gzip.zip", {"readme": b""})

    with pytest.raises(KilogradError, match=r"gzip\.zip: gzip/emnist-digits-train-images-idx3-ubyte\.gz is not inside"):
        load_dataset("emnist_digits")


def cifar_members(fine: int = 99) -> dict[str, bytes]:
    """Return the archive of CIFAR-100 with one image for training (the last is its blue corner) and two for testing."""
    names = "\n".join(f"class{number}" for number in range(100)) + "\n"
    image = bytes([19, fine]) + bytes(3 * 32 * 32 - 1) + b"\xff"
    return {
        f"{CIFAR}/coarse_label_names.txt": b"",
        f"{CIFAR}/fine_label_names.txt": names.encode(),
        f"{CIFAR}/train.bin": image,
        f"{CIFAR}/test.bin": bytes([3, 7]) + image[2:] + image,
    }


def test_cifar100_has_fine_labels_and_channels_first(home: Path) -> None:
    """The coarse label is skipped, the names come from the archive."""
    write_tar(home / "cifar100" / "cifar-100-binary.tar.gz", cifar_members())

    data = load_dataset("cifar100")

    assert data.classes[data.train.y[0]] == "class99"
    assert data.test.y.tolist() == [7, 99]
    assert data.train.x.shape == (1, 3, 32, 32)
    assert data.train.x[0, 2, 31, 31] == 1
    assert data.train.x.sum() == 1


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("train.bin", bytes(3073), "train.bin: 3073 bytes are no whole records of 3074"),
        ("train.bin", b"", "train.bin: there are no samples"),
        ("train.bin", bytes([0, 100]) + bytes(3072), "train.bin: label 100, but there are 100 classes"),
        ("fine_label_names.txt", b"apple", "fine_label_names.txt holds 1 names"),
    ],
)
def test_a_wrong_cifar100_is_named(home: Path, name: str, content: bytes, reason: str) -> None:
    """The archive, its member, and what is wrong."""
    write_tar(home / "cifar100" / "cifar-100-binary.tar.gz", cifar_members() | {f"{CIFAR}/{name}": content})

    with pytest.raises(KilogradError) as caught:
        load_dataset("cifar100")

    assert f"{CIFAR}/{reason}" in caught.value.message


@pytest.mark.parametrize("cut", [0, 10, 50])
def test_a_cut_off_archive_is_named(home: Path, cut: int) -> None:
    """An interrupted copy never passes."""
    path = home / "cifar100" / "cifar-100-binary.tar.gz"
    write_tar(path, cifar_members())
    path.write_bytes(path.read_bytes()[:cut])

    with pytest.raises(KilogradError, match=r"cifar-100-binary\.tar\.gz: not an archive, or damaged"):
        load_dataset("cifar100")


def recording(activities: list[tuple[int, int]], level: float) -> bytes:
    """Return a person's file: 24 columns, and activities (number, moments) in the last."""
    column = np.concatenate([np.full(moments, activity) for activity, moments in activities])
    values = np.random.default_rng(1).normal(level, 1, (len(column), 24))
    content = io.StringIO()
    np.savetxt(content, np.column_stack([values, column]), "%.3f", delimiter=",")
    return content.getvalue().encode()


def test_daliac_windows_hold_one_activity_each(home: Path) -> None:
    """Rests are dropped, four people only test, and channels are scaled by the training windows."""
    person = recording([(1, 1500), (13, 2048)], 5)
    write_zip(home / "daliac" / "daliac.zip", {f"daliac/dataset_{number}.txt": person for number in range(1, 20)})

    data = load_dataset("daliac")

    values = np.loadtxt(io.BytesIO(person), delimiter=",")[1500:2524, :24]
    expected = (values - values.mean(0)) / values.std(0)
    assert data.train.x.shape == (15 * 3, 24, 1, 1024)
    assert data.train.y[:3].tolist() == [0, 12, 12]
    assert len(data.test) == 4 * 3
    assert data.train.x.mean((0, 2, 3)) == pytest.approx(np.zeros(24), abs=1e-4)
    assert data.train.x.std((0, 2, 3)) == pytest.approx(np.ones(24), abs=1e-4)
    assert np.abs(data.test.x[1, :, 0].T - expected).max() < 0.2


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (None, "dataset_1.txt is not inside"),
        (b"1,2,3\n", "dataset_1.txt: 3 columns"),
        (b"<html>\n", "dataset_1.txt: could not convert"),
        (recording([(14, 1024)], 0), "dataset_1.txt: label 13, but there are 13 classes"),
        (recording([(1, 1000)], 0), "dataset_1.txt: there are no samples"),
    ],
)
def test_a_wrong_daliac_is_named(home: Path, first: bytes | None, reason: str) -> None:
    """There is no checksum, so the structure must hold."""
    person = recording([(1, 1024)], 0)
    members = {f"dataset_{number}.txt": person for number in range(2, 20)}
    write_zip(home / "daliac" / "daliac.zip", members | ({} if first is None else {"dataset_1.txt": first}))

    with pytest.raises(KilogradError) as caught:
        load_dataset("daliac")

    assert reason in caught.value.message


def other_word(*, taken: bool) -> str:
    """Return the name of a clip that is, or is not, one of the 25th that are taken as unknown."""
    names = (f"cat/{number:08x}_nohash_0.wav" for number in range(1000))
    return next(name for name in names if (int(hashlib.sha256(name.encode()).hexdigest(), 16) % 25 == 0) is taken)


def test_speech_commands_are_commands_silence_and_unknown(home: Path) -> None:
    """The list in the archive decides what is for testing; noise is cut in time."""
    rng = np.random.default_rng(4)
    long, short = rng.integers(-9999, 9999, SECOND, np.int16), rng.integers(-9999, 9999, 9000, np.int16)
    noise = rng.integers(-9999, 9999, 10 * SECOND, np.int16)
    members = {
        "yes/aa_nohash_0.wav": wav(long),
        "go/bb_nohash_0.wav": wav(short),
        other_word(taken=True): wav(long),
        other_word(taken=False): b"not even read",
        "_background_noise_/tap.wav": wav(noise),
        "_background_noise_/README.md": b"",
        "testing_list.txt": b"go/bb_nohash_0.wav\nyes/cc_nohash_0.wav\n",
    }
    write_tar(home / "speech_commands" / "speech_commands_v0.02.tar.gz", members, prefix="./")

    data = load_dataset("speech_commands")

    assert [data.classes[label] for label in data.train.y] == ["yes", "unknown"] + ["silence"] * 15
    assert [data.classes[label] for label in data.test.y] == ["go"] + ["silence"] * 3
    assert np.array_equal(data.train.x[0], log_mel(long[None])[0])
    assert np.array_equal(data.test.x[0], log_mel(np.pad(short, (0, 7000))[None])[0])
    assert np.array_equal(data.test.x[-1], log_mel(noise[None, -SECOND:])[0])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"RIFF", "not a .wav file, or damaged"),
        (wav(np.zeros(9, np.int16), rate=8000), "1 channels of 16 bits at 8000 Hz, expected 1 of 16 bits at 16000"),
        (wav(np.zeros(8, np.int16), channels=2), "2 channels of 16 bits"),
    ],
)
def test_a_wrong_clip_is_named(home: Path, content: bytes, reason: str) -> None:
    """The archive, the clip, and what is wrong."""
    members = {"testing_list.txt": b"yes/b.wav", "yes/a.wav": content}
    write_tar(home / "speech_commands" / "speech_commands_v0.02.tar.gz", members)

    with pytest.raises(KilogradError) as caught:
        load_dataset("speech_commands")

    assert f"yes/a.wav: {reason}" in caught.value.message


def test_speech_commands_without_its_list_is_refused(home: Path) -> None:
    """Else everything would train and nothing test."""
    write_tar(home / "speech_commands" / "speech_commands_v0.02.tar.gz", {"yes/a.wav": b""})

    with pytest.raises(KilogradError, match=r"testing_list\.txt is not inside"):
        load_dataset("speech_commands")


COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255))


def write_flowers(folder: Path, *, split: Mapping[str, list[int]], images: int = 4) -> None:
    """Write the three files of Flowers-102; image n has the colour n - 1."""
    members = {f"jpg/image_{n + 1:05}.jpg": jpeg(COLOURS[n], (300, 200)) for n in range(images)}
    write_tar(folder / "102flowers.tgz", members)
    savemat(folder / "imagelabels.mat", {"labels": np.array([[77, 1, 102, 1]], np.uint8)})
    savemat(folder / "setid.mat", {name: np.array([numbers], np.uint16) for name, numbers in split.items()})


def test_flowers_follow_the_lists_of_the_authors(home: Path) -> None:
    """Training and validation train, labels are counted from 0, the middle square is scaled."""
    write_flowers(home / "flowers102", split={"trnid": [3], "valid": [1], "tstid": [2, 4]})

    data = load_dataset("flowers102")

    assert data.train.x.shape == (2, 3, 128, 128)
    assert data.train.y.tolist() == [101, 76]
    assert [data.classes[label] for label in data.train.y] == ["102", "77"]
    assert data.train.x[:, :, 64, 64] == pytest.approx(np.array([[0, 0, 1], [1, 0, 0]]), abs=0.02)
    assert data.test.x[:, :, 0, 127] == pytest.approx(np.array([[0, 1, 0], [1, 1, 1]]), abs=0.02)


@pytest.mark.parametrize(
    ("split", "images", "reason"),
    [
        ({"trnid": [3], "valid": [1], "tstid": [2, 5]}, 4, "names images outside the 4"),
        ({"trnid": [0], "valid": [1], "tstid": [2]}, 4, "names images outside the 4"),
        ({"trnid": [3], "valid": [1]}, 4, "cannot read trnid, valid, tstid"),
        ({"trnid": [3], "valid": [1], "tstid": [2, 4]}, 3, "jpg/image_00004.jpg is not inside"),
    ],
)
def test_wrong_flowers_are_named(home: Path, split: dict[str, list[int]], images: int, reason: str) -> None:
    """Each file is whole, but they do not belong together."""
    write_flowers(home / "flowers102", split=split, images=images)

    with pytest.raises(KilogradError) as caught:
        load_dataset("flowers102")

    assert reason in caught.value.message


@pytest.mark.parametrize("content", [b"", b"nothing", bytes(200)])
def test_a_damaged_list_of_flowers_is_named(home: Path, content: bytes) -> None:
    """The reader of .mat files has errors of its own."""
    write_flowers(home / "flowers102", split={"trnid": [3], "valid": [1], "tstid": [2, 4]})
    (home / "flowers102" / "imagelabels.mat").write_bytes(content)

    with pytest.raises(KilogradError, match=r"imagelabels\.mat: cannot read labels"):
        load_dataset("flowers102")


ANIMALS = ("cane", "cavallo", "elefante", "farfalla", "gallina", "gatto", "mucca", "pecora", "ragno", "scoiattolo")


def test_of_each_animal_every_fifth_photograph_tests(home: Path) -> None:
    """By name, whatever the order of the archive; folders have Italian names, classes English ones."""
    photographs = [jpeg((0, 0, 0), (9, 9)), jpeg((255, 255, 255), (7, 12))]
    members = {
        f"raw-img/{animal}/{number}.jpeg": photographs[number not in {0, 5}]
        for animal in reversed(ANIMALS)
        for number in (3, 0, 5, 1, 2, 4)
    }
    write_zip(home / "animals10" / "archive.zip", members | {"translate.py": b""})

    data = load_dataset("animals10")

    assert data.classes[:2] == ("dog", "horse")
    assert np.bincount(data.train.y).tolist() == [4] * 10
    assert np.bincount(data.test.y).tolist() == [2] * 10
    assert data.train.x.min() > 0.98
    assert data.test.x.max() < 0.02


def test_too_few_animals_are_refused(home: Path) -> None:
    """A wrong or incomplete archive."""
    write_zip(home / "animals10" / "archive.zip", {"raw-img/cane/1.jpeg": b""})

    with pytest.raises(KilogradError, match="1 photographs in raw-img/cane, expected 5 at least"):
        load_dataset("animals10")
