# SPDX-License-Identifier: Apache-2.0
"""The launcher and the set-up behind it: once, again after changes, and whatever interrupts them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kilograd import bootstrap, toolchain
from kilograd.errors import KilogradError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Stands for Python: as bootstrap it makes an environment whose python tells what it was started with.
FAKE_PYTHON = r"""#!/bin/sh
case "$*" in
*version_info*) exit "${FAKE_OLD:-0}" ;;
*kilograd.bootstrap*)
    echo "$5:$6:$7" >>"$LOG"
    [ -z "${FAKE_FAILS:-}" ] || exit 2
    mkdir -p "$4/bin"
    { echo '#!/bin/sh'; echo 'for word in "$@"; do echo "<$word>"; done; exit 7'; } >"$4/bin/python"
    chmod +x "$4/bin/python"
    printf '%s\n%s\n%s\n%s' "$5" "$6" "$(readlink -f "$4/bin/python")" "$7" >"$4/kilograd.stamp"
    ;;
esac
"""


@dataclass
class Place:
    """A checkout with the real launcher, and a PATH with the fake Python."""

    root: Path
    programs: Path
    log: Path
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str, program: Path | str = "./kilograd", cwd: Path | None = None) -> tuple[int, str]:
        """Run the launcher and return its exit code and what it printed."""
        path = f"{self.programs}:/usr/bin:/bin"
        done = subprocess.run(
            [str(program), *arguments],
            cwd=cwd or self.root,
            env={"PATH": path, "LOG": str(self.log), **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def set_ups(self) -> list[list[str]]:
        """Return the three fingerprints of each set-up so far."""
        return [line.split(":") for line in self.log.read_text().splitlines()] if self.log.exists() else []


@pytest.fixture
def place(tmp_path: Path, checkout: Path) -> Place:
    """Make a small checkout in a path with blanks."""
    root, programs = tmp_path / "my  checkout", tmp_path / "programs"
    for name in ("kilograd", "pyproject.toml", "CMakeLists.txt", "orchestrator/kilograd/bootstrap.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(checkout / name, root / name)
    for name in ("cmake/flags.cmake", "emulation/chip/a file.c", "emulation/timing/core.c"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    programs.mkdir()
    (programs / "python3").write_text(FAKE_PYTHON)
    (programs / "python3").chmod(0o755)
    return Place(root, programs, tmp_path / "log")


def test_the_first_start_sets_up_and_then_runs_the_command_line(place: Place) -> None:
    """Arguments arrive as they were typed, and the exit code comes back."""
    code, output = place.start("run", "my file.toml", "", "*")

    assert (code, len(place.set_ups())) == (7, 1)
    assert output == "<-P>\n<-m>\n<kilograd>\n<run>\n<my file.toml>\n<>\n<*>\n"


def test_later_starts_set_nothing_up(place: Place) -> None:
    """They must be quick."""
    place.start()
    place.start()

    assert len(place.set_ups()) == 1


@pytest.mark.parametrize(
    ("name", "packages", "native"),
    [
        ("pyproject.toml", True, False),
        ("orchestrator/kilograd/bootstrap.py", True, False),
        ("CMakeLists.txt", False, True),
        ("cmake/flags.cmake", False, True),
        ("emulation/chip/a file.c", False, True),
        ("emulation/chip/new.c", False, True),
        ("emulation/timing/core.c", False, True),
    ],
)
def test_a_change_sets_up_again_what_depends_on_it(place: Place, name: str, packages: bool, native: bool) -> None:
    """A developer edits C code many times a day, but requirements rarely."""
    place.start()
    with (place.root / name).open("a") as file:
        file.write("# changed\n")
    place.start()

    before, after = place.set_ups()
    assert [one != other for one, other in zip(before, after, strict=True)] == [packages, native, False]


def test_a_moved_checkout_is_set_up_again(place: Place) -> None:
    """Environments hold absolute paths."""
    place.start()
    place.root = place.root.rename(place.root.with_name("elsewhere"))
    place.start()

    before, after = place.set_ups()
    assert before[0] != after[0]


def test_another_python_behind_the_environment_is_set_up_again(place: Place) -> None:
    """A system upgrade exchanges the Python that an environment points to."""
    place.start()
    python = place.root / ".venv" / "bin" / "python"
    python.rename(python.with_name("python3.99"))
    python.symlink_to("python3.99")
    place.start()

    assert len(place.set_ups()) == 2


def test_it_starts_through_links_and_from_other_folders(place: Place, tmp_path: Path) -> None:
    """Many put a link into their bin folder."""
    first, second = tmp_path / "first", tmp_path / "programs" / "kilo"
    first.symlink_to(place.root / "kilograd")
    second.symlink_to("../first")

    assert place.start("boards", program=second, cwd=tmp_path)[0] == 7
    assert place.start("boards", program="kilo", cwd=Path("/"))[0] == 7
    assert len(place.set_ups()) == 1


@pytest.mark.parametrize("relative", [False, True])
def test_the_environment_can_be_elsewhere(place: Place, tmp_path: Path, relative: bool) -> None:
    """For read-only checkouts."""
    place.environment["KILOGRAD_VENV"] = "../else where" if relative else str(tmp_path / "else where")

    assert place.start()[0] == 7
    assert (tmp_path / "else where" / "bin" / "python").exists()
    assert not (place.root / ".venv").exists()


def test_without_a_new_enough_python_it_says_so(place: Place) -> None:
    """The message is all that such a user sees of kilograd."""
    place.environment = {"FAKE_OLD": "1", "PATH": str(place.programs)}
    for program in ("readlink", "cat", "head", "cksum", "find", "sort", "sh"):
        (place.programs / program).symlink_to(str(shutil.which(program)))

    code, output = place.start()

    assert (code, place.set_ups()) == (2, [])
    assert output.startswith("error: kilograd needs Python 3.11 or newer\nhint: ")


def test_wanted_packages_are_set_up_once_and_after_a_change(place: Place) -> None:
    """Another shell without the variable must neither wait for a set-up nor lose what the first has installed."""
    for wanted in ("torch", "torch", "", "torch  torchvision>=0.2", None):
        place.environment.pop("KILOGRAD_PACKAGES", None)
        if wanted is not None:
            place.environment["KILOGRAD_PACKAGES"] = wanted
        assert place.start()[0] == 7

    first, second = place.set_ups()
    assert [one != other for one, other in zip(first, second, strict=True)] == [False, False, True]


def test_a_failed_set_up_ends_the_start(place: Place) -> None:
    """The command line must not run with half an environment."""
    place.environment["FAKE_FAILS"] = "1"
    assert place.start() == (2, "")

    del place.environment["FAKE_FAILS"]
    assert place.start()[0] == 7


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Put notes in place of everything that takes time or the network."""
    notes: list[str] = []

    def make_environment(venv: Path) -> None:
        notes.append("environment")
        (venv / "bin").mkdir(exist_ok=True)

    def pip(*_: object, compiler: str = "") -> None:
        notes.append(f"native with {compiler}" if compiler else "packages")

    monkeypatch.setattr(bootstrap, "make_environment", make_environment)
    monkeypatch.setattr(bootstrap, "pip", pip)
    monkeypatch.setattr(bootstrap, "host_compiler", lambda _: "cc")
    monkeypatch.setattr(bootstrap, "arm_compiler", lambda: notes.append("arm"))
    return notes


