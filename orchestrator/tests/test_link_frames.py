# SPDX-License-Identifier: Apache-2.0
"""Frames of the link: what Python and C make of them, against the textbook and zlib."""

from __future__ import annotations

import ctypes
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilograd import paths, tools
from kilograd.link import frames
from kilograd.link.frames import DamagedFrameError, Splitter
from link.twin import cobs, frame, intact_frames

if TYPE_CHECKING:
    from pathlib import Path

SINK = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_uint8), ctypes.c_size_t)
MORE, FRAME, DAMAGED = range(3)

# Runs around the longest block, and zeros in every place.
RUNS = st.sampled_from([0, 1, 2, 253, 254, 255, 508, 509, 762]).map(lambda n: bytes([n % 255 + 1]) * n)
CONTENTS = st.lists(st.one_of(RUNS, st.just(b"\0"), st.binary(max_size=20)), max_size=6).map(b"".join)


class Decoder(ctypes.Structure):
    """kg_cobs_decoder_t."""

    _fields_ = (
        ("buffer", ctypes.c_char_p),
        ("capacity", ctypes.c_size_t),
        ("size", ctypes.c_size_t),
        ("code", ctypes.c_uint8),
        ("left", ctypes.c_uint8),
        ("open", ctypes.c_bool),
        ("overlong", ctypes.c_bool),
    )


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Return the firmware's COBS and CRC as a library."""
    library: Path = tmp_path_factory.mktemp("codec") / "codec.so"
    firmware = paths.share() / "firmware"
    sources = [firmware / "runtime" / "cobs.c", firmware / "runtime" / "crc32.c"]
    compiler = tools.find("gcc", "install gcc")
    flags = ("-std=c11", "-shared", "-fPIC", f"-I{firmware}")
    tools.run([compiler, *flags, *sources, "-o", library], what="the codec")
    loaded = ctypes.CDLL(str(library))
    loaded.kg_crc32.restype = ctypes.c_uint32
    loaded.kg_crc32.argtypes = [ctypes.c_uint32, ctypes.c_char_p, ctypes.c_size_t]
    loaded.kg_cobs_encode.argtypes = [ctypes.c_char_p, ctypes.c_size_t, SINK]
    loaded.kg_cobs_feed.argtypes = [ctypes.POINTER(Decoder), ctypes.c_uint8]
    loaded.kg_cobs_next.argtypes = [ctypes.POINTER(Decoder)]
    return loaded


def encode_in_c(codec: ctypes.CDLL, data: bytes) -> bytes:
    """Collect what the firmware's encoder sends."""
    out = bytearray()
    sink = SINK(lambda piece, size: out.extend(piece[:size]))
    codec.kg_cobs_encode(data, len(data), sink)
    return bytes(out)


def decode_in_c(codec: ctypes.CDLL, stream: bytes, capacity: int) -> list[bytes | None]:
    """Return what the firmware's decoder makes of a stream: frames, None for each damaged one."""
    buffer = ctypes.create_string_buffer(b"\xaa" * (capacity + 1), capacity + 1)
    address = ctypes.cast(buffer, ctypes.c_char_p)
    decoder = Decoder(buffer=address, capacity=capacity)
    found: list[bytes | None] = []
    for byte in stream:
        result = codec.kg_cobs_feed(decoder, byte)
        if result != MORE:
            found.append(buffer.raw[: decoder.size] if result == FRAME else None)
            codec.kg_cobs_next(decoder)
    assert buffer.raw[capacity] == 0xAA
    return found


@given(data=CONTENTS)
def test_python_encodes_like_the_textbook(data: bytes) -> None:
    """The vectorised encoder must not differ from the plain one anywhere."""
    textbook = cobs(data + zlib.crc32(data).to_bytes(4, "little"))

    assert b"\0" + textbook + b"\0" == frames.encode(data)


@given(rows=st.lists(st.tuples(CONTENTS, CONTENTS), min_size=1, max_size=5))
def test_many_frames_at_once_are_the_same_as_one_by_one(rows: list[tuple[bytes, bytes]]) -> None:
    """Samples travel in bulk, their neighbours must not show."""
    sizes = [max(len(row[i]) for row in rows) for i in range(2)]
    padded = [[row[i].ljust(sizes[i], b"\x07") for row in rows] for i in range(2)]
    columns = [
        np.frombuffer(b"".join(column), np.uint8).reshape(len(rows), size)
        for column, size in zip(padded, sizes, strict=True)
    ]
    one_by_one = [frames.encode(content) for row in zip(*padded, strict=True) for content in row]

    assert one_by_one == frames.encode_rows(columns)


