# SPDX-License-Identifier: Apache-2.0
"""
Models in: a built-in one by its name, or a file.

The package itself can be called: `kilograd.load(module, example_input)` reads a torch module.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kilograd.errors import KilogradError
from kilograd.zoo import build_model, models, models_for

if TYPE_CHECKING:
    from pathlib import Path

    from kilograd.types import Graph, Shape

FILES = (".onnx", ".pt2")
TORCH_HINT = "pip install torch, or start with KILOGRAD_PACKAGES=torch; the build for CPUs is enough"


def is_file(reference: str) -> bool:
    """Tell whether a reference is the path of a model, by its ending."""
    return reference.endswith(FILES)


def load_model(reference: str, *, base: Path, seed: int, classes: int, input_shape: Shape | None = None) -> Graph:
    """
    Return the model that an experiment names.

    Args:
        reference: a built-in model, or the path of an .onnx or .pt2 file.
        base: the folder that a relative path starts from.
        seed: for the initial weights of a built-in model.
        classes: how many scores the model must give.
        input_shape: the samples that a built-in model is made for; default: its own choice.

    """
    if reference.endswith(".onnx"):
        from kilograd.load.onnx_file import load_onnx  # noqa: PLC0415 - onnx takes long to import

        graph = load_onnx(base / reference)
    elif is_file(reference):
        graph = _torch(reference).load_program(base / reference)
    elif reference in models():
        graph = _built_in(reference, seed, classes, input_shape)
    else:
        message = f"unknown model: {reference}"
        hint = f"built-in models: {', '.join(models())}; or give the path of an .onnx or .pt2 file"
        raise KilogradError(message, hint)
    if graph.loss == "cross_entropy" and graph.shapes[graph.output] != (classes,):
        message = f"{reference} gives an output of shape {graph.shapes[graph.output]}, the data has {classes} classes"
        raise KilogradError(message, "the last layer must give one score per class")
    return graph


def _built_in(name: str, seed: int, classes: int, input_shape: Shape | None) -> Graph:
    try:
        return build_model(name, seed=seed, classes=classes, input_shape=input_shape)
    except KilogradError as error:
        others = models_for(input_shape) if input_shape is not None else ()
        raise KilogradError(error.message, _others(input_shape, others)) from error


def _others(input_shape: Shape | None, names: tuple[str, ...]) -> str:
    if names:
        return f"built-in models for samples of {input_shape}: {', '.join(names)}"
    return "no built-in model takes such samples: give the path of an .onnx or .pt2 file"


def _torch(what: str) -> Any:  # noqa: ANN401 - a module
    """Return the reader of what torch makes, if torch is there: it is large, and nothing else needs it."""
    try:
        from kilograd.load import torch_module  # noqa: PLC0415 - torch is optional, and takes seconds to import
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        message = f"{what} needs torch, which is not installed"
        raise KilogradError(message, TORCH_HINT) from error
    return torch_module


class _Callable(ModuleType):
    """A package that is a function, too: `kilograd.load` is its name as well as the name of this folder."""

    def __call__(self, module: Any, example_input: Any) -> Graph:  # noqa: ANN401 - torch is optional
        """
        Return a torch module as a graph: in eval mode, BatchNorm folded, a final softmax left out.

        Args:
            module: a torch.nn.Module.
            example_input: a float32 batch of samples (n, ...); only its shape counts.

        """
        graph: Graph = _torch(type(module).__name__).load_module(module, example_input)
        return graph


sys.modules[__name__].__class__ = _Callable
