# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection process: when it gives the channel away, and when it ends."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._connection_process.persistent_channel import (
    PersistentChannel,
)
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._transports.unix import UnixConnector
from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer
from ansible_collections.netless.qga.tests.guests.connection_processes import wait_until
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

from .conftest import Share

PING = Call("guest-ping")
AT_END = Call("guest-get-host-name", {"token": "end"})


def ping(channel: PersistentChannel | StreamChannel) -> None:
    assert [type(outcome) for outcome in channel.exchange([PING], Deadline.after(20))] == [Answer]


def count(agent: ScriptedAgent, command: str) -> int:
    return sum(isinstance(request, dict) and request.get("execute") == command for request in agent.requests)


@pytest.fixture(name="owner")
def fixture_owner() -> t.Iterator[subprocess.Popen[bytes]]:
    """Provide a process that stands for ansible-playbook."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_idle_process_ends_and_leaves_nothing(
    share: Share, path: str, processes: t.Callable[[], list[int]], sockets: t.Callable[[], list[pathlib.Path]]
) -> None:
    channel = share(path, persist=0.5)
    ping(channel)
    time.sleep(1)
    # A task that is connected keeps it.
    assert len(processes()) == 1
    channel.close()
    ended_at = time.monotonic()
    wait_until(lambda: not processes())
    assert time.monotonic() - ended_at > 0.3
    assert sockets() == []


def test_process_that_nobody_asks_ends(share: Share, path: str, processes: t.Callable[[], list[int]]) -> None:
    channel = share(path, persist=0.1)
    ping(channel)
    channel.close()
    wait_until(lambda: not processes())


@pytest.mark.parametrize("connected", [True, False])
def test_idle_process_gives_the_channel_to_a_waiting_process(share: Share, path: str, connected: bool) -> None:
    shared = share(path)
    ping(shared)
    if not connected:
        shared.close()
    direct = StreamChannel(UnixConnector(path))
    started = time.monotonic()
    ping(direct)
    assert time.monotonic() - started < 20
    direct.close()
    ping(shared)


def test_process_that_waits_for_nothing_uses_no_processor(
    share: Share, path: str, processes: t.Callable[[], list[int]]
) -> None:
    ping(share(path))
    (pid,) = processes()

    def ticks() -> int:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(2)
    assert ticks() - before <= 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signals_of_a_terminal_are_ignored(
    share: Share, path: str, processes: t.Callable[[], list[int]], number: signal.Signals
) -> None:
    channel = share(path)
    ping(channel)
    (pid,) = processes()
    os.kill(pid, number)
    ping(channel)
    assert processes() == [pid]


def test_sigterm_ends_the_process_and_removes_the_socket(
    share: Share, path: str, processes: t.Callable[[], list[int]], sockets: t.Callable[[], list[pathlib.Path]]
) -> None:
    channel = share(path)
    ping(channel)
    (pid,) = processes()
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not processes())
    assert sockets() == []
    ping(channel)


def test_ending_process_leaves_the_socket_of_another(
    share: Share, path: str, processes: t.Callable[[], list[int]], sockets: t.Callable[[], list[pathlib.Path]]
) -> None:
    ping(share(path))
    (first,) = processes()
    sockets()[0].unlink()
    ping(share(path))
    assert len(processes()) == 2
    os.kill(first, signal.SIGTERM)
    wait_until(lambda: len(processes()) == 1)
    assert len(sockets()) == 1


def test_call_for_the_end_is_carried_out_when_the_owner_has_ended(
    share: Share,
    agent: ScriptedAgent,
    path: str,
    owner: subprocess.Popen[bytes],
    processes: t.Callable[[], list[int]],
) -> None:
    channel = share(path, owner=owner.pid)
    channel.at_end("key", Call("guest-get-host-name", {"token": "replaced"}))
    channel.at_end("key", AT_END)
    channel.at_end("removed", PING)
    channel.at_end("removed", None)
    channel.close()
    time.sleep(1.5)
    assert count(agent, AT_END.command) == 0
    owner.kill()
    owner.wait()
    wait_until(lambda: count(agent, AT_END.command) == 1)
    assert [request["arguments"] for request in agent.requests if request.get("execute") == AT_END.command] == [
        AT_END.arguments
    ]
    assert count(agent, "guest-ping") == 0
    # It is idle as before.
    assert len(processes()) == 1


def test_process_waits_for_the_owner_without_the_channel(
    share: Share,
    agent: ScriptedAgent,
    path: str,
    owner: subprocess.Popen[bytes],
    processes: t.Callable[[], list[int]],
) -> None:
    channel = share(path, owner=owner.pid, persist=0.2)
    channel.at_end("key", AT_END)
    ping(channel)
    channel.close()
    time.sleep(1)
    assert len(processes()) == 1
    # Nobody else gets the channel while a process has it.
    direct = StreamChannel(UnixConnector(path))
    ping(direct)
    direct.close()
    owner.kill()
    owner.wait()
    wait_until(lambda: not processes())
    assert count(agent, AT_END.command) == 1


def test_call_for_the_end_waits_for_every_owner(
    share: Share, agent: ScriptedAgent, path: str, owner: subprocess.Popen[bytes]
) -> None:
    first = share(path, owner=owner.pid)
    first.at_end("key", AT_END)
    first.close()
    ping(share(path))
    owner.kill()
    owner.wait()
    time.sleep(1.5)
    # The other owner is this process.
    assert count(agent, AT_END.command) == 0


def test_call_for_the_end_that_fails_does_no_harm(
    share: Share, path: str, owner: subprocess.Popen[bytes], processes: t.Callable[[], list[int]]
) -> None:
    channel = share(path, owner=owner.pid, persist=0.2)
    channel.at_end("key", Call("guest-no-such"))
    channel.close()
    owner.kill()
    owner.wait()
    wait_until(lambda: not processes())
