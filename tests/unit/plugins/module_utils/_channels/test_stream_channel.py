# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The channel over a real socket, with agents of every version: calls that are answered."""

from __future__ import annotations

import itertools
import threading
import typing as t
from collections import Counter, deque

import pytest

from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call, NoReply
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._transports.stream_socket import StreamSocket
from ansible_collections.netless.qga.plugins.module_utils._transports.unix import UnixConnector
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    InvalidRequest,
    OutcomeUnknown,
    ProtocolViolation,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer, ErrorReply
from ansible_collections.netless.qga.tests.guests.scripted_agent import NO_REPLY, STRAY_FF, ScriptedAgent, Step

from ..conftest import Dial

PING = Call("guest-ping")


def soon() -> Deadline:
    """Return a deadline that no call here reaches, even on a slow machine."""
    return Deadline.after(30)


def commands(agent: ScriptedAgent) -> list[str]:
    """Return the commands that the agent received."""
    return [request["execute"] for request in agent.requests]


def values(channel: StreamChannel, *calls: Call) -> list[t.Any]:
    """Return the values that the calls return."""
    outcomes = channel.exchange(calls, soon())
    return [outcome.value if isinstance(outcome, Answer) else outcome for outcome in outcomes]


def count_up(agent: ScriptedAgent) -> None:
    """Make guest-get-time return how often it was carried out, so that every answer is different."""
    numbers = itertools.count(1)
    agent.handlers["guest-get-time"] = lambda arguments: next(numbers)


COUNT = Call("guest-get-time")


def test_channel_syncs_before_the_first_call_only(dial: Dial) -> None:
    agent = ScriptedAgent()
    channel = dial(agent)
    assert values(channel, PING) == [{}]
    assert values(channel, PING, PING) == [{}, {}]
    assert agent.received.startswith(b'\xff{"execute":"guest-sync-delimited"')
    assert commands(agent) == ["guest-sync-delimited", "guest-ping", "guest-ping", "guest-ping"]


def test_sync_returns_a_report(dial: Dial) -> None:
    agent = ScriptedAgent("stale")
    channel = dial(agent)
    report = channel.sync(soon())
    assert report.sync_id == agent.requests[0]["arguments"]["id"]
    assert report.discarded == len(agent.greeting) + len(STRAY_FF)
    assert report.delimited and report.seconds >= 0
    assert values(channel, PING) == [{}]


@pytest.mark.parametrize(
    "old", [(), ("no_ids",), ("ignores_ids",), ("no_delimited",), ("no_ids", "no_delimited", "stale")]
)
@pytest.mark.parametrize("delivery", ["modern", "slow", "stale"])
def test_calls_work_with_agents_of_every_age(dial: Dial, old: tuple[str, ...], delivery: str) -> None:
    agent = ScriptedAgent(*old, delivery)
    count_up(agent)
    channel = dial(agent)
    assert values(channel, COUNT, COUNT) == [1, 2]
    assert values(channel, COUNT) == [3]
    refused = Call("guest-nope")
    (refusal,) = channel.exchange([refused], soon())
    assert isinstance(refusal, ErrorReply) and refusal.error_class == "CommandNotFound"
    assert values(channel, PING) == [{}]


def test_plain_sync_is_used_if_delimited_sync_is_missing(dial: Dial) -> None:
    agent = ScriptedAgent("no_delimited")
    report = dial(agent).sync(soon())
    assert not report.delimited
    assert commands(agent) == ["guest-sync-delimited", "guest-sync"]


def test_lost_sync_is_sent_again(dial: Dial) -> None:
    agent = ScriptedAgent()
    agent.handlers["guest-sync-delimited"] = lambda arguments: NO_REPLY if len(agent.requests) == 1 else arguments["id"]
    assert values(dial(agent, connect_timeout=3.0), PING) == [{}]
    assert commands(agent) == ["guest-sync-delimited", "guest-sync-delimited", "guest-ping"]


def test_unanswered_requests_fit_a_serial_port() -> None:
    in_flight: deque[int] = deque()
    most = 0

    class WatchedTransport(StreamSocket):
        def send(self, data: bytes, deadline: Deadline) -> None:
            nonlocal most
            in_flight.append(len(data))
            most = max(most, sum(in_flight))
            super().send(data, deadline)

        def receive(self, deadline: Deadline) -> bytes:
            received = super().receive(deadline)
            for dummy in range(received.count(b"\n")):
                if in_flight:
                    in_flight.popleft()
            return received

    class WatchedEndpoint(UnixConnector):
        def connect(self, deadline: Deadline) -> StreamSocket:
            transport = super().connect(deadline)
            channel = transport._socket  # pylint: disable=protected-access
            return WatchedTransport(self.name, channel, transport.no_reply_error)

    agent = ScriptedAgent()
    with agent.listening() as path:
        channel = StreamChannel(WatchedEndpoint(path))
        assert values(channel, *[PING] * 1000) == [{}] * 1000
        channel.close()
    # Nearly all of the room is used.
    assert 4000 < most <= 4096


def test_large_requests_and_replies_pass(dial: Dial) -> None:
    agent = ScriptedAgent()
    agent.handlers["guest-file-write"] = lambda arguments: {"count": len(arguments["buf-b64"])}
    agent.handlers["guest-file-read"] = lambda arguments: {"buf-b64": "A" * arguments["count"]}
    channel = dial(agent)
    size = 3_000_000
    written, read = values(
        channel,
        Call("guest-file-write", {"buf-b64": "A" * size}),
        Call("guest-file-read", {"count": size}),
    )
    assert (written, len(read["buf-b64"])) == ({"count": size}, size)


