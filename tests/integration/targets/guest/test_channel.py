# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Agents that die, come back, are held by others or are waited for."""

from __future__ import annotations

import secrets
import socket
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.address import parse_connector
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    CommandDisabled,
    CommandMissing,
    EndpointBusy,
    EndpointUnavailable,
    OutcomeUnknown,
)
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent


def agent_of(guest: SandboxedAgent, **options: t.Any) -> Agent:
    return Agent(StreamChannel(parse_connector(guest.endpoint), **options))


def test_the_sync_throws_away_the_error_that_it_provokes(agent: Agent, deadline: Deadline) -> None:
    report = agent.sync(deadline)
    assert report.delimited
    # An error line about a stray character; its text differs from version to version.
    assert 60 < report.discarded < 120


def test_what_an_earlier_client_left_is_not_in_the_way(guest: SandboxedAgent, deadline: Deadline) -> None:
    with socket.socket(socket.AF_UNIX) as earlier:
        earlier.connect(guest.socket_path)
        earlier.sendall(b'{"execute": "guest-pi')
        time.sleep(0.1)
    agent = agent_of(guest)
    assert agent.call("guest-ping", deadline=deadline) == {}
    agent.close()


def test_many_calls_at_a_time(agent: Agent, deadline: Deadline) -> None:
    calls = [Call("guest-ping"), Call("guest-file-open", {"path": "/no/such"}), Call("guest-get-osinfo")] * 50
    results = agent.call_all(calls, deadline=deadline)
    assert results[::3] == [{}] * 50
    assert all(isinstance(result, AgentRefused) for result in results[1::3])
    assert {result["id"] for result in results[2::3]} == {"debian"}


def test_missing_and_blocked_commands_are_told_apart(agent: Agent, deadline: Deadline) -> None:
    with pytest.raises(CommandMissing):
        agent.call("guest-make-coffee", deadline=deadline)
    with pytest.raises(CommandDisabled, match="restart the service qemu-guest-agent"):
        agent.call("guest-shutdown", deadline=deadline)
    with pytest.raises(CommandDisabled):
        agent.call_silent("guest-shutdown", deadline=Deadline.after(5))


def test_an_agent_that_is_killed_in_the_middle_of_a_reply(guest: SandboxedAgent, deadline: Deadline) -> None:
    size = 32 * 1024 * 1024
    sent_at: list[float] = []

    def kill_soon(line: str) -> None:
        # The reply is far more than a socket holds, so at this time a part of it is there and the rest never comes.
        if line.startswith("guest-file-read: ") and not sent_at:
            sent_at.append(time.monotonic())
            time.sleep(0.2)
            guest.kill_agent()

    agent = agent_of(guest, chunk=size, log=kill_soon)
    made = ProgramRunner(agent, Files(agent)).run(["truncate", "-s", str(size), "/tmp/zeros"], deadline=deadline)
    assert made.rc == 0
    opened = Files(agent).open("/tmp/zeros", "r", deadline)
    with pytest.raises(OutcomeUnknown, match="the answer to guest-file-read is lost"):
        opened.read(deadline)
    with pytest.raises(EndpointUnavailable, match=r"nobody listens|no such socket"):
        agent.call("guest-ping", deadline=deadline)
    guest.start_agent()
    assert agent.call("guest-ping", deadline=deadline) == {}
    # Nothing of before is taken for an answer, not even a handle.
    with pytest.raises(AgentRefused):
        agent.call("guest-file-read", {"handle": 1000000}, deadline=deadline)
    assert agent.call("guest-get-host-name", deadline=deadline) == {"host-name": "netless"}
    agent.close()


def test_an_agent_that_was_restarted_between_two_calls(guest: SandboxedAgent, deadline: Deadline) -> None:
    agent = agent_of(guest)
    assert agent.call("guest-ping", deadline=deadline) == {}
    guest.kill_agent()
    guest.start_agent()
    assert agent.call("guest-ping", deadline=deadline) == {}
    agent.close()


def test_a_program_that_the_agent_has_forgotten(guest: SandboxedAgent, deadline: Deadline) -> None:
    polled = 0

    def restart(line: str) -> None:
        nonlocal polled
        if line.startswith("guest-exec-status answered"):
            polled += 1
            if polled == 3:
                guest.kill_agent()
                guest.start_agent()

    agent = agent_of(guest, log=restart)
    with pytest.raises(OutcomeUnknown, match="the agent has forgotten sleep"):
        ProgramRunner(agent, Files(agent)).run(["sleep", "5"], deadline=deadline)
    agent.close()


def test_a_socket_that_somebody_else_holds(guest: SandboxedAgent) -> None:
    with socket.socket(socket.AF_UNIX) as holder:
        holder.connect(guest.socket_path)
        # The queue behind the holder is short; both an endless wait in it and a full one are to be told.
        queued = []
        try:
            for dummy in range(3):
                agent = agent_of(guest, connect_timeout=1.0)
                with pytest.raises(EndpointBusy, match="another client holds the socket"):
                    agent.sync(Deadline.after(1.0))
                agent.close()
                waiting = socket.socket(socket.AF_UNIX)
                queued.append(waiting)
                waiting.setblocking(False)
                try:
                    waiting.connect(guest.socket_path)
                except BlockingIOError:
                    break
        finally:
            for waiting in queued:
                waiting.close()


def test_exec_relays(guest: SandboxedAgent, deadline: Deadline) -> None:
    relay = f"exec:socat - UNIX-CONNECT:{guest.socket_path}"
    agent = Agent(StreamChannel(parse_connector(relay)))
    token = secrets.token_hex(500_000).encode()
    runner = ProgramRunner(agent, Files(agent))
    assert runner.run(["cat"], stdin=token, deadline=deadline).stdout == token
    runner.close()
    agent.close()
