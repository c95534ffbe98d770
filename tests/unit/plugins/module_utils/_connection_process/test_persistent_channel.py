# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Channels through a connection process: what tasks that share it observe, also when it is killed."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call, KeptOpen, NoReply
from ansible_collections.netless.qga.plugins.module_utils._connection_process import persistent_channel
from ansible_collections.netless.qga.plugins.module_utils._connection_process.persistent_channel import (
    PersistentChannel,
)
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentSilent,
    ChannelClosed,
    EndpointBusy,
    EndpointUnavailable,
    InvalidRequest,
    OutcomeUnknown,
    ProtocolViolation,
    QgaError,
    UnreachableReason,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer, ErrorReply
from ansible_collections.netless.qga.tests.guests.connection_processes import wait_until
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

from .conftest import Share

PING = Call("guest-ping")


class Gate:
    """A command of the agent that answers only when it may."""

    def __init__(self, agent: ScriptedAgent) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        agent.handlers["guest-wait"] = self._wait

    def _wait(self, arguments: t.Mapping[str, t.Any]) -> t.Any:
        self.entered.set()
        assert self.opened.wait(20)
        return arguments


class Background:
    """An exchange of a channel, in a thread."""

    def __init__(self, channel: PersistentChannel, *calls: Call, seconds: float = 20) -> None:
        self.result: t.Any = None
        self._thread = threading.Thread(target=self._run, args=[channel, calls, seconds], daemon=True)
        self._thread.start()

    def _run(self, channel: PersistentChannel, calls: t.Sequence[Call], seconds: float) -> None:
        try:
            self.result = channel.exchange(calls, Deadline.after(seconds))
        except QgaError as exc:
            self.result = exc

    def join(self) -> t.Any:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.result


@pytest.fixture(name="gate")
def fixture_gate(agent: ScriptedAgent) -> t.Iterator[Gate]:
    gate = Gate(agent)
    yield gate
    gate.opened.set()


def ping(channel: PersistentChannel) -> None:
    assert channel.exchange([PING], Deadline.after(20)) == [Answer(0, {})]


@contextlib.contextmanager
def task_process(path: str, command: str) -> t.Iterator[subprocess.Popen[str]]:
    """Run a process of its own that sends a command, and wait until it does."""
    root = pathlib.Path(persistent_channel.__file__).parents[6]
    program = [sys.executable, "-c", _TASK, path, command]
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}
    ) as task:
        assert task.stdout is not None and task.stdout.readline() == "sending\n"
        time.sleep(0.2)
        yield task


_TASK = f"""
import os, sys
from {Address.__module__} import Address
from {PersistentChannel.__module__} import PersistentChannel
from {Call.__module__} import Call
from {Deadline.__module__} import Deadline
channel = PersistentChannel(Address("unix:" + sys.argv[1]), persist=30, owner=os.getppid())
print("sending", flush=True)
channel.exchange([Call(sys.argv[2])], Deadline.after(30))
"""


def commands(agent: ScriptedAgent) -> list[str]:
    """Return the names of the commands that the agent got, without those of syncs."""
    names = [str(request.get("execute")) for request in agent.requests if isinstance(request, dict)]
    return [name for name in names if not name.startswith("guest-sync")]


