# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock of a channel, between real processes."""

from __future__ import annotations

import inspect
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._local.fair_lock import FairLock
from ansible_collections.netless.qga.plugins.module_utils._transports.unix import UnixConnector
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    EndpointBusy,
    EndpointUnavailable,
    UnreachableReason,
)
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

NAME = "unix:/run/vm.sock"


class InChild:
    """A function in a process of its own.

    :param function: returns whether it succeeded.
    """

    def __init__(self, function: t.Callable[[], bool]) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                status = 0 if function() else 1
            finally:
                os._exit(status)

    def succeeded(self) -> bool:
        """Wait for the end of the process, and return whether the function succeeded."""
        return os.waitpid(self.pid, 0)[1] == 0


def until(condition: t.Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    deadline = Deadline.after(30)
    while not condition():
        assert not deadline.passed
        time.sleep(0.01)


def test_lock_is_held_from_acquire_to_release() -> None:
    fair_lock = FairLock(NAME)
    holds = [fair_lock.held]
    for step in (fair_lock.acquire, fair_lock.acquire):
        step(Deadline.after(30))
        holds.append(fair_lock.held)
    assert not fair_lock.has_waiters()
    for dummy in range(2):
        fair_lock.release()
        holds.append(fair_lock.held)
    assert holds == [False, True, True, False, False]


def test_lock_has_one_holder_for_each_channel() -> None:
    fair_lock, same, other = FairLock(NAME), FairLock(NAME), FairLock(NAME + "2")
    fair_lock.acquire(Deadline.after(30))
    other.acquire(Deadline.after(30))
    with pytest.raises(EndpointBusy, match=f"^{NAME}: another Ansible process"):
        same.acquire(Deadline.after(0.1))
    assert not same.held
    fair_lock.release()
    same.acquire(Deadline.after(30))


def test_release_hands_the_lock_to_a_waiting_process() -> None:
    fair_lock = FairLock(NAME)
    fair_lock.acquire(Deadline.after(30))

    def wait() -> bool:
        mine = FairLock(NAME)
        mine.acquire(Deadline.after(30))
        return mine.held

    child = InChild(wait)
    until(fair_lock.has_waiters)
    fair_lock.release()
    assert child.succeeded()
    # The child was forked while we held the lock. It has ended, and its copies of the descriptors with it.
    fair_lock.acquire(Deadline.after(30))
    assert not fair_lock.has_waiters()


def test_death_of_the_holder_frees_the_lock(tmp_path: pathlib.Path) -> None:
    def hold() -> bool:
        FairLock(NAME).acquire(Deadline.after(30))
        (tmp_path / "held").touch()
        time.sleep(600)
        return False

    child = InChild(hold)
    until((tmp_path / "held").exists)
    fair_lock = FairLock(NAME)
    with pytest.raises(EndpointBusy):
        fair_lock.acquire(Deadline.after(0.1))
    os.kill(child.pid, signal.SIGKILL)
    assert not child.succeeded()
    fair_lock.acquire(Deadline.after(30))


def test_lock_is_held_by_one_process_at_a_time(tmp_path: pathlib.Path) -> None:
    def lock_repeatedly() -> bool:
        for dummy in range(20):
            fair_lock = FairLock(NAME)
            fair_lock.acquire(Deadline.after(30))
            (tmp_path / "inside").mkdir()
            (tmp_path / "inside").rmdir()
            fair_lock.release()
        return True

    children = [InChild(lock_repeatedly) for dummy in range(3)]
    assert [child.succeeded() for child in children] == [True] * 3


@pytest.mark.parametrize("what", ["a file", "a link", "nothing can be made there", "another user's"])
def test_lock_refuses_a_directory_that_is_not_the_users(
    what: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / f"netless-qga-{os.geteuid()}"
    if what == "a file":
        place.touch()
    elif what == "a link":
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to("elsewhere")
    elif what == "another user's":
        place.mkdir()
        another = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: another)
        place.rename(tmp_path / f"netless-qga-{another}")
    else:
        monkeypatch.setenv("XDG_RUNTIME_DIR", "/proc/nowhere")
    with pytest.raises(EndpointUnavailable, match=r"netless-qga-.*for locks|directory for locks"):
        FairLock(NAME).acquire(Deadline.after(30))


def test_lock_files_are_private_to_the_user(tmp_path: pathlib.Path) -> None:
    fair_lock = FairLock(NAME)
    fair_lock.acquire(Deadline.after(30))
    (place,) = tmp_path.iterdir()
    assert place.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in place.iterdir()} == {0o600}
    fair_lock.release()


def test_error_explains_why_the_lock_cannot_be_created(tmp_path: pathlib.Path) -> None:
    fair_lock = FairLock(NAME)
    fair_lock.acquire(Deadline.after(30))
    fair_lock.release()
    for lock in tmp_path.glob("*/*"):
        lock.unlink()
        lock.symlink_to("/dev/null")
    with pytest.raises(
        EndpointUnavailable, match=r"cannot create the lock .*: Too many levels of symbolic links"
    ) as caught:
        fair_lock.acquire(Deadline.after(30))
    # A problem of this machine proves nothing about the other end of the channel.
    assert caught.value.reason is UnreachableReason.UNKNOWN


CLIENT = """
import sys
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._transports.unix import UnixConnector

channel = StreamChannel(UnixConnector(sys.argv[1]), connect_timeout=30)
for dummy in range(int(sys.argv[2])):
    channel.exchange([Call("guest-ping")], Deadline.after(30))
"""


def client(path: str, calls: int) -> subprocess.Popen[bytes]:
    """Start another process that uses the same channel."""
    # The directory that contains ansible_collections; ansible-test imports it without sys.path.
    root = pathlib.Path(inspect.getfile(FairLock)).parents[6]
    environment = dict(os.environ, PYTHONPATH=str(root))
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(CLIENT), path, str(calls)], env=environment)


def test_processes_share_a_channel() -> None:
    with ScriptedAgent().listening() as path:
        clients = [client(path, 200) for dummy in range(3)]
        assert [process.wait(60) for process in clients] == [0, 0, 0]


@pytest.mark.parametrize("doing", ["pausing", "calling"])
def test_channel_passes_to_a_waiting_process_between_calls(doing: str) -> None:
    agent = ScriptedAgent()
    with agent.listening() as path:
        channel = StreamChannel(UnixConnector(path), connect_timeout=30)
        ping = [Call("guest-ping")]
        channel.exchange(ping, Deadline.after(30))
        with client(path, 1) as other:
            deadline = Deadline.after(30)
            # A play that only waits, or one that sends commands without a pause.
            while other.poll() is None:
                assert not deadline.passed
                if doing == "pausing":
                    channel.pause(0.05, deadline)
                else:
                    channel.exchange(ping, deadline)
            assert other.returncode == 0
        channel.exchange(ping, Deadline.after(30))
        channel.close()
