# SPDX-License-Identifier: Apache-2.0
"""What a torch.export program holds, checked: constants, input, output, the nodes that matter, and their source."""

from __future__ import annotations

import operator
import re
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kilograd import paths
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch.export import ExportedProgram
    from torch.fx import Node

    from kilograd.types import Shape

TORCH = Path(torch.__file__).parent
KEPT = ("hardswish", "hardsigmoid", "hardtanh", "relu6", "upsample_nearest1d", "upsample_nearest2d")
"""Operators that torch would take apart into several, where one is meant."""
EVAL_HINT = "call model.eval() before torch.export.export"
FRAME = re.compile(r'File "([^"]+)", line (\d+)[^\n]*(?:\n\s*(\S[^\n]*))?')


def normalise(program: ExportedProgram) -> ExportedProgram:
    """Return the program in torch's core operators, with those whole that have a name of their own."""
    table = torch.export.default_decompositions()
    for packet in (getattr(torch.ops.aten, name) for name in KEPT):
        for overload in packet.overloads():
            table.pop(getattr(packet, overload), None)
    core = program.run_decompositions(table)
    if core.graph_signature.buffers_to_mutate:
        changed = ", ".join(core.graph_signature.buffers_to_mutate.values())
        message = f"was exported in train mode: it changes {changed}"
        raise KilogradError(message, EVAL_HINT)
    return core


def single_input(program: ExportedProgram) -> Node:
    """Return the node of the input: a float32 batch of samples of known size."""
    names = program.graph_signature.user_inputs
    if len(names) != 1:
        message = f"has {len(names)} inputs: {', '.join(map(str, names))}"
        raise KilogradError(message, "kilograd trains models with one input")
    source = next(node for node in program.graph.nodes if node.name == names[0])
    value = source.meta["val"]
    if not isinstance(value, torch.Tensor) or value.dtype != torch.float32:
        kind = value.dtype if isinstance(value, torch.Tensor) else type(value).__name__
        message = f"the input {source.name} is {kind}"
        raise KilogradError(message, "kilograd reads float32 models (module.float()), and quantises them itself")
    if value.ndim < 2 or any(not isinstance(size, int) for size in value.shape[1:]):  # noqa: PLR2004
        message = f"the input {source.name} has the shape ({', '.join(map(str, value.shape))})"
        raise KilogradError(message, "give a batch of samples, (n, ...); only the batch may be dynamic")
    return source


def single_output(program: ExportedProgram) -> Node:
    """Return the node of the output."""
    (values,) = next(node for node in program.graph.nodes if node.op == "output").args
    if len(values) != 1 or not isinstance(values[0], torch.fx.Node):
        message = f"has {len(values)} outputs: {', '.join(map(str, values))}"
        raise KilogradError(message, "kilograd trains models with one output: a score for each class")
    return values[0]


def constants(program: ExportedProgram) -> dict[str, torch.Tensor]:
    """Return every value that does not depend on the input, by node: weights, and what is computed from them."""
    stored = {**program.constants, **program.state_dict}
    known = {
        spec.arg.name: stored[spec.target].detach().cpu()
        for spec in program.graph_signature.input_specs
        if spec.target is not None and spec.target in stored
    }
    for node in program.graph.nodes:
        if node.op == "call_function" and not _is_random(node) and all(n.name in known for n in node.all_input_nodes):
            with torch.no_grad():
                known[node.name] = node.target(*map_nodes(node.args, known), **map_nodes(node.kwargs, known))
    return known


def needed_nodes(output: Node, known: Mapping[str, Any]) -> list[Node]:
    """Return the computed nodes that the output depends on, in order."""
    wanted, needed = {output.name}, []
    for node in reversed(output.graph.nodes):
        if node.op == "call_function" and node.name in wanted and node.name not in known:
            needed.append(node)
            wanted.update(source.name for source in data_inputs(node, known))
    return needed[::-1]


def data_inputs(node: Node, known: Mapping[str, torch.Tensor]) -> list[Node]:
    """Return the nodes that a node reads computed tensors from; numbers are not among them (a dynamic batch)."""
    numbers = (int, torch.SymInt)
    inputs = node.all_input_nodes
    return [read for read in inputs if read.name not in known and not isinstance(read.meta.get("val"), numbers)]


def map_nodes(value: Any, known: Mapping[str, Any]) -> Any:  # noqa: ANN401 - nested arguments
    """Return arguments with `known` values in place of nodes."""
    return torch.fx.node.map_arg(value, lambda node: known[node.name])


def array(name: str, value: torch.Tensor) -> NDArray[np.float32]:
    """Return a constant as an array of finite numbers."""
    numbers: NDArray[np.float32] = np.asarray(value.to(torch.float32).numpy(), np.float32)
    if not np.isfinite(numbers).all():
        message = f"tensor {name} of shape {numbers.shape} holds NaN or infinity"
        raise KilogradError(message, "the training that made this model has failed: export an earlier state")
    return numbers


def arguments(node: Node) -> dict[str, Any]:
    """Return the arguments by the names of the operator's schema, defaults included."""
    if node.target is operator.getitem:
        return dict(zip(("input", "index"), node.args, strict=True))
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return {}
    given = dict(zip((argument.name for argument in schema.arguments), node.args, strict=False)) | node.kwargs
    defaults = {argument.name: argument.default_value for argument in schema.arguments if argument.has_default_value()}
    return {**defaults, **given}


def sample_shape(node: Node, batch: object) -> Shape | None:
    """Return the shape of a node's value without the batch, or None where the batch does not come first."""
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor) or str(value.shape[:1]) != str(torch.Size([batch])):
        return None
    return tuple(int(size) for size in value.shape[1:])


def operator_name(node: Node) -> str:
    """Return the name of the operator, without its overload: aten.add."""
    if node.target is operator.getitem:
        return "getitem"
    return str(getattr(node.target, "overloadpacket", node.target))


def layer_name(node: Node, parameters: Mapping[str, str]) -> str:
    """Return what a node is called: as the owner of its weights, else as its torch.nn module, else as its operator."""
    for source in _with_ancestors(node.all_input_nodes):
        if source.name in parameters:
            return parameters[source.name].rpartition(".")[0] or parameters[source.name]
    path, kind = (list((node.meta.get("nn_module_stack") or {}).values()) or [("", "")])[-1]
    return str(path) if path and "torch.nn.modules." in str(kind) else operator_name(node).removeprefix("aten.")


def source_line(text: str | None) -> str:
    """Return the last place outside of torch in a stack trace: file, line, code."""
    frames = [match.groups() for match in FRAME.finditer(text or "")]
    own = [frame for frame in frames if not _is_foreign(frame[0])]
    if not own:
        return ""
    file, line, code = own[-1]
    return f"{Path(file).name}, line {line}" + (f": {code.strip()}" if code else "")


def error_line(error: BaseException) -> str:
    """Return the place in the user's own code where an export failed: where it was raised, or what the text names."""
    lines = traceback.format_list(traceback.extract_tb(error.__traceback__))
    return source_line("".join(lines)) or source_line(str(error))


def _is_foreign(file: str) -> bool:
    return Path(file).is_relative_to(TORCH) or Path(file).is_relative_to(paths.PACKAGE) or file.startswith("<")


def _is_random(node: Node) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def _with_ancestors(nodes: Sequence[Node]) -> Iterator[Node]:
    """Yield nodes, and those that rearranged them: a linear layer's weight is transposed first."""
    for node in nodes:
        yield node
        if node.op == "call_function" and len(node.all_input_nodes) == 1 and "permute" in operator_name(node):
            yield from node.all_input_nodes