@given(data=CONTENTS)
def test_c_encodes_like_the_textbook(codec: ctypes.CDLL, data: bytes) -> None:
    """Both ends must agree on every byte."""
    assert cobs(data) == encode_in_c(codec, data)


@given(data=CONTENTS)
def test_c_decodes_what_python_encodes(codec: ctypes.CDLL, data: bytes) -> None:
    """A request arrives as it was sent, CRC included, in a buffer that just fits."""
    content = data + zlib.crc32(data).to_bytes(4, "little")

    assert [content] == decode_in_c(codec, frames.encode(data), len(content))


@given(data=CONTENTS)
def test_python_decodes_what_c_encodes(codec: ctypes.CDLL, data: bytes) -> None:
    """An answer arrives as it was sent."""
    crc = codec.kg_crc32(0, data, len(data))

    assert data == frames.decode(encode_in_c(codec, data + crc.to_bytes(4, "little")))


@given(data=CONTENTS)
def test_frame_larger_than_the_buffer_is_damaged(codec: ctypes.CDLL, data: bytes) -> None:
    """One byte too many must neither be written nor pass; the next frame is fine again."""
    stream = frames.encode(data + b"!") + b"\0\2\7\0"

    assert [None, b"\7"] == decode_in_c(codec, stream, len(data) + 4)


@pytest.mark.parametrize("body", [b"\x05ab", b"\x02", b"\xff" + bytes(range(1, 254))])
def test_block_that_ends_early_is_damaged(codec: ctypes.CDLL, body: bytes) -> None:
    """A frame cut short is known as such before its CRC is looked at."""
    assert decode_in_c(codec, b"\0" + body + b"\0", 999) == [None]


@given(first=st.binary(), second=st.binary())
def test_crc_is_that_of_zlib(codec: ctypes.CDLL, first: bytes, second: bytes) -> None:
    """In one piece or in two."""
    whole = codec.kg_crc32(0, first + second, len(first + second))
    continued = codec.kg_crc32(codec.kg_crc32(0, first, len(first)), second, len(second))

    assert zlib.crc32(first + second) == whole == continued


@given(stream=st.lists(st.one_of(CONTENTS.map(frames.encode), st.binary(max_size=9)), max_size=6).map(b"".join))
def test_c_and_textbook_find_the_same_frames(codec: ctypes.CDLL, stream: bytes) -> None:
    """Garbage between frames must not cost a frame beside it."""
    with_crc = [f for f in decode_in_c(codec, stream + b"\0", 10_000) if f is not None and len(f) >= 8]
    found = [f[:-4] for f in with_crc if zlib.crc32(f[:-4]).to_bytes(4, "little") == f[-4:]]
    opened = stream[stream.find(b"\0") :] if b"\0" in stream else b""

    assert intact_frames(opened) == found


@given(data=st.binary(max_size=600), bit=st.integers(min_value=0))
def test_python_refuses_a_flipped_bit(data: bytes, bit: int) -> None:
    """An answer with one wrong bit must not be believed."""
    body = bytearray(frames.encode(data)[1:-1])
    body[bit // 8 % len(body)] ^= 1 << bit % 8

    with pytest.raises(DamagedFrameError):
        frames.decode(bytes(body))


@given(
    contents=st.lists(st.binary(min_size=4, max_size=300), max_size=5),
    cuts=st.lists(st.integers(min_value=0, max_value=1500), max_size=5),
)
def test_splitter_does_not_care_how_the_stream_is_cut(contents: list[bytes], cuts: list[int]) -> None:
    """A pipe hands over bytes in pieces of any size."""
    stream = b"ready\n" + b"".join(frames.encode(content) for content in contents)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    splitter = Splitter()
    found = [f for a, b in pairwise(edges) for f in splitter.feed(stream[a:b])]
    splitter.finish()

    assert (contents, ["ready"], 0) == (found, splitter.lines, splitter.damaged)


def test_splitter_tells_text_from_damage() -> None:
    """A fault report is for people, a broken frame is counted, and neither hides the frame behind it."""
    whole = frames.encode(b"\x84\0\1\0")
    splitter = Splitter()
    found = splitter.feed(b"kilograd m 1 ready\n" + whole + whole[:-3] + b"\0" + whole + b"HardFault\tat 12\n")
    splitter.finish()

    assert [b"\x84\0\1\0", b"\x84\0\1\0"] == found
    assert (["kilograd m 1 ready", "HardFault\tat 12"], 1) == (splitter.lines, splitter.damaged)


def test_helper_frame_is_what_python_sends() -> None:
    """The frames that the other tests of the link write by hand are those of the session."""
    assert frames.encode(b"\x03\0\2\1payload") == frame(3, 0x102, b"payload")
