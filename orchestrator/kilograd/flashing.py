# SPDX-License-Identifier: Apache-2.0
"""Makes the images of a firmware, and hands them to the board's own programmer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kilograd import flow, tools
from kilograd.errors import KilogradError
from kilograd.images import make_image

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kilograd.console import Progress
    from kilograd.experiment import Experiment
    from kilograd.platforms.board import Board


@dataclass(frozen=True)
class Flashed:
    """The images of one board's firmware, by format, and whether they are on the board."""

    board: Board
    images: Mapping[str, Path]
    programmed: bool

    def as_json(self) -> dict[str, Any]:
        """Return what the command line prints for machines."""
        images = {form: str(path) for form, path in self.images.items()}
        return {"board": self.board.name, "programmed": self.programmed, "images": images}

    def as_text(self) -> str:
        """Return what the command line prints for people."""
        done = "flashed" if self.programmed else "not flashed"
        lines = [f"{self.board.name}: {done}", *(f"  {path}" for path in self.images.values())]
        return "\n".join([*lines, f"  {self.board.wiring.strip()}"] if self.board.wiring else lines)


def flash_experiment(experiment: Experiment, *, out: Path, program: bool, progress: Progress) -> list[Flashed]:
    """
    Build an experiment's firmware for each of its boards, make all images, and program the boards.

    Args:
        experiment: what to build.
        out: folder for everything that is made; images lie in its sub-folder <board>/images.
        program: whether to run the board's programmer.
        progress: is told what goes on.

    """
    done = []
    for board, elf in flow.build_boards(experiment, out=out, progress=progress):
        folder = out / board.name / "images"
        images = {form: make_image(elf, board, form, folder / f"{experiment.name}.{form}") for form in board.images}
        if program:
            with progress.task(f"flashing {board.name}"):
                _program(board, {**images, "elf": elf})
        done.append(Flashed(board, images, program))
    return done


def _program(board: Board, files: Mapping[str, Path]) -> None:
    """Run the board's programmer."""
    if not board.programmer:
        message = f"no programmer is known for {board.name}"
        raise KilogradError(message, "add programming.command to its board.toml, or use --images-only")
    command = [part.format_map(files) for part in board.programmer]
    program = tools.find(command[0], f"{board.wiring.strip()} Or make the images alone: --images-only")
    tools.run([program, *command[1:]], what=f"flashing {board.name}")
