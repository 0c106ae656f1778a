# SPDX-License-Identifier: Apache-2.0
"""PyTorch modules and .pt2 files as graphs: exported by torch, checked, and translated node by node."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch

from kilograd.errors import KilogradError
from kilograd.load import _torch_program
from kilograd.load._build import Build, identifier
from kilograd.load._nodes import map_shape, refuse
from kilograd.load._torch_nodes import TorchNode, translate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch.export import ExportedProgram
    from torch.fx import Node

    from kilograd.load._nodes import Tensor
    from kilograd.types import Graph

EXPORT_AGAIN = "write it with torch.export.save(torch.export.export(model.eval(), (example,)), path)"


def load_module(module: torch.nn.Module, example_input: torch.Tensor) -> Graph:
    """
    Return a module as a graph: in eval mode, BatchNorm folded, ReLU fused, a final softmax left out.

    Args:
        module: a torch.nn.Module; it stays as it is.
        example_input: a float32 batch of samples (n, ...); only its shape counts.

    """
    name = type(module).__name__
    if not isinstance(module, torch.nn.Module):
        message = f"{name} is no torch.nn.Module"
        raise KilogradError(message, "kilograd.load(module, example_input)")
    if not isinstance(example_input, torch.Tensor):
        message = f"the example input of {name} is a {type(example_input).__name__}"
        raise KilogradError(message, "give one torch.Tensor: a batch of samples (n, ...)")
    with _quiet(), _in_eval_mode(module):
        try:
            program = torch.export.export(module, (example_input.detach(),))
        except Exception as error:
            raise _unexportable(name, error) from error
        return _named(name, program, name)


def load_program(path: Path) -> Graph:
    """Read a model from a .pt2 file, which torch.export.save has written."""
    if not path.is_file():
        message = f"{path}: no such file"
        raise KilogradError(message)
    with _quiet():
        try:
            program = torch.export.load(path)
        except Exception as error:
            message = f"{path}: not a program of torch.export: {_first_line(error)}"
            raise KilogradError(message, EXPORT_AGAIN) from error
        return _named(path.stem, program, str(path))


def _named(name: str, program: ExportedProgram, place: str) -> Graph:
    try:
        return _translate(_torch_program.normalise(program), name)
    except KilogradError as error:
        message = f"{place}: {error.message}"
        raise KilogradError(message, error.hint) from error


def _translate(program: ExportedProgram, name: str) -> Graph:
    source, output = _torch_program.single_input(program), _torch_program.single_output(program)
    known = _torch_program.constants(program)
    nodes = _torch_program.needed_nodes(output, known)
    batch = source.meta["val"].shape[0]
    reads = Counter([output.name, *(read.name for node in nodes for read in _torch_program.data_inputs(node, known))])
    build = Build(reads)
    build.begin(source.name, map_shape(tuple(source.meta["val"].shape[1:])))
    parameters = program.graph_signature.inputs_to_parameters
    for node in nodes:
        computed = _torch_program.data_inputs(node, known)
        label = _torch_program.layer_name(node, parameters)
        view = TorchNode(
            name=identifier(label, "layer", build.taken),
            label=label,
            op=_torch_program.operator_name(node),
            where=_torch_program.source_line(node.meta.get("stack_trace")),
            arguments=_arguments(node, computed, build, known),
            shape=_torch_program.sample_shape(node, batch),
            is_last=node is output,
        )
        if not computed:
            raise refuse(view, "it draws random numbers", _torch_program.EVAL_HINT)
        build.add(node.name, computed[0].name, translate(view))
    return build.graph(name, source.name, output.name, "end the model with a Linear, or with a mean over the map")


def _arguments(node: Node, computed: list[Node], build: Build, known: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Return what a translator reads: tensors as such, constants as arrays, and the rank of the data with its batch."""
    values: dict[str, Tensor | NDArray[np.float32]] = {read.name: build.tensor(read.name) for read in computed}
    for read in node.all_input_nodes:
        if isinstance(known.get(read.name), torch.Tensor):
            values[read.name] = _torch_program.array(read.name, known[read.name])
    given = {
        key: values.get(entry.name, entry) if isinstance(entry, torch.fx.Node) else entry
        for key, entry in _torch_program.arguments(node).items()
    }
    ranks = [read.meta["val"].ndim for read in computed if isinstance(read.meta["val"], torch.Tensor)]
    return given | {"rank": max(ranks, default=0)}


@contextlib.contextmanager
def _in_eval_mode(module: torch.nn.Module) -> Iterator[None]:
    """Switch every part of a module to eval mode, and back."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's own warnings about its inner workings away from the user."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _unexportable(name: str, error: Exception) -> KilogradError:
    line = _torch_program.error_line(error)
    where = f" in {line}" if line else ""
    message = f"{name}: torch cannot export it{where}: {_first_line(error)}"
    hint = "torch.export follows one path through the module: no decisions on values, no unknown Python in forward"
    return KilogradError(message, hint)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