class Visitors:
    """The connections to an agent."""

    def __init__(self, agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._serve = agent.serve
        monkeypatch.setattr(agent, "serve", self._count_and_serve)

    def _count_and_serve(self, connection: socket.socket) -> None:
        self.count += 1
        self._serve(connection)


@pytest.fixture(name="visitors")
def fixture_visitors(agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch) -> Visitors:
    return Visitors(agent, monkeypatch)


def test_second_task_uses_the_open_channel(
    visitors: Visitors, share: Share, agent: ScriptedAgent, path: str, processes: t.Callable[[], list[int]]
) -> None:
    first = share(path)
    ping(first)
    (pid,) = processes()
    second = share(path)
    ping(second)
    assert processes() == [pid] and visitors.count == 1
    before = len(agent.requests)
    ping(first)
    ping(second)
    # A channel that is in sync needs no other request.
    assert len(agent.requests) == before + 2


def test_guest_that_was_restarted_behind_an_open_channel_is_noticed_before_a_command_is_sent(
    share: Share, agent: ScriptedAgent, path: str
) -> None:
    ping(share(path))
    agent.silent = True
    with pytest.raises(AgentSilent):
        share(path).exchange([Call("guest-get-host-name")], Deadline.after(1))
    agent.silent = False
    ping(share(path))
    assert commands(agent) == ["guest-ping", "guest-ping"]


def test_end_of_the_channel_is_reported_to_a_task_that_had_used_it(
    share: Share, path: str, agent: ScriptedAgent
) -> None:
    other = path.replace("agent", "other")
    channel = share(other)
    with agent.listening(other):
        channel.sync(Deadline.after(10))
    with pytest.raises(ChannelClosed):
        channel.sync(Deadline.after(2))


def test_outcomes_arrive_in_the_order_of_the_calls(share: Share, path: str) -> None:
    calls = [PING, Call("guest-no-such"), Call("guest-shutdown", success_response=False)]
    outcomes = share(path, reply_timeout=1.0).exchange(calls[:2], Deadline.after(20))
    assert outcomes[0] == Answer(0, {})
    assert isinstance(outcomes[1], ErrorReply) and outcomes[1].error_class == "CommandNotFound"
    assert share(path, reply_timeout=0.2).exchange(calls[2:], Deadline.after(20)) == [NoReply()]


def test_exchange_of_no_calls_needs_no_process(share: Share, path: str, processes: t.Callable[[], list[int]]) -> None:
    assert share(path).exchange([], Deadline.after(20)) == []
    assert processes() == []


def test_sync_reports_what_the_process_found(share: Share, path: str) -> None:
    report = share(path).sync(Deadline.after(20))
    assert report.delimited and report.discarded > 0 and report.sync_id > 0


def test_sizes_are_those_of_a_channel_of_the_task(share: Share, path: str) -> None:
    channel = share(path)
    assert (channel.chunk, channel.reply_chunk) == (1 << 20, 1 << 20)
    channel = share(path, chunk=4096)
    assert (channel.chunk, channel.reply_chunk) == (4096, 4096)


def test_lines_of_the_channel_are_logged_by_the_task_that_caused_them(share: Share, path: str) -> None:
    first: list[str] = []
    second: list[str] = []
    ping(share(path, log=first.append))
    ping(share(path, log=second.append))
    assert first[0].startswith("synced after")
    assert [line.split(" ")[0] for line in second[-2:]] == ["guest-ping:", "guest-ping"]


def test_each_task_has_its_own_reply_timeout(share: Share, gate: Gate, path: str) -> None:
    patient, impatient = share(path), share(path, reply_timeout=0.3)
    ping(patient)
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown, match="the answer to guest-wait is lost"):
        impatient.exchange([Call("guest-wait")], Deadline.after(20))
    assert time.monotonic() - started < 15
    gate.opened.set()
    # The late answer is discarded.
    ping(patient)


def test_requests_are_carried_out_in_the_order_in_which_they_were_sent(
    share: Share, agent: ScriptedAgent, gate: Gate, path: str
) -> None:
    running = [Background(share(path), Call("guest-wait"))]
    assert gate.entered.wait(20)
    names = [f"guest-test-{number}" for number in range(5)]
    for name in names:
        agent.handlers[name] = lambda arguments: {}
        running.append(Background(share(path), Call(name)))
        time.sleep(0.05)
    gate.opened.set()
    for each in running:
        assert each.join() == [Answer(0, {})]
    assert commands(agent) == ["guest-wait", *names]


def test_deadline_includes_the_wait_for_other_tasks(share: Share, agent: ScriptedAgent, gate: Gate, path: str) -> None:
    holder = Background(share(path), Call("guest-wait"))
    assert gate.entered.wait(20)
    waiting = share(path, connect_timeout=0.5)
    started = time.monotonic()
    with pytest.raises(EndpointBusy, match="other tasks kept the channel busy"):
        waiting.exchange([PING], Deadline.after(20))
    with pytest.raises(EndpointBusy):
        share(path).sync(Deadline.after(0.5))
    assert 0.9 < time.monotonic() - started < 15
    gate.opened.set()
    assert holder.join() == [Answer(0, {})]
    ping(waiting)
    # What was given up was not carried out.
    assert commands(agent) == ["guest-wait", "guest-ping"]


def test_request_of_a_task_that_ended_is_dropped(share: Share, agent: ScriptedAgent, gate: Gate, path: str) -> None:
    holder = Background(share(path), Call("guest-wait"))
    assert gate.entered.wait(20)
    with task_process(path, "guest-get-host-name") as ended:
        ended.kill()
    last = Background(share(path), PING)
    time.sleep(0.2)
    gate.opened.set()
    assert holder.join() == [Answer(0, {})] and last.join() == [Answer(0, {})]
    assert commands(agent) == ["guest-wait", "guest-ping"]


def test_answer_for_a_task_that_ended_is_discarded(share: Share, agent: ScriptedAgent, gate: Gate, path: str) -> None:
    ping(share(path))
    with task_process(path, "guest-wait") as ended:
        assert gate.entered.wait(20)
        ended.kill()
    waiting = Background(share(path), PING)
    time.sleep(0.2)
    gate.opened.set()
    assert waiting.join() == [Answer(0, {})]
    assert commands(agent) == ["guest-ping", "guest-wait", "guest-ping"]


def _interrupt(number: int, frame: t.Any) -> t.NoReturn:
    raise KeyboardInterrupt


