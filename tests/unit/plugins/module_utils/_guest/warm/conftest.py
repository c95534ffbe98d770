# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures: warm servers in a guest that is this machine."""

from __future__ import annotations

import collections.abc
import contextlib
import os
import pathlib
import secrets
import shutil
import signal
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES
from ansible_collections.netless.qga.plugins.module_utils._guest.warm import runner as warm_runner
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.runner import WarmRunner
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.warm_server import LIMITS

from .payloads import PYTHON


def wait_until(condition: collections.abc.Callable[[], t.Any], seconds: float = 60.0) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "that takes too long"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Return whether a process runs."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Warm:
    """A runner of modules, and what it has started on this machine."""

    def __init__(self, agent: Agent, files: Files, programs: ProgramRunner) -> None:
        self._token = secrets.token_hex(8)
        self._started = 0
        self._programs = programs
        self.lines: list[str] = []
        self.runner = WarmRunner(
            "guest", agent, files, lambda: programs, cold_modules=["ansible.builtin.cold"], log=self.lines.append
        )

    def run(
        self, program: bytes, *, command: str = PYTHON, seconds: float = 60.0, key: str = "key"
    ) -> CompletedProcess | None:
        """Run a payload."""
        argv = ["/bin/sh", "-c", command]
        return self.runner.run(argv, program, key=key + command, deadline=Deadline.after(seconds))

    def run_cold(self, program: bytes) -> CompletedProcess:
        """Run a payload in an interpreter of its own."""
        return self._programs.run(["/bin/sh", "-c", PYTHON], stdin=program, deadline=Deadline.after(60.0))

    def directories(self) -> set[pathlib.Path]:
        """Return the directories of the servers that were started."""
        return {path for base in BASES for path in pathlib.Path(base).glob(f"netless-qga.{self._token}*.warm")}

    def new_name(self) -> str:
        """Return a name that no other test uses."""
        self._started += 1
        return f"netless-qga.{self._token}{self._started}.warm"

    def directory(self) -> pathlib.Path:
        """Return the directory of the only server."""
        (directory,) = self.directories()
        return directory

    def processes(self) -> list[int]:
        """Return the processes that have a FIFO of these servers open: servers, and supervisors of jobs."""
        fifos = {os.fspath(directory / "jobs") for directory in self.directories()}
        others = set(map(int, filter(str.isdigit, os.listdir("/proc")))) - {os.getpid()}
        return [pid for pid in others if fifos & _open_files(pid)]

    def server(self) -> int:
        """Return the process of the only server: the one that started the others."""
        return min(self.processes())

    def end(self) -> None:
        """End all servers, and wait until nothing is left of them."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any((directory / "jobs").exists() for directory in self.directories()))
        # The results would stay for a client that has not read them yet.
        for directory in self.directories():
            shutil.rmtree(directory, ignore_errors=True)


def _open_files(pid: int) -> set[str]:
    found = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    except OSError:
        pass
    return found


@pytest.fixture(name="warm")
def fixture_warm(
    agent: Agent, files: Files, runner: ProgramRunner, monkeypatch: pytest.MonkeyPatch
) -> t.Iterator[Warm]:
    """Provide a runner of modules, and check that nothing is left when its servers have ended."""
    warm = Warm(agent, files, runner)
    monkeypatch.setattr(warm_runner, "_new_name", warm.new_name)
    monkeypatch.setattr(warm_runner, "LINGER", 3)
    yield warm
    warm.end()


@pytest.fixture
def short_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client wait only for a moment until a server claims a job."""
    monkeypatch.setattr(
        "ansible_collections.netless.qga.plugins.module_utils._guest.warm.job_process._CLAIM_TIMEOUT", 0.5
    )


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Return the limits of the servers that are started, which the test may change."""
    limits = dict(LIMITS)
    monkeypatch.setattr(warm_runner, "LIMITS", limits)
    return limits
