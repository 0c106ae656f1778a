# SPDX-License-Identifier: Apache-2.0
"""The README is true: its commands exist, its tables are the program's own, its experiment can be loaded."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import pytest

from kilograd import cli, experiment
from kilograd.report import Report, report_json
from test_report import BOARD

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunCli

DOCUMENTS = ("README.md", "CONTRIBUTING.md")
QUICK = ("./kilograd boards", "./kilograd models", "./kilograd datasets")


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def commands(checkout: Path) -> list[list[str]]:
    """Return the arguments of each kilograd command in the documents' shell blocks."""
    lines = [
        line
        for document in DOCUMENTS
        for block in blocks((checkout / document).read_text(encoding="utf-8"), "sh")
        for line in block.splitlines()
    ]
    return [shlex.split(line)[1:] for line in lines if line.startswith("./kilograd")]


def test_every_command_of_the_documents_can_be_parsed(checkout: Path) -> None:
    """A command that is shown must exist, with the options that are shown."""
    found = commands(checkout)

    assert len(found) > len(QUICK)
    for arguments in found:
        group, name = cli.command(), arguments[0]
        with group.make_context("kilograd", arguments, resilient_parsing=False) as context:
            verb = group.get_command(context, name)
            assert verb is not None, arguments
            with verb.make_context(name, arguments[1:], parent=context):
                pass


def test_every_verb_is_in_the_readme(checkout: Path) -> None:
    """What is not documented does not exist."""
    shown = {arguments[0] for arguments in commands(checkout)}
    text = (checkout / "README.md").read_text(encoding="utf-8")

    assert [verb for verb in cli.verbs() if verb not in shown and f"`./kilograd {verb} " not in text] == []


@pytest.mark.parametrize("command", QUICK)
def test_quick_commands_of_the_readme_work(run_cli: RunCli, checkout: Path, command: str) -> None:
    """Those that need no time are run for real."""
    arguments = command.split()[1:]

    assert arguments in commands(checkout)
    assert run_cli(*arguments).returncode == 0


def test_generated_parts_of_the_readme_are_the_programs_own(
    run_cli: RunCli, checkout: Path, update_golden: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Help and keys are printed from the code; --update-golden writes them."""
    monkeypatch.setenv("COLUMNS", "80")
    helps = [
        f"$ ./kilograd {' '.join(arguments)}\n{run_cli(*arguments).stdout}"
        for arguments in (["--help"], ["run", "--help"])
    ]
    parts = {"keys": experiment.reference_table(), "help": "".join(["```text\n", "\n".join(helps), "```\n"])}
    readme = checkout / "README.md"
    text = readme.read_text(encoding="utf-8")

    expected = text
    for name, content in parts.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
        expected = re.sub(pattern, lambda m, c=content: f"{m[1]}{c}{m[2]}", expected, flags=re.DOTALL)
    if update_golden:
        readme.write_text(expected, encoding="utf-8")
        text = expected

    assert expected == text


def test_the_experiment_of_the_readme_can_be_loaded(checkout: Path, tmp_path: Path) -> None:
    """It is the first that a user copies."""
    (block,) = blocks((checkout / "README.md").read_text(encoding="utf-8"), "toml")
    path = tmp_path / "my_experiment.toml"
    path.write_text(block, encoding="utf-8")
    (tmp_path / "my_model.onnx").touch()

    loaded = experiment.load_experiment(path)

    assert (loaded.name, loaded.train.layers) == ("my_experiment", 2)


def test_every_experiment_that_kilograd_brings_is_in_the_readme(checkout: Path) -> None:
    """A name that nobody knows helps nobody."""
    text = (checkout / "README.md").read_text(encoding="utf-8")

    assert [name for name in experiment.experiments() if f"`{name}`" not in text] == []


def shape(value: object) -> object:
    """Return a JSON value with its keys but without its figures."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    return [shape(inner) for inner in value] if isinstance(value, list) else type(value)


def test_the_json_of_the_readme_has_the_shape_of_a_report(checkout: Path) -> None:
    """Scripts are written from it."""
    (block,) = blocks((checkout / "README.md").read_text(encoding="utf-8"), "json")

    assert shape(json.loads(report_json(Report((BOARD,))))) == shape(json.loads(block))


def test_the_readme_lists_every_setting_of_the_environment(checkout: Path) -> None:
    """A variable that is read but not documented is a trap."""
    read = re.compile(r"environ(?:\.get\(|\[)\"(KILOGRAD_\w+)\"|\$\{(KILOGRAD_\w+)")
    sources = [checkout / "kilograd", *(checkout / "orchestrator" / "kilograd").rglob("*.py")]
    used = {one or other for path in sources for one, other in read.findall(path.read_text(encoding="utf-8"))}
    rows = re.findall(r"^\| `(KILOGRAD_\w+)` \|", (checkout / "README.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(used) == sorted(rows)


def test_links_of_the_documents_lead_to_files(checkout: Path) -> None:
    """A dead link costs a reader's trust."""
    links = [
        link
        for document in (*DOCUMENTS, "CHANGELOG.md", "DESIGN.md")
        for link in re.findall(r"\]\(([^)#]+)\)", (checkout / document).read_text(encoding="utf-8"))
        if "://" not in link
    ]

    assert [link for link in links if not (checkout / link).exists()] == []
