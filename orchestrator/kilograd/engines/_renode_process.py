# SPDX-License-Identifier: Apache-2.0
"""A Renode without windows, and its keyword server."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import subprocess
import tempfile
import time
import xmlrpc.client
from pathlib import Path
from typing import Any

from kilograd import tools
from kilograd.errors import KilogradError

PROGRAM = "renode"
ROOT = "RENODE_ROOT"
OLDEST = (1, 15)
START_SECONDS = 60.0
POLL_SECONDS = 0.02
LAST_BYTES = 4096
INSTALL = f"get it from github.com/renode/renode/releases, and put {PROGRAM} on the PATH or set {ROOT} to its folder"


class RenodeProcess:
    """Starts Renode, runs monitor commands over XML-RPC, and ends what it has started."""

    def __init__(self) -> None:
        program = find_renode()
        self._folder = Path(tempfile.mkdtemp(prefix="kilograd-renode-"))
        self._log = (self._folder / "log.txt").open("w+b")
        self._process = subprocess.Popen(  # noqa: S603 - the program that the user has installed
            [program, "--disable-gui", "--hide-log", "--robot-server-port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            cwd=self._folder,
            env={**os.environ, "TMPDIR": str(self._folder)},
        )
        try:
            self._server = xmlrpc.client.ServerProxy(f"http://127.0.0.1:{self._port()}/")
        except BaseException:
            self.close()
            raise

    def execute(self, command: str) -> str:
        """Run a command of Renode's monitor and return what it prints."""
        try:
            answer: Any = self._server.run_keyword("ExecuteCommand", [command])
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            message = f"Renode did not answer to `{command}`: {error}"
            raise KilogradError(message, self.last_words() or "it said nothing") from error
        if answer["status"] != "PASS":
            message = f"Renode refused `{command}`"
            raise KilogradError(message, str(answer.get("error") or answer.get("output") or "it did not say why"))
        return str(answer.get("return", ""))

    def last_words(self) -> str:
        """Return the end of what Renode has printed."""
        self._log.flush()
        return (self._folder / "log.txt").read_bytes()[-LAST_BYTES:].decode("utf-8", "replace").strip()

    def close(self) -> None:
        """End Renode; closing it again does nothing."""
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _port(self) -> int:
        """Return the port of the keyword server, which Renode writes into a file of its temporary folder."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            for file in self._folder.glob("renode-*/robot_port"):
                if text := file.read_text().strip():
                    return int(text)
            if self._process.poll() is not None:
                message = f"Renode ended at its start (exit code {self._process.returncode})"
                raise KilogradError(message, self.last_words() or INSTALL)
            time.sleep(POLL_SECONDS)
        message = f"Renode has not opened its keyword server within {START_SECONDS:g} s"
        raise KilogradError(message, self.last_words() or INSTALL)


def find_renode() -> str:
    """Return Renode's path, or say how to get one that is new enough."""
    root = os.environ.get(ROOT)
    program = str(Path(root) / PROGRAM) if root else tools.find(PROGRAM, INSTALL)
    if root and not os.access(program, os.X_OK):
        message = f"{ROOT}={root}: there is no program {PROGRAM} in this folder"
        raise KilogradError(message, INSTALL)
    text = tools.run([program, "--version"], what="asking Renode for its version")
    found = re.search(r"v?(\d+)\.(\d+)\.\d+", text)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    if version < OLDEST:
        wanted, said = ".".join(map(str, OLDEST)), text.strip().partition("\n")[0]
        message = f"{program} is too old, or no Renode: it says {said!r}"
        raise KilogradError(message, f"kilograd needs version {wanted} or newer; {INSTALL}")
    return program
