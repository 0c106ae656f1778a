# SPDX-License-Identifier: Apache-2.0
"""The command line: made of the verbs that it finds in `commands`."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kilograd import __version__, commands

if TYPE_CHECKING:
    from types import ModuleType

DEBUG = "--debug"
FIRST = ("demo", "run", "plan")
"""Verbs that a newcomer wants to see first; the others follow by name."""


def _fill(group: typer.Typer, package: ModuleType) -> typer.Typer:
    """Add every file of a folder as a verb, and every folder in it as a group of verbs."""
    found = [entry for entry in pkgutil.iter_modules(package.__path__) if not entry.name.startswith("_")]
    for entry in sorted(found, key=lambda entry: (_rank(entry.name), entry.name)):
        module = importlib.import_module(f"{package.__name__}.{entry.name}")
        name = entry.name.replace("_", "-")
        if entry.ispkg:
            group.add_typer(_fill(typer.Typer(help=module.__doc__), module), name=name)
        else:
            group.command(name, context_settings=getattr(module, "SETTINGS", None))(getattr(module, entry.name))
    return group


def _rank(name: str) -> int:
    return FIRST.index(name) if name in FIRST else len(FIRST)


def command() -> Any:  # noqa: ANN401 - typer does not export the type
    """Return the whole command line as one callable command."""
    return typer.main.get_command(app)


def verbs() -> tuple[str, ...]:
    """Return the names of all verbs."""
    return tuple(command().commands)


def usage_hint(error: typer.TyperException) -> str:
    """Return the way out of a wrong command line."""
    context = getattr(error, "ctx", None)
    if context is None or context.parent is None:
        return f"verbs: {', '.join(verbs())}"
    return f"{context.command_path} --help shows its options"


app = typer.Typer(
    help="Train neural networks on Cortex-M microcontrollers, and prove it without a board.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kilograd {__version__}")
        raise typer.Exit


@app.callback()
def _everywhere(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option(DEBUG, help="Show a traceback with an error; may stand anywhere.")] = False,
) -> None:
    """Options of the whole command line; both are acted on elsewhere."""


_fill(app, commands)
