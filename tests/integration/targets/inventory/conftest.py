# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures: a directory with the sockets of 50 guests of which 10 hang, and Ansible's programs."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest

from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent
from ansible_collections.netless.qga.tests.guests.trees import build

ANSWERING = [f"guest{number:02}" for number in range(40)]
STOPPED = [f"stopped{number}" for number in range(3)]
"""Real agents whose processes are stopped. They listen themselves, and do not accept a connection."""
SILENT = [f"silent{number}" for number in range(4)]
"""Agents whose channel is open, as QEMU keeps it, and that never answer."""
HALFWAY = [f"halfway{number}" for number in range(3)]
"""Agents that answer the sync, and hang then."""
HANGING = [*STOPPED, *SILENT, *HALFWAY]

# Enough for a machine that does many other things.
_PATIENCE = 240


def _start(stack: contextlib.ExitStack, names: t.Sequence[str]) -> dict[str, SandboxedAgent]:
    """Start real agents, several at a time."""
    tree = build("bookworm")
    sandboxes = {name: SandboxedAgent(tree) for name in names}

    def stop() -> None:
        with ThreadPoolExecutor(8) as executor:
            for sandbox in sandboxes.values():
                executor.submit(sandbox.__exit__, None, None, None)

    stack.callback(stop)
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(SandboxedAgent.__enter__, sandboxes.values()))
    return sandboxes


@pytest.fixture(scope="session")
def fleet() -> t.Iterator[pathlib.Path]:
    """Provide the directory of the sockets."""
    with contextlib.ExitStack() as stack:
        # The path of a socket has to be short.
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qga-", dir="/tmp")))
        sandboxes = _start(stack, [*ANSWERING, *STOPPED])
        for name, sandbox in sandboxes.items():
            (directory / f"{name}.qga").symlink_to(sandbox.socket_path)
        for name in STOPPED:
            os.kill(sandboxes[name].pid, signal.SIGSTOP)
            stack.callback(os.kill, sandboxes[name].pid, signal.SIGCONT)
        for name in SILENT:
            stack.enter_context(ScriptedAgent("silence").listening(str(directory / f"{name}.qga")))
        for name in HALFWAY:
            stack.enter_context(ScriptedAgent("never").listening(str(directory / f"{name}.qga")))
        yield directory


class Inventory:
    """A configuration of the plugin, and Ansible's programs with it."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._path = directory / "domains.yml"
        self.seconds = 0.0
        """How long the last program ran."""
        self.warnings = ""

    def configure(self, **options: t.Any) -> None:
        """Write the options into the file."""
        self._path.write_text(json.dumps({"plugin": "netless.qga.domains", **options}), encoding="utf-8")

    def list(self, *arguments: str) -> dict[str, t.Any]:
        """Return what ``ansible-inventory --list`` prints."""
        return t.cast("dict[str, t.Any]", json.loads(self.run("inventory", "--list", *arguments)))

    def run(self, program: str, *arguments: str, inventory: pathlib.Path | None = None) -> str:
        """Return what one of Ansible's programs prints."""
        started = time.monotonic()
        completed = subprocess.run(
            [sys.executable, "-m", "ansible", program, "-i", str(inventory or self._path), *arguments],
            check=False,
            capture_output=True,
            encoding="utf-8",
            timeout=_PATIENCE,
            cwd=self._directory,
        )
        self.seconds = time.monotonic() - started
        # ansible-test sets a default collection, of which Ansible warns.
        self.warnings = completed.stderr.replace("[WARNING]: running with default collection netless.qga", "")
        assert completed.returncode == 0, completed.stdout + completed.stderr
        return completed.stdout


@pytest.fixture
def inventory(tmp_path: pathlib.Path) -> Inventory:
    return Inventory(tmp_path)