def test_silent_command_succeeds_at_the_deadline(dial: Dial) -> None:
    agent = ScriptedAgent()
    channel = dial(agent)
    shutdown = Call("guest-shutdown", success_response=False)
    assert channel.exchange([shutdown], Deadline.after(0.3)) == [NoReply()]
    assert values(channel, PING) == [{}]
    assert commands(agent).count("guest-shutdown") == 1


def test_silent_command_succeeds_at_the_end_of_the_channel(dial: Dial) -> None:
    agent = ScriptedAgent()
    channel = dial(agent)
    agent.handlers["guest-shutdown"] = hang_up
    assert channel.exchange([Call("guest-shutdown", success_response=False)], soon()) == [NoReply()]
    assert values(channel, PING) == [{}]


@pytest.mark.parametrize("ids", ["modern", "no_ids", "ignores_ids"])
def test_error_of_a_silent_command_is_returned(dial: Dial, ids: str) -> None:
    agent = ScriptedAgent(ids)
    agent.disabled.add("guest-shutdown")
    (outcome,) = dial(agent).exchange([Call("guest-shutdown", success_response=False)], soon())
    assert isinstance(outcome, ErrorReply) and "disabled" in outcome.desc


def test_silent_command_runs_once_on_an_agent_that_refuses_ids(dial: Dial) -> None:
    agent = ScriptedAgent("no_ids")
    shutdowns: list[dict[str, t.Any]] = []

    def shut_down(arguments: dict[str, t.Any]) -> object:
        shutdowns.append(arguments)
        return NO_REPLY

    agent.handlers["guest-shutdown"] = shut_down
    call = Call("guest-shutdown", {"mode": "halt"}, success_response=False)
    assert dial(agent).exchange([call], Deadline.after(0.5)) == [NoReply()]
    assert shutdowns == [{"mode": "halt"}]


def test_restarted_agent_is_reconnected(dial: Dial) -> None:
    with ScriptedAgent().listening() as path:
        channel = dial(path)
        assert values(channel, PING) == [{}]
    # The directory of the first socket is gone.
    new = path.replace("/agent.sock", "-again.sock")
    agent = ScriptedAgent()
    with agent.listening(new):
        channel = dial(new)
        assert values(channel, PING) == [{}]
    other = ScriptedAgent("no_ids")
    with other.listening(new):
        assert values(channel, PING) == [{}]
    assert commands(other) == ["guest-sync-delimited", "guest-sync-delimited", "guest-ping"]


@pytest.mark.parametrize("ids", ["modern", "ignores_ids"])
@pytest.mark.parametrize(
    "leftover",
    [
        b'{"return": "left over"}\n',
        b'{"return": "left ov',
        b'{"event": "X"}\n',
        b"noise\n",
        b"noise",
        b'\xff{"return": 1}\n',
    ],
)
@pytest.mark.parametrize("when", ["with the answer", "after the answer"])
def test_unrequested_bytes_are_not_an_answer(dial: Dial, ids: str, leftover: bytes, when: str) -> None:
    agent = ScriptedAgent(ids)
    count_up(agent)
    arrived = threading.Event()

    def add_leftover(line: bytes) -> t.Iterable[Step]:
        arrived.clear()
        if when == "with the answer":
            yield line + leftover
        else:
            yield line
            yield leftover
        arrived.set()

    agent.deliveries.append(add_leftover)
    channel = dial(agent)
    for expected in range(1, 4):
        assert values(channel, COUNT) == [expected]
        assert arrived.wait(30)
    if when == "after the answer":
        return
    if ids == "modern" and leftover in (b'{"return": "left ov', b"noise\n", b"noise"):
        # With ids both are sent at a time, and the line between their answers is no JSON.
        with pytest.raises(ProtocolViolation, match="not JSON"):
            values(channel, COUNT, COUNT)
        assert values(channel, COUNT) == [6]
    else:
        assert values(channel, COUNT, COUNT) == [4, 5]


def test_invalid_arguments_are_refused_before_sending(dial: Dial) -> None:
    agent = ScriptedAgent()
    channel = dial(agent)
    with pytest.raises(InvalidRequest):
        channel.exchange([Call("guest-exec", {"path": "a\0b"})], soon())
    assert values(channel, PING) == [{}]
    assert "guest-exec" not in commands(agent)


def test_logs_and_errors_show_no_contents(dial: Dial) -> None:
    log: list[str] = []
    agent = ScriptedAgent("stale")
    agent.handlers["guest-secret"] = lambda arguments: {"secret": "TOPSECRET"}
    channel = dial(agent, log=log.append, reply_timeout=0.3)
    call = Call("guest-secret", {"password": "TOPSECRET"})
    assert values(channel, call) == [{"secret": "TOPSECRET"}]
    agent.handlers["guest-secret"] = lambda arguments: NO_REPLY
    with pytest.raises(OutcomeUnknown) as caught:
        channel.exchange([call], soon())
    shown = "\n".join([*log, str(caught.value), repr(call)])
    assert "TOPSECRET" not in shown
    assert Counter(word in shown for word in ("guest-secret", "synced", "bytes sent", "answered")) == {True: 4}


def hang_up(arguments: dict[str, t.Any]) -> t.NoReturn:
    """Handle a command by ending the connection instead of answering."""
    raise ConnectionError