PIP = bootstrap.pip
ALL = ["environment", "packages", "native with cc", "arm"]


def test_the_set_up_does_only_what_is_needed(tmp_path: Path, done: list[str]) -> None:
    """All of it once, the native part after a change of C code, nothing in vain."""
    steps = []
    for arguments in (("p1", "n1"), ("p1", "n1"), ("p1", "n2"), ("p2", "n2")):
        done.clear()
        assert bootstrap.main([str(tmp_path / "venv"), *arguments, ""]) == 0
        steps.append(list(done))

    assert steps == [ALL, [], ALL[2:], ALL]


def test_wanted_packages_come_last_and_alone(tmp_path: Path, done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Another wish installs nothing but what is wished; a new environment begins without it."""
    monkeypatch.setattr(bootstrap, "install_wanted", lambda _, wanted: done.append(f"wanted {wanted}"))
    monkeypatch.setenv("KILOGRAD_PACKAGES", " torch\n  numpy<3 ")
    steps = []
    for packages, more in (("p1", ""), ("p1", "m1"), ("p1", "m1"), ("p1", "m2"), ("p1", ""), ("p2", ""), ("p2", "m2")):
        done.clear()
        assert bootstrap.main([str(tmp_path / "venv"), packages, "n", more]) == 0
        steps.append(list(done))

    wanted = ["wanted ['torch', 'numpy<3']"]
    assert steps == [ALL, wanted, [], wanted, [], ALL, wanted]


def test_a_wanted_package_that_does_not_exist_is_one_clear_error(
    tmp_path: Path, done: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the variable kilograd still works, and nothing is set up again for that."""
    venv = tmp_path / "venv"
    bootstrap.main([str(venv), "p", "n", ""])
    done.clear()
    real_pip(venv, monkeypatch)
    monkeypatch.setenv("KILOGRAD_PACKAGES", "torhc==2.13.0")
    capsys.readouterr()

    code = bootstrap.main([str(venv), "p", "n", "m"])

    *_, error, hint = capsys.readouterr().err.splitlines()
    assert (code, done) == (2, [])
    assert error == (
        "error: KILOGRAD_PACKAGES: torhc==2.13.0 cannot be installed: No matching distribution found for torhc==2.13.0"
    )
    assert hint.startswith("hint: correct or unset KILOGRAD_PACKAGES")
    assert bootstrap.main([str(venv), "p", "n", ""]) == 0
    assert done == []


def real_pip(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install with the pip of this environment, which finds nothing anywhere."""
    monkeypatch.setattr(bootstrap, "pip", PIP)
    for name, value in (("NO_INDEX", "1"), ("CONFIG_FILE", os.devnull), ("FIND_LINKS", "")):
        monkeypatch.setenv(f"PIP_{name}", value)
    (venv / "bin" / "python").symlink_to(sys.executable)
    python = os.path.realpath(venv / "bin" / "python")
    (venv / bootstrap.STAMP).write_text(f"p\nn\n{python}\n")


@pytest.mark.parametrize(("broken", "again"), [("packages", ALL), ("native with cc", ALL[2:]), ("arm", ALL[2:])])
def test_an_interrupted_set_up_is_taken_up_again(
    tmp_path: Path, done: list[str], monkeypatch: pytest.MonkeyPatch, broken: str, again: list[str]
) -> None:
    """Ctrl-C may come at any moment; what was half done is done again."""

    class Interrupting(list[str]):
        def append(self, note: str) -> None:
            if note == broken:
                raise KeyboardInterrupt
            super().append(note)

    def run(notes: list[str]) -> int:
        monkeypatch.setattr(bootstrap, "arm_compiler", lambda: notes.append("arm"))
        monkeypatch.setattr(
            bootstrap,
            "pip",
            lambda *_, compiler="": notes.append(f"native with {compiler}" if compiler else "packages"),
        )
        return bootstrap.main([str(tmp_path / "venv"), "p", "n", ""])

    assert run(Interrupting()) == 130
    done.clear()
    assert run(done) == 0

    assert done == again


def test_a_second_launcher_waits_for_the_first(
    tmp_path: Path, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at once must not install into each other's hands; the second then finds everything done."""
    venv = tmp_path / "venv"
    bootstrap.main([str(venv), "p", "n", ""])
    done.clear()
    waiting = threading.Event()
    monkeypatch.setattr(bootstrap, "say", lambda text: waiting.set() if "waiting" in text else None)
    first = os.open(venv, os.O_RDONLY)
    fcntl.flock(first, fcntl.LOCK_EX)

    second = threading.Thread(target=bootstrap.main, args=([str(venv), "p", "n", ""],))
    second.start()
    assert waiting.wait(10)
    assert second.is_alive()
    os.close(first)
    second.join(10)

    assert not second.is_alive()
    assert done == []


def test_a_folder_that_cannot_be_written_is_an_error_with_a_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkout may be read-only."""
    (tmp_path / "file").touch()

    code = bootstrap.main([str(tmp_path / "file" / "venv"), "p", "n", ""])

    assert code == 2
    assert "the virtual environment cannot be made" in (text := capsys.readouterr().err)
    assert "KILOGRAD_VENV" in text


def test_a_compiler_without_the_headers_of_the_c_library_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's gcc package alone cannot build a program."""
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho 'fatal error: stdlib.h' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setenv("PATH", "/nowhere")
    install = lambda packages, _: compiler.write_text(f"#!/bin/sh\n# {packages}\n")  # noqa: E731
    monkeypatch.setattr(toolchain, "apt_install", install)

    assert bootstrap.host_compiler(tmp_path) == "gcc"
    assert "'gcc', 'libc6-dev'" in compiler.read_text()


def test_without_root_zig_becomes_the_compiler(
    tmp_path: Path, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes from the package index, and needs nothing else."""
    monkeypatch.undo()
    monkeypatch.setenv("CC", "/nowhere/cc")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(bootstrap, "pip", lambda _, *packages: done.extend(packages))
    (tmp_path / "bin").mkdir()

    compiler = bootstrap.host_compiler(tmp_path)

    assert compiler == str(tmp_path / "bin" / "cc")
    assert [package.startswith("ziglang") for package in done] == [True]
    assert f'exec "{tmp_path}/bin/python" -m ziglang ar "$@"' in (tmp_path / "bin" / "ar").read_text()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Serve a package index with one project, pip."""
    folder = tmp_path / "index" / "pip"
    folder.mkdir(parents=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "index")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    """A file server that logs nothing."""

    def log_message(self, *_: object) -> None:
        """Drop the line."""


def write_index(folder: Path, digest: str) -> None:
    """List some releases of pip, the newest neither first nor last nor last in the alphabet."""
    links = [f'<a href="pip-{version}-py3-none-any.whl">' for version in ("9.0.3", "25.1", "26.0.dev1")]
    links.insert(1, f'<a href="pip-26.0.1-py3-none-any.whl#sha256={digest}" data-requires-python="&gt;=3.9">')
    (folder / "index.html").write_text("\n".join(links))
    (folder / "pip-26.0.1-py3-none-any.whl").write_bytes(b"wheel")


def test_pip_is_fetched_from_the_index_of_the_users_settings(
    tmp_path: Path, index: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a firewall there is only the company's index; the environment wins over the file."""
    address, folder = index
    write_index(folder, hashlib.sha256(b"wheel").hexdigest())
    (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = {address}/\n")
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.delenv("PIP_CERT", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))

    assert bootstrap.fetch_pip(tmp_path) == tmp_path / "pip-26.0.1-py3-none-any.whl"
    assert (tmp_path / "pip-26.0.1-py3-none-any.whl").read_bytes() == b"wheel"
    monkeypatch.setenv("PIP_INDEX_URL", f"{address}/other")
    with pytest.raises(KilogradError, match=r"cannot be fetched from .*/other"):
        bootstrap.fetch_pip(tmp_path)


def test_a_damaged_pip_is_refused(tmp_path: Path, index: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What it installs runs with the user's rights."""
    address, folder = index
    write_index(folder, hashlib.sha256(b"other").hexdigest())
    monkeypatch.setenv("PIP_INDEX_URL", address)

    with pytest.raises(KilogradError, match="damaged"):
        bootstrap.fetch_pip(tmp_path)


def test_only_root_installs_debian_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody else is told the command."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(KilogradError, match="only root") as caught:
        toolchain.apt_install(["gcc", "libc6-dev"], lambda _: None)

    assert caught.value.hint == "apt-get install gcc libc6-dev"
