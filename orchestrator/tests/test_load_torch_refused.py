# SPDX-License-Identifier: Apache-2.0
"""What kilograd cannot read of torch is named, with the line of the user's source."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import kilograd
from kilograd.errors import KilogradError
from kilograd.load import load_model
from torch_modules import IMAGE, Function, Net, flat, functional, nn, torch

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = Path(__file__).name


def complaint(action: Callable[[], object]) -> str:
    """Return message and hint of the error that an action gives."""
    with pytest.raises(KilogradError) as caught:
        action()
    return f"{caught.value.message}\n{caught.value.hint}"


class Odd(nn.Module):
    """A module with an operator that no chip of ours has."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the tangent."""
        return torch.tan(x).flatten(1)  # the line that errors name


class Deciding(nn.Module):
    """A module that looks at its values."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return one thing or another."""
        if x.sum() > 0:  # no export follows both ways
            return x.flatten(1)
        return -x.flatten(1)


def line_with(text: str) -> int:
    """Return the number of the line of this file that holds a text first."""
    return 1 + next(number for number, line in enumerate(Path(__file__).read_text().splitlines()) if text in line)


REFUSED: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "dilation": (lambda: flat(nn.Conv2d(3, 4, 3, dilation=2)), ("node 0 (aten.convolution)", "dilations [2, 2]")),
    "transposed convolution with groups": (lambda: flat(nn.ConvTranspose2d(3, 3, 2, groups=3)), ("it has 3 groups",)),
    "limits that are no rectifier": (lambda: flat(nn.Hardtanh()), ("it limits values to -1 .. 1", "ReLU6")),
    "constant factor": (lambda: Function(lambda x: 2 * x.flatten(1)), ("other is constant", "scale the data")),
    "norm before the convolution": (
        lambda: flat(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)),
        ("folded into a convolution or linear layer right before it",),
    ),
    "means and softmax": (lambda: flat(nn.Softmax(1)), ("it stands inside the model",)),
    "mean over channels": (lambda: Function(lambda x: x.mean(1).flatten(1)), ("over the dimensions [1]",)),
    "padding that does not count": (
        lambda: flat(nn.AvgPool2d(3, padding=1, count_include_pad=False)),
        ("count_include_pad=1",),
    ),
    "windows that do not divide": (lambda: flat(nn.AdaptiveAvgPool2d(3)), ("do not divide a map of (8, 8)",)),
    "samples that change places": (lambda: Function(lambda x: x.view(-1)), ("keep the batch first",)),
    "weights that depend on data": (lambda: Function(lambda x: functional.conv2d(x, x)), ("weight is computed",)),
    "no score per class": (lambda: nn.Conv2d(3, 4, 3), ("one score per class",)),
    "random numbers": (lambda: Function(lambda x: (x + torch.rand(x.shape)).flatten(1)), ("it draws random numbers",)),
    "two outputs": (lambda: Function(lambda x: (x.flatten(1), x)), ("has 2 outputs",)),
    "broken weights": (
        lambda: flat(Function(lambda x: x + torch.tensor(float("nan")), conv=nn.Conv2d(3, 4, 3))),
        ("NaN or infinity",),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_loaded_is_named(case: str) -> None:
    """The error names the module, the node, the reason, and what would work."""
    module, expected = REFUSED[case]

    text = complaint(lambda: kilograd.load(module(), torch.zeros(1, *IMAGE)))

    for part in expected:
        assert part in text


def test_an_unknown_operator_is_named_with_its_line() -> None:
    """In a large module only the line helps."""
    text = complaint(lambda: kilograd.load(Odd(), torch.zeros(1, *IMAGE)))

    assert f"Odd: node tan (aten.tan) in {SOURCE}, line {line_with('the line that')}: return torch.tan(x)" in text
    assert "kilograd has no such operator" in text
    assert "aten.convolution" in text


def test_a_module_that_cannot_be_exported_is_named_with_its_line() -> None:
    """Torch's own text is a page long; the line is what the user needs."""
    text = complaint(lambda: kilograd.load(Deciding(), torch.zeros(1, *IMAGE)))

    assert f"Deciding: torch cannot export it in {SOURCE}, line {line_with('if x.sum')}: if x.sum() > 0" in text
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize(
    ("module", "example", "expected"),
    [
        (print, torch.zeros(1, *IMAGE), "is no torch.nn.Module"),
        (nn.Flatten(), [1.0], "the example input of Flatten is a list"),
        (nn.Flatten(), torch.zeros(1, *IMAGE).half(), "is torch.float16"),
        (nn.ReLU(), torch.zeros(3), "has the shape (3)"),
        (nn.Linear(4, 2), torch.zeros(1, 3), "Linear: torch cannot export it"),
    ],
)
def test_an_example_that_does_not_fit_is_named(module: Any, example: Any, expected: str) -> None:  # noqa: ANN401
    """The first thing that a new user gets wrong."""
    assert expected in complaint(lambda: kilograd.load(module, example))


@pytest.mark.parametrize("content", [b"", b"not a program", None])
def test_other_files_are_no_programs(content: bytes | None, tmp_path: Path) -> None:
    """Any bytes give a clear error, and so does a file that is not there."""
    if content is not None:
        (tmp_path / "net.pt2").write_bytes(content)

    text = complaint(lambda: load_model("net.pt2", base=tmp_path, seed=1, classes=10))

    assert "net.pt2: " in text
    assert ("no such file" if content is None else "torch.export.save") in text


@pytest.mark.parametrize(("norm", "expected"), [(True, "was exported in train mode"), (False, "(aten.native_dropout)")])
def test_a_program_in_train_mode_is_refused(norm: bool, expected: str, tmp_path: Path) -> None:
    """Its BatchNorm would follow single samples, and its Dropout drop values."""
    program = torch.export.export(Net(norm=norm).train(), (torch.zeros(2, 1, 8, 8),))
    torch.export.save(program, tmp_path / "net.pt2")

    text = complaint(lambda: load_model("net.pt2", base=tmp_path, seed=1, classes=10))

    assert expected in text
    assert "model.eval()" in text


def test_without_torch_the_way_to_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is optional, so nobody has it by accident."""
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("kilograd.load.") and "torch" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("kilograd.load.torch_module", raising=False)

    text = complaint(lambda: load_model("net.pt2", base=tmp_path, seed=1, classes=10))

    assert "net.pt2 needs torch" in text
    assert "KILOGRAD_PACKAGES=torch" in text
