# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each call to the operating system fails once: the task ends with an error of our own, and the next one works."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import pathlib
import secrets
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES
from ansible_collections.netless.qga.plugins.module_utils._guest.warm import runner as warm_runner
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.runner import WarmRunner, end_servers
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.warm_server import LIMITS
from ansible_collections.netless.qga.plugins.module_utils.errors import QgaError
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._guest.warm.payloads import payload

from .conftest import spools
from .local_guest import LocalGuest
from .torture import Fault

TEXT = b"some text\n" * 500
TASKS: list[Task] = []
"""All tasks of a test."""
Scenario = t.Callable[["Task"], object]


class Task:
    """What a task of Ansible has of a guest."""

    def __init__(self, endpoint: str, directory: pathlib.Path) -> None:
        self.endpoint = endpoint
        self.directory = directory
        target = Target(Address(endpoint), connect_timeout=5, reply_timeout=5, persist=0, chunk=2000)
        self.agent: Agent = target.agent(native_calls=False, validate_replies=False, limit_each_reply=True)
        self.files = Files(self.agent)
        self.programs = ProgramRunner(self.agent, self.files)
        TASKS.append(self)

    def close(self) -> None:
        """End the task."""
        self.programs.close()
        self.agent.close()


def sync(task: Task) -> object:
    return task.agent.sync(Deadline.after(5)).delimited


def call(task: Task) -> object:
    return task.agent.call("guest-get-host-name", deadline=Deadline.after(5))


def run_program(task: Task) -> object:
    completed = task.programs.run(["cat"], stdin=TEXT, deadline=Deadline.after(20))
    assert completed.stdout == TEXT
    return completed.rc


def copy_there_and_back(task: Task) -> object:
    source, copy, back = (task.directory / name for name in ("source", "copy", "back"))
    task.files.put(str(source), str(copy), deadline=Deadline.after(20))
    assert copy.read_bytes() == TEXT
    task.files.get(str(copy), str(back), deadline=Deadline.after(20))
    assert back.read_bytes() == TEXT
    return TEXT


def run_module(task: Task) -> object:
    warm = WarmRunner(task.endpoint, task.agent, task.files, lambda: task.programs)
    module = payload("print('ran')")
    argv = ["/bin/sh", "-c", "/usr/bin/python3"]
    completed = warm.run(argv, module, key="key", deadline=Deadline.after(20))
    return completed and completed.stdout


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


class Guest(LocalGuest):
    """A guest with files whose opening was not confirmed: the agent keeps them open, and nobody can close them."""

    def forget_lost_files(self) -> bool:
        """Close what one request to open files has opened, and return whether nothing else is open."""
        if len(self.handles) <= 2:
            while self.handles:
                os.close(self.handles.popitem()[1])
        return not self.handles


def wait_until(condition: t.Callable[[], bool], fault: Fault) -> None:
    """Wait for the threads of the guest."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, f"descriptors are left after {fault.where}"
        time.sleep(0.01)


@pytest.fixture(name="guest")
def fixture_guest() -> t.Iterator[tuple[Guest, str]]:
    guest = Guest()
    with guest.listening() as path:
        yield guest, f"unix:{path}"


def attempt(scenario: Scenario, endpoint: str, directory: pathlib.Path, fault: Fault) -> object:
    """Return what the scenario returns, or the error that it ends with."""
    with contextlib.closing(Task(endpoint, directory)) as task:
        try:
            with fault.active():
                return scenario(task)
        except (QgaError, OSError) as exc:
            return exc


@pytest.fixture(autouse=True)
def no_servers_left(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[None]:
    """Wait until all servers have ended: a server whose start was not confirmed ends when it is idle."""
    token = secrets.token_hex(8)
    monkeypatch.setattr(warm_runner, "_new_name", lambda: f"netless-qga.{token}{secrets.token_hex(8)}.warm")
    monkeypatch.setattr(warm_runner, "LIMITS", {**LIMITS, "idle": 3.0})
    monkeypatch.setattr(warm_runner, "LINGER", 1)
    yield
    end = time.monotonic() + 30
    while any(path for base in BASES for path in pathlib.Path(base).glob(f"netless-qga.{token}*")):
        assert time.monotonic() < end, "a server has left its directory"
        time.sleep(0.1)
    # A program whose start was not confirmed may start when its task has ended. The end of a play removes its files.
    while TASKS:
        for path in spools(TASKS.pop().programs):
            path.unlink(missing_ok=True)


@pytest.mark.parametrize("scenario", [sync, call, run_program, copy_there_and_back, run_module])
def test_each_call_fails_once(
    guest: tuple[Guest, str],
    scenario: Scenario,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "source").write_bytes(TEXT)
    local, endpoint = guest
    error = OSError(errno.EIO, os.strerror(errno.EIO))
    counted = Fault(None, error)
    expected = attempt(scenario, endpoint, tmp_path, counted)
    assert not isinstance(expected, Exception), expected
    assert counted.calls
    before = descriptors()
    for at in range(counted.calls):
        fault = Fault(at, error)
        result = attempt(scenario, endpoint, tmp_path, fault)
        if result is error:
            assert scenario is copy_there_and_back, fault.where
        else:
            assert isinstance(result, QgaError) or result in (expected, None), (fault.where, result)
        wait_until(lambda: local.forget_lost_files() and descriptors() <= before, fault)
    assert attempt(scenario, endpoint, tmp_path, Fault(None, error)) == expected
    with contextlib.closing(Task(endpoint, tmp_path)) as task:
        end_servers(endpoint, task.agent)
