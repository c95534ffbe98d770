# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Channels to agents that die, are restarted, or serve another client."""

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
from ansible_collections.netless.qga.plugins.module_utils._transports.stream_socket import StreamSocket
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    CommandDisabled,
    CommandMissing,
    EndpointBusy,
    EndpointUnavailable,
    OutcomeUnknown,
    ProcessTimedOut,
)
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent


def agent_of(guest: SandboxedAgent, **options: t.Any) -> Agent:
    return Agent(StreamChannel(parse_connector(guest.endpoint), **options))


def test_sync_discards_the_error_that_it_causes(agent: Agent, deadline: Deadline) -> None:
    report = agent.sync(deadline)
    assert report.delimited
    # The discarded line is an error about a stray character. Its text differs from version to version.
    assert 60 < report.discarded < 120


def test_partial_request_of_an_earlier_client_is_discarded(guest: SandboxedAgent, deadline: Deadline) -> None:
    with socket.socket(socket.AF_UNIX) as earlier:
        earlier.connect(guest.socket_path)
        earlier.sendall(b'{"execute": "guest-pi')
        time.sleep(0.1)
    agent = agent_of(guest)
    assert agent.call("guest-ping", deadline=deadline) == {}
    agent.close()


def test_error_without_id_is_not_the_first_answer(
    guest: SandboxedAgent, deadline: Deadline, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []
    send = StreamSocket.send

    def send_brace_before_the_first_request(self: StreamSocket, data: bytes, within: Deadline) -> None:
        sent.append(data)
        send(self, b"}" + data if len(sent) == 2 else data, within)

    monkeypatch.setattr(StreamSocket, "send", send_brace_before_the_first_request)
    agent = agent_of(guest, log=log.append)
    # The agent answers the brace with an error that has no id, and then the request.
    assert agent.call("guest-get-host-name", deadline=deadline) == {"host-name": "netless"}
    assert b"guest-sync" in sent[0] and b"guest-get-host-name" in sent[1]
    assert any(line.startswith("discarded") and "without an id" in line for line in log)
    agent.close()


def test_call_all_sends_many_calls_at_a_time(agent: Agent, deadline: Deadline) -> None:
    calls = [Call("guest-ping"), Call("guest-file-open", {"path": "/no/such"}), Call("guest-get-osinfo")] * 50
    results = agent.call_all(calls, deadline=deadline)
    assert results[::3] == [{}] * 50
    assert all(isinstance(result, AgentRefused) for result in results[1::3])
    assert {result["id"] for result in results[2::3]} == {"debian"}


def test_missing_and_blocked_commands_have_different_errors(agent: Agent, deadline: Deadline) -> None:
    with pytest.raises(CommandMissing):
        agent.call("guest-make-coffee", deadline=deadline)
    with pytest.raises(CommandDisabled, match="restart the service qemu-guest-agent"):
        agent.call("guest-shutdown", deadline=deadline)
    with pytest.raises(CommandDisabled):
        agent.call_silent("guest-shutdown", deadline=Deadline.after(5))


def test_agent_killed_during_a_reply_loses_the_answer(guest: SandboxedAgent, deadline: Deadline) -> None:
    size = 32 * 1024 * 1024
    sent_at: list[float] = []

    def kill_soon(line: str) -> None:
        # The reply is much larger than a socket buffer, so now a part of it is there and the rest never comes.
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
    # Nothing from before the restart passes for an answer, not even a handle.
    with pytest.raises(AgentRefused):
        agent.call("guest-file-read", {"handle": 1000000}, deadline=deadline)
    assert agent.call("guest-get-host-name", deadline=deadline) == {"host-name": "netless"}
    agent.close()


def test_agent_restarted_between_two_calls_is_reconnected(guest: SandboxedAgent, deadline: Deadline) -> None:
    agent = agent_of(guest)
    assert agent.call("guest-ping", deadline=deadline) == {}
    guest.kill_agent()
    guest.start_agent()
    assert agent.call("guest-ping", deadline=deadline) == {}
    agent.close()


def restarting(guest: SandboxedAgent) -> t.Callable[[str], None]:
    """Return a log that restarts the agent when it has reported three times that a program runs."""
    polled = 0

    def restart(line: str) -> None:
        nonlocal polled
        if line.startswith("guest-exec-status answered"):
            polled += 1
            if polled == 3:
                guest.kill_agent()
                guest.start_agent()

    return restart


@pytest.fixture
def restarted(guest: SandboxedAgent) -> t.Iterator[ProgramRunner]:
    """Provide a runner whose agent is restarted while the first program runs. The program goes on."""
    agent = agent_of(guest, log=restarting(guest))
    runner = ProgramRunner(agent, Files(agent))
    yield runner
    runner.close()
    agent.close()


def test_program_outlives_the_agent(restarted: ProgramRunner, deadline: Deadline) -> None:
    result = restarted.run(["/bin/sh", "-c", "echo out; sleep 5; echo err >&2; exit 5"], deadline=deadline)
    assert (result.rc, result.stdout, result.stderr) == (5, b"out\n", b"err\n")


def test_program_that_outlives_the_agent_ends_at_its_deadline(restarted: ProgramRunner, deadline: Deadline) -> None:
    with pytest.raises(ProcessTimedOut, match=r"its process group [0-9]+ in the guest was killed"):
        restarted.run(["sleep", "4712"], deadline=Deadline.after(5))
    # The sandbox has no init that reaps ended processes.
    left = restarted.run(["/bin/sh", "-c", "ps -e -o stat=,args= | grep '^[^Z].*[s]leep 4712'"], deadline=deadline)
    assert (left.rc, left.stdout) == (1, b"")


# Ends its process group as soon as process 1 is the parent of the launch script. The agent was that at first.
_DIE_WITH_THE_AGENT = """\
parent=0
while [ "$parent" != 1 ]; do sleep 0.1; read -r x x x parent x </proc/$PPID/stat; done
kill -KILL 0
"""


def test_program_that_dies_with_the_agent_is_reported(restarted: ProgramRunner, deadline: Deadline) -> None:
    with pytest.raises(OutcomeUnknown, match="the agent has forgotten /bin/sh"):
        restarted.run(["/bin/sh", "-c", _DIE_WITH_THE_AGENT], deadline=deadline)


def test_socket_of_another_client_is_reported_as_busy(guest: SandboxedAgent) -> None:
    with socket.socket(socket.AF_UNIX) as holder:
        holder.connect(guest.socket_path)
        # The queue of the socket is short. Waiting in it and finding it full must be reported alike.
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


def test_exec_endpoint_relays_programs(guest: SandboxedAgent, deadline: Deadline) -> None:
    relay = f"exec:socat - UNIX-CONNECT:{guest.socket_path}"
    agent = Agent(StreamChannel(parse_connector(relay)))
    token = secrets.token_hex(500_000).encode()
    runner = ProgramRunner(agent, Files(agent))
    assert runner.run(["cat"], stdin=token, deadline=deadline).stdout == token
    runner.close()
    agent.close()


def test_agent_escapes_what_is_not_ascii(
    guest: SandboxedAgent, deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[bytes] = []
    receive = StreamSocket.receive

    def keep(transport: StreamSocket, until: Deadline) -> bytes:
        received.append(receive(transport, until))
        return received[-1]

    monkeypatch.setattr(StreamSocket, "receive", keep)
    agent = agent_of(guest)
    with pytest.raises(AgentRefused, match="/tmp/汉😀"):
        agent.call("guest-file-open", {"path": "/tmp/汉😀"}, deadline=deadline)
    agent.close()
    assert rb"\u6C49\uD83D\uDE00".lower() in b"".join(received).lower()
    # The only other byte is the sentinel of the sync.
    assert b"".join(received).replace(b"\xff", b"").isascii()
