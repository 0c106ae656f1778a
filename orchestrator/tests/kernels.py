# SPDX-License-Identifier: Apache-2.0
"""Calls the C kernels with numpy arrays: builds them once into a shared library, guards every array that they write."""

from __future__ import annotations

import ctypes
import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from board_calls import OPS, board_calls
from kilograd.build import build_kernels

if TYPE_CHECKING:
    from collections.abc import Sequence

GUARD = 64
GUARD_BYTE = 0xA5

Array = NDArray[Any]


class Requant(ctypes.Structure):
    """kg_requant_t."""

    _fields_ = (("multiplier", ctypes.c_int32), ("shift", ctypes.c_int32))

    @property
    def pair(self) -> tuple[int, int]:
        """Return (multiplier, shift)."""
        return self.multiplier, self.shift


class ConvQuant(ctypes.Structure):
    """kg_conv_quant_t."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("x_zero", "w_zero", "y_zero", "y_min", "y_max")),
        ("forward", Requant),
        ("backward", Requant),
    )


class AveragePoolQuant(ctypes.Structure):
    """kg_average_pool_quant_t."""

    _fields_ = (("x_zero", ctypes.c_int32), ("y_zero", ctypes.c_int32), ("forward", Requant), ("backward", Requant))


class AddQuant(ctypes.Structure):
    """kg_add_quant_t."""

    _fields_ = tuple(
        (name, ctypes.c_int32)
        for name in ("a_zero", "b_zero", "y_zero", "y_min", "y_max", "a_weight", "b_weight", "shift")
    )


@dataclass(frozen=True)
class Window:
    """The shape of a convolution or pooling; pads are (top, left, bottom, right)."""

    in_channels: int
    in_height: int
    in_width: int
    out_channels: int
    kernel_height: int
    kernel_width: int
    stride_height: int = 1
    stride_width: int = 1
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1

    @property
    def out_height(self) -> int:
        """Return the number of output rows."""
        return (self.in_height + self.pads[0] + self.pads[2] - self.kernel_height) // self.stride_height + 1

    @property
    def out_width(self) -> int:
        """Return the number of output columns."""
        return (self.in_width + self.pads[1] + self.pads[3] - self.kernel_width) // self.stride_width + 1

    @property
    def x_shape(self) -> tuple[int, int, int]:
        """Return the shape of the input."""
        return self.in_channels, self.in_height, self.in_width

    @property
    def y_shape(self) -> tuple[int, int, int]:
        """Return the shape of the output."""
        return self.out_channels, self.out_height, self.out_width

    @property
    def w_shape(self) -> tuple[int, int, int, int]:
        """Return the shape of the weights."""
        return self.out_channels, self.in_channels // self.groups, self.kernel_height, self.kernel_width

    def conv(self) -> ctypes.Array[ctypes.c_int32]:
        """Return kg_conv_dims_t: thirteen int32 in a row."""
        values = (
            *self.x_shape, *self.y_shape, self.kernel_height, self.kernel_width, self.stride_height, self.stride_width,
            self.pads[0], self.pads[1], self.groups,
        )  # fmt: skip
        return (ctypes.c_int32 * 13)(*values)

    def pool(self) -> ctypes.Array[ctypes.c_int32]:
        """Return kg_pool_dims_t: eleven int32 in a row."""
        values = (
            *self.x_shape, self.out_height, self.out_width, self.kernel_height, self.kernel_width, self.stride_height,
            self.stride_width, self.pads[0], self.pads[1],
        )  # fmt: skip
        return (ctypes.c_int32 * 11)(*values)


def kept_rows(rows: Array, factors: Array, fraction: int) -> Array:
    """Return kg_kept_t: two int32, then (row, factor) in int16 each."""
    head = np.array([rows.size, fraction], np.int32)
    return np.concatenate([head, np.stack([rows, factors], 1).astype(np.int16).ravel().view(np.int32)])


class Output:
    """An array for C to write, with guard bytes on both sides: `array` is checked by `call`."""

    def __init__(self, shape: tuple[int, ...], dtype: type, like: Array | None = None) -> None:
        self.bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self.buffer = np.full(self.bytes + 2 * GUARD, GUARD_BYTE, np.uint8)
        self.array: Array = self.buffer[GUARD : GUARD + self.bytes].view(dtype).reshape(shape)
        if like is not None:
            self.array[...] = like

    def check(self) -> None:
        """Fail where a kernel wrote outside of the array."""
        outside = np.concatenate([self.buffer[:GUARD], self.buffer[GUARD + self.bytes :]])
        assert (outside == GUARD_BYTE).all(), "the kernel wrote outside of its array"


@functools.cache
def library() -> ctypes.CDLL:
    """Build all kernels of this checkout, plain and host, and load them."""
    with tempfile.TemporaryDirectory() as folder:
        return ctypes.CDLL(str(build_kernels(Path(folder))))


def call(name: str, *arguments: object) -> int:
    """Call a C function: arrays and outputs as pointers, whole numbers as int32, None as NULL. Return its int32."""
    function = getattr(library(), name)
    function.restype = ctypes.c_int32
    result: int = function(*(_convert(argument) for argument in arguments))
    for argument in arguments:
        if isinstance(argument, Output):
            argument.check()
    return result


def call_on_board(board: str, suffix: str, name: str, *arguments: object) -> int:
    """Do what `call` does on a virtual board."""
    placed = [(argument.buffer, GUARD) if isinstance(argument, Output) else argument for argument in arguments]
    result = board_calls(board, suffix).call(name, placed)
    for argument in arguments:
        if isinstance(argument, Output):
            argument.check()
    return result


def _convert(argument: object) -> object:
    if isinstance(argument, Output):
        return argument.array.ctypes.data_as(ctypes.c_void_p)
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        return argument.ctypes.data_as(ctypes.c_void_p)
    if isinstance(argument, ctypes.Structure):
        return ctypes.byref(argument)
    if isinstance(argument, float):
        return ctypes.c_float(argument)
    return argument


@dataclass(frozen=True)
class Weighted:
    """The kernels of an operator, plain or with a suffix, here or on a board; every method returns fresh arrays."""

    op: str
    suffix: str = ""
    board: str | None = None

    def _name(self, dtype: str, verb: str) -> str:
        name = f"kg_{self.op}_{dtype}_{verb}{self.suffix}"
        return name if hasattr(library(), name) else f"kg_{self.op}_{dtype}_{verb}"

    def _call(self, name: str, *arguments: object) -> int:
        floats = any(isinstance(argument, float) for argument in arguments)  # in registers of their own
        if self.board is None or self.suffix not in name or floats:
            return call(name, *arguments)
        return call_on_board(self.board, self.suffix, name, *arguments)

    def _scratch(self, name: str, window: Window) -> Output | None:
        size = getattr(library(), f"{name}_scratch_bytes", None)
        if size is None:
            return None
        size.restype = ctypes.c_size_t
        return Output((size(window.conv()),), np.uint8)

    def forward_u8(self, window: Window, x: Array, w: Array, b: Array, quant: ConvQuant) -> Array:
        """Return y."""
        name, y = self._name("u8", "forward"), Output(window.y_shape, np.uint8)
        self._call(name, window.conv(), x, w, b, quant, y, self._scratch(name, window))
        return y.array

    def forward_f32(self, window: Window, x: Array, w: Array, b: Array, limits: tuple[float, float]) -> Array:
        """Return y."""
        name, y = self._name("f32", "forward"), Output(window.y_shape, np.float32)
        self._call(name, window.conv(), x, w, b, *limits, y, self._scratch(name, window))
        return y.array

    def weight_gradient(
        self,
        window: Window,
        x: Array,
        e: Array,
        quant: ConvQuant | None = None,
        channels: Sequence[int] | None = None,
    ) -> Array:
        """Return the gradient rows of some channels, default all: uint8 arrays with quant, else float32."""
        dtype, kind = ("f32", np.float32) if quant is None else ("u8", np.int32)
        name = self._name(dtype, "weight_gradient")
        extra = () if quant is None else (quant,)
        scratch = self._scratch(name, window)
        chosen = range(window.out_channels) if channels is None else channels
        if hasattr(library(), f"{name}_prepare"):
            expected = () if quant is None else (len(chosen),)
            self._call(f"{name}_prepare", window.conv(), x, *extra, *expected, scratch)
        rows = []
        for channel in chosen:
            row = Output(window.w_shape[1:], kind)
            self._call(name, window.conv(), x, e, *extra, channel, row, scratch)
            rows.append(row.array)
        return np.stack(rows)

    def input_gradient(
        self,
        window: Window,
        e: Array,
        w: Array,
        mask: Array | None,
        quant: ConvQuant | None = None,
        kept: Array | None = None,
    ) -> tuple[Array, int]:
        """Return (dx, largest sum); dx overwrites a copy of the mask where there is one."""
        dtype = "f32" if quant is None else "u8"
        name = self._name(dtype, "input_gradient")
        dx = Output(window.x_shape, e.dtype.type, like=mask)
        extra = () if quant is None else (quant,)
        shared = None if mask is None else dx
        largest = self._call(name, window.conv(), e, kept, w, *extra, shared, dx, self._scratch(name, window))
        return dx.array, largest


BOARDS = {"_dsp": ("nrf52840", "imxrt1062"), "_fpu": ("nrf52840",), "_v6m": ("rp2040",)}
"""Boards for the kernels of single cores: on this machine, they are plain C where they have assembly."""


def places(op: str, dtype: str) -> dict[str, tuple[str, str | None]]:
    """Return (suffix, board or None) by name: plain kernels, and each suffix that has a file, also on its board."""
    found = [suffix for suffix in ("_host", *BOARDS) if any(OPS.glob(f"{op}_{dtype}*{suffix}.c"))]
    here = {suffix[1:] or "plain": (suffix, None) for suffix in ("", *found)}
    boards = [(suffix, board) for suffix in found for board in BOARDS.get(suffix, ())]
    return here | {f"{suffix[1:]} on {board}": (suffix, board) for suffix, board in boards}


def variants(op: str, dtype: str = "u8") -> pytest.MarkDecorator:
    """Return the cases `kernels` of a test."""
    found = places(op, dtype)
    return pytest.mark.parametrize("kernels", [Weighted(op, *place) for place in found.values()], ids=found.keys())


# --- the arithmetic of requant.h and of the layers, in numpy ---------------------------------------------------------


def centred(values: Array, zero: int) -> Array:
    """Return uint8 numbers less their zero point, exact."""
    return values.astype(np.int64) - zero


def requant(value: Array, factor: Requant) -> Array:
    """Return (value * multiplier + 2^(shift-1)) >> shift in exact integers of any size."""
    multiplier, shift = factor.pair
    exact = (value.astype(object) * multiplier + (1 << (shift - 1))) >> shift
    return np.asarray(exact).astype(np.int64)


def to_error(value: Array, factor: Requant) -> Array:
    """Return the uint8 error of a sum."""
    return np.clip(128 + requant(value, factor), 0, 255).astype(np.uint8)


def padded(window: Window, x: Array, fill: float = 0) -> Array:
    """Return the maps with their padding, and room for the last window."""
    top, left, _, _ = window.pads
    bottom = max(0, (window.out_height - 1) * window.stride_height + window.kernel_height - top - window.in_height)
    right = max(0, (window.out_width - 1) * window.stride_width + window.kernel_width - left - window.in_width)
    return np.pad(x, ((0, 0), (top, bottom), (left, right)), constant_values=fill)


def under_tap(window: Window, maps: Array, u: int, v: int) -> Array:
    """Return the view of padded maps that tap (u, v) of every window sees: (channels, out_height, out_width)."""
    rows = slice(u, u + (window.out_height - 1) * window.stride_height + 1, window.stride_height)
    cols = slice(v, v + (window.out_width - 1) * window.stride_width + 1, window.stride_width)
    return maps[:, rows, cols]


def inside(window: Window, maps: Array) -> Array:
    """Return padded maps without their padding."""
    top, left, _, _ = window.pads
    return maps[:, top : top + window.in_height, left : left + window.in_width]