def test_interrupted_request_leaves_no_answer_for_the_next(share: Share, gate: Gate, path: str) -> None:
    channel = share(path)
    before = signal.signal(signal.SIGALRM, _interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(KeyboardInterrupt):
            channel.exchange([Call("guest-wait", {"a": 1})], Deadline.after(20))
    finally:
        signal.signal(signal.SIGALRM, before)
    gate.opened.set()
    ping(channel)


def test_process_killed_while_idle_is_replaced(
    share: Share, path: str, processes: t.Callable[[], list[int]], sockets: t.Callable[[], list[pathlib.Path]]
) -> None:
    connected = share(path)
    ping(connected)
    (pid,) = processes()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not processes())
    assert len(sockets()) == 1
    ping(share(path))
    # This one still has the socket of the dead process.
    ping(connected)
    assert len(processes()) == 1 and len(sockets()) == 1


def test_request_that_did_not_start_survives_the_death_of_the_process(
    share: Share, agent: ScriptedAgent, path: str, processes: t.Callable[[], list[int]]
) -> None:
    channel = share(path)
    ping(channel)
    (pid,) = processes()
    os.kill(pid, signal.SIGSTOP)
    waiting = Background(channel, Call("guest-get-host-name"))
    time.sleep(0.3)
    os.kill(pid, signal.SIGKILL)
    assert waiting.join() == [Answer(0, {"host-name": "scripted"})]
    assert commands(agent) == ["guest-ping", "guest-get-host-name"]


def test_outcome_of_a_started_request_is_unknown_if_the_process_dies(
    share: Share, agent: ScriptedAgent, gate: Gate, path: str, processes: t.Callable[[], list[int]]
) -> None:
    channel = share(path)
    running = Background(channel, Call("guest-wait"))
    assert gate.entered.wait(20)
    (pid,) = processes()
    os.kill(pid, signal.SIGKILL)
    error = running.join()
    assert isinstance(error, OutcomeUnknown)
    assert "the answer to guest-wait is lost" in str(error) and "the connection process" in str(error)
    gate.opened.set()
    ping(channel)
    assert commands(agent) == ["guest-wait", "guest-ping"]


def test_error_of_the_channel_is_raised_and_the_process_stays(
    share: Share, processes: t.Callable[[], list[int]], tmp_path: pathlib.Path
) -> None:
    path = str(tmp_path / "s")
    channel = share(path)
    with pytest.raises(EndpointUnavailable, match="no such socket") as caught:
        channel.exchange([PING], Deadline.after(5))
    assert caught.value.reason is UnreachableReason.ABSENT
    (pid,) = processes()
    with ScriptedAgent().listening(path):
        ping(channel)
    assert processes() == [pid]


def test_hostile_reply_is_a_violation_and_the_next_request_works(share: Share) -> None:
    agent = ScriptedAgent("nan")
    with agent.listening() as path:
        channel = share(path)
        with pytest.raises(ProtocolViolation):
            channel.exchange([PING], Deadline.after(5))
        agent.deliveries.clear()
        ping(channel)


def test_silent_agent_is_reported_in_time(share: Share) -> None:
    with ScriptedAgent("silence").listening() as path:
        started = time.monotonic()
        with pytest.raises(AgentSilent):
            share(path).sync(Deadline.after(1))
        assert time.monotonic() - started < 15


def test_restarted_agent_is_reached_by_the_next_task(share: Share, path: str, agent: ScriptedAgent) -> None:
    other = path.replace("agent", "other")
    for use in (lambda channel: channel.sync(Deadline.after(10)), ping, ping):
        with agent.listening(other):
            use(share(other))


def test_arguments_that_are_not_json_are_refused(share: Share, agent: ScriptedAgent, path: str) -> None:
    channel = share(path)
    for value in (b"bytes", float("nan")):
        with pytest.raises(InvalidRequest, match="guest-ping: its arguments cannot be sent"):
            channel.exchange([Call("guest-ping", {"a": value})], Deadline.after(10))
    ping(channel)
    assert commands(agent) == ["guest-ping"]


def test_large_messages_pass(share: Share, agent: ScriptedAgent, path: str) -> None:
    agent.handlers["guest-echo"] = lambda arguments: arguments
    arguments = {"buf-b64": "QUJD" * (1 << 19)}
    assert share(path).exchange([Call("guest-echo", arguments)], Deadline.after(60)) == [Answer(0, arguments)]


def test_pause_sleeps_in_the_task(share: Share, path: str) -> None:
    started = time.monotonic()
    share(path).pause(20, Deadline.after(0.1))
    assert 0.1 <= time.monotonic() - started < 15


def test_drop_closes_the_channel_of_the_process(
    visitors: Visitors, share: Share, path: str, processes: t.Callable[[], list[int]]
) -> None:
    channel = share(path)
    ping(channel)
    before = processes()
    assert isinstance(channel, KeptOpen)
    channel.drop()
    ping(channel)
    assert processes() == before and visitors.count == 2


def test_drop_starts_no_process(share: Share, path: str, processes: t.Callable[[], list[int]]) -> None:
    share(path).drop()
    assert processes() == []
