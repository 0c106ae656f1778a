# SPDX-License-Identifier: Apache-2.0
"""Which kernel runs on which core, and the scratch memory that it asks for (by calling its own C function)."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilograd.types import Function

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VARIANTS = {
    "host": ("_host",),
    "cortex-m0plus": ("_v6m",),
    "cortex-m4": ("_dsp", "_fpu"),
    "cortex-m7": ("_dsp", "_fpu"),
}
"""Suffixes of fast variants by core, the best first; every variant returns the bits of the plain kernel."""

DIMS_FIELDS = (
    "in_channels", "in_height", "in_width", "out_channels", "out_height", "out_width",
    "kernel_height", "kernel_width", "stride_height", "stride_width", "pad_top", "pad_left", "groups",
)  # fmt: skip


class ConvDims(ctypes.Structure):
    """kg_conv_dims_t."""

    _fields_ = [(name, ctypes.c_int32) for name in DIMS_FIELDS]


@dataclass(frozen=True)
class Kernels:
    """The kernels for one core, looked up in the library that holds all of them."""

    core: str
    library: ctypes.CDLL
    small: bool = False
    """Whether a fast variant must do with the scratch memory of the plain kernel."""

    def choose(self, kernel: str, dims: Mapping[str, int] | None = None) -> Function:
        """Return the fastest variant of a kernel for this core; `dims`: of the layer, if it has scratch memory."""
        plain = Function(kernel)
        for suffix in VARIANTS[self.core]:
            if hasattr(self.library, kernel + suffix):
                fast = Function(kernel + suffix)
                return plain if self.small and self._needs_more(fast, plain, dims) else fast
        return plain

    def _needs_more(self, fast: Function, plain: Function, dims: Mapping[str, int] | None) -> bool:
        return dims is not None and self.scratch_bytes(fast, dims) > self.scratch_bytes(plain, dims)

    def preparation(self, kernel: Function) -> Function | None:
        """Return the function that a kernel wants called once before its rows, if there is one."""
        name = f"{kernel.name}_prepare"
        return Function(name) if hasattr(self.library, name) else None

    def scratch_bytes(self, kernel: Function, dims: Mapping[str, int]) -> int:
        """Return what `<kernel>_scratch_bytes` says, 0 where there is no such function."""
        size = getattr(self.library, f"{kernel.name}_scratch_bytes", None)
        if size is None:
            return 0
        size.restype = ctypes.c_size_t
        return int(size(ctypes.byref(ConvDims(**dims))))


def load_kernels(core: str, library: Path, *, small: bool = False) -> Kernels:
    """Return the kernels for a core from the shared library of all kernels."""
    return Kernels(core, ctypes.CDLL(str(library)), small)
