# SPDX-License-Identifier: Apache-2.0
"""Models in: a built-in one by its name, or a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilograd.errors import KilogradError
from kilograd.zoo import build_model, models, models_for

if TYPE_CHECKING:
    from pathlib import Path

    from kilograd.types import Graph, Shape


def load_model(reference: str, *, base: Path, seed: int, classes: int, input_shape: Shape | None = None) -> Graph:
    """
    Return the model that an experiment names.

    Args:
        reference: a built-in model, or the path of an .onnx file.
        base: the folder that a relative path starts from.
        seed: for the initial weights of a built-in model.
        classes: how many scores the model must give.
        input_shape: the samples that a built-in model is made for; default: its own choice.

    """
    if reference.endswith(".onnx"):
        from kilograd.load.onnx_file import load_onnx  # noqa: PLC0415 - onnx takes long to import

        graph = load_onnx(base / reference)
    elif reference in models():
        graph = _built_in(reference, seed, classes, input_shape)
    else:
        message = f"unknown model: {reference}"
        raise KilogradError(message, f"built-in models: {', '.join(models())}; or give the path of an .onnx file")
    if graph.shapes[graph.output] != (classes,):
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
    return "no built-in model takes such samples: give the path of an .onnx file"
