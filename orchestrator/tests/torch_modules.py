# SPDX-License-Identifier: Apache-2.0
"""Small torch modules for tests: one for each operator that kilograd reads, and a net with all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

torch = pytest.importorskip("torch", reason="torch is optional: KILOGRAD_PACKAGES=torch")

if TYPE_CHECKING:
    from collections.abc import Callable

nn = torch.nn
functional = torch.nn.functional

CLASSES = 5
IMAGE = (3, 8, 8)


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Call the function."""
        return self.function(x)


class Excite(nn.Module):
    """A gate for each channel, from the mean of all, as in MobileNetV3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.first = nn.Conv2d(channels, 2, 1)
        self.second = nn.Conv2d(2, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the map with weighted channels."""
        return x * self.gate(self.second(torch.relu(self.first(self.squeeze(x)))))


class Net(nn.Module):
    """A residual net as people write them: parts from torch.nn, functions in between; 'norm' adds BatchNorm."""

    def __init__(self, *, norm: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, stride=2, padding=1, bias=not norm)
        self.bn = nn.BatchNorm2d(6) if norm else nn.Identity()
        self.block = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.ReLU(), nn.Conv2d(6, 6, 1))
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout(0.5)
        self.fc1 = nn.Linear(24, 16)
        self.fc2 = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores of a batch (n, 1, 8, 8)."""
        x = torch.relu(self.bn(self.stem(x)))
        x = functional.relu(x + self.block(x))
        x = self.pool(x)
        x = torch.relu(self.fc1(x.view(x.size(0), -1)))
        return self.fc2(self.drop(x))


def seeded(module: nn.Module) -> nn.Module:
    """Return a module with the same random weights and statistics in every run."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if tensor.dtype == torch.float32:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) / 3)
                if name.endswith("running_var"):
                    tensor.abs_().add_(0.5)
    return module


def flat(*layers: nn.Module) -> nn.Module:
    """Return layers in a row that end in features."""
    return nn.Sequential(*layers, nn.Flatten())
