# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The channel over a real socket, when calls fail: errors report what is certain, and nothing is done twice."""

from __future__ import annotations

import errno
import json
import socket
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentSilent,
    ChannelClosed,
    EndpointBusy,
    OutcomeUnknown,
    ProtocolViolation,
    QgaError,
    StateError,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer
from ansible_collections.netless.qga.plugins.module_utils.framing.limits import Limits
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent, Step

from ..conftest import Dial
from .test_stream_channel import COUNT, PING, commands, count_up, hang_up, soon, values


def test_missing_agent_is_reported_as_silent(dial: Dial) -> None:
    agent = ScriptedAgent("silence")
    channel = dial(agent, connect_timeout=0.7)
    with pytest.raises(AgentSilent, match=r"unix:.*no guest agent answers"):
        channel.exchange([PING], soon())
    assert set(commands(agent)) == {"guest-sync-delimited"}
    # The channel was closed, so that the next call starts again.
    agent.silent = False
    assert values(channel, PING) == [{}]


def test_socket_of_another_client_is_reported_as_busy(dial: Dial) -> None:
    with ScriptedAgent().listening() as path, socket.socket(socket.AF_UNIX) as other:
        other.connect(path)
        other.sendall(b'{"execute": "guest-ping"}')
        assert other.recv(1)
        with pytest.raises(EndpointBusy, match="another client holds the socket"):
            dial(path, connect_timeout=0.6).exchange([PING], soon())


def test_full_queue_is_reported_as_busy(dial: Dial, tmp_path: t.Any) -> None:
    path = str(tmp_path / "s")
    waiting = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        while True:
            client = socket.socket(socket.AF_UNIX)
            waiting.append(client)
            client.setblocking(False)
            code = client.connect_ex(path)
            if code:
                assert code == errno.EAGAIN
                break
        with pytest.raises(EndpointBusy, match="another client holds the socket"):
            dial(path, connect_timeout=0.3).exchange([PING], soon())
        # A client that leaves the queue makes room.
        listener.accept()[0].close()
        with pytest.raises(EndpointBusy):
            dial(path, connect_timeout=0.3).sync(Deadline.after(0.3))
    for client in waiting:
        client.close()


def test_channel_that_ends_during_the_sync_is_reported(dial: Dial) -> None:
    agent = ScriptedAgent()
    agent.handlers["guest-sync-delimited"] = hang_up
    with pytest.raises(ChannelClosed, match="the other side closed the socket"):
        dial(agent).exchange([PING], soon())


def test_monitor_is_recognised(dial: Dial) -> None:
    agent = ScriptedAgent()
    agent.greeting = b'{"QMP": {"version": {"qemu": {"major": 9}}, "capabilities": ["oob"]}}\n'
    with pytest.raises(ProtocolViolation, match=r"^unix:.*: this is a QEMU monitor"):
        dial(agent).sync(soon())


def test_flood_before_the_sync_is_refused(dial: Dial) -> None:
    agent = ScriptedAgent()
    agent.greeting = b"x" * 200_000
    with pytest.raises(ProtocolViolation, match="more than 100000 bytes"):
        dial(agent, limits=Limits(discard=100_000)).sync(soon())


LOST = {
    "cut": "the other side closed the socket",
    "hangs_up": "the other side closed the socket",
    "never": "no answer for",
    "foreign_ids": "no answer for",
}


@pytest.mark.parametrize("profile", LOST)
def test_unanswered_command_is_never_sent_again(dial: Dial, profile: str) -> None:
    agent = ScriptedAgent()
    channel = dial(agent, reply_timeout=0.3)
    values(channel, PING)
    agent.deliveries += ScriptedAgent(profile).deliveries
    with pytest.raises(OutcomeUnknown, match="answer to guest-exec is lost") as caught:
        channel.exchange([Call("guest-exec", {"path": "true"})], soon())
    assert f"{channel.endpoint}: {LOST[profile]}" in str(caught.value)
    agent.deliveries.clear()
    # The next call is sent alone, after a sync.
    assert values(channel, PING) == [{}]
    assert commands(agent) == ["guest-sync-delimited", "guest-ping", "guest-exec", "guest-sync-delimited", "guest-ping"]


def test_lost_reply_error_names_all_commands(dial: Dial) -> None:
    agent = ScriptedAgent()
    channel = dial(agent, reply_timeout=0.3)
    values(channel, PING)

    def answer_first(line: bytes) -> t.Iterable[Step]:
        return [line] if len(agent.requests) == 3 else []

    agent.deliveries.append(answer_first)
    calls = [Call("guest-get-host-name"), Call("guest-exec"), PING, Call("guest-exec")]
    with pytest.raises(OutcomeUnknown, match="answer to guest-exec, guest-ping is lost"):
        channel.exchange(calls, soon())


@pytest.mark.parametrize("ids", ["modern", "ignores_ids", "no_ids"])
def test_late_answer_is_not_taken_for_another(dial: Dial, ids: str) -> None:
    agent = ScriptedAgent(ids)
    count_up(agent)
    channel = dial(agent, reply_timeout=0.2)
    assert values(channel, COUNT) == [1]
    late: list[Step] = [0.6]
    agent.deliveries.append(lambda line: [*late, line])
    with pytest.raises(OutcomeUnknown):
        channel.exchange([COUNT], soon())
    late.clear()
    assert values(channel, COUNT) == [3]
    assert values(channel, COUNT) == [4]


BROKEN = {
    "both": "both or neither",
    "deep": "nested more than",
    "duplicate_keys": "a member given twice",
    "garbage": "not JSON",
    "huge": "a reply of more than 1000000 bytes",
    "invalid_utf8": "invalid UTF-8",
    "nan": "not finite",
    "neither": "both or neither",
    "non_object": "not an object",
    "nul": "not JSON",
}


@pytest.mark.parametrize("profile", BROKEN)
def test_violation_is_reported_and_the_next_call_works(dial: Dial, profile: str) -> None:
    agent = ScriptedAgent()
    channel = dial(agent, limits=Limits(line=1_000_000))
    values(channel, PING)
    agent.deliveries += ScriptedAgent(profile).deliveries
    with pytest.raises(ProtocolViolation, match=f"^unix:.*: .*{BROKEN[profile]}"):
        channel.exchange([Call("guest-exec")], soon())
    agent.deliveries.clear()
    assert values(channel, PING) == [{}]
    assert commands(agent).count("guest-exec") == 1


def test_endless_reply_is_refused(dial: Dial) -> None:
    channel = dial(ScriptedAgent("endless"), limits=Limits(line=1_000_000))
    with pytest.raises(ProtocolViolation, match="a reply of more than 1000000 bytes"):
        channel.exchange([PING], soon())


def test_calls_work_after_random_bytes(dial: Dial) -> None:
    agent = ScriptedAgent("random")
    channel = dial(agent, reply_timeout=0.2)
    for dummy in range(5):
        with pytest.raises((OutcomeUnknown, ProtocolViolation)):
            channel.exchange([PING], soon())
    agent.deliveries.clear()
    assert values(channel, PING) == [{}]


@pytest.mark.parametrize("profile", ["unsolicited_event", "unsolicited_reply", "duplicate_replies"])
def test_answer_is_found_among_unrequested_lines(dial: Dial, profile: str) -> None:
    agent = ScriptedAgent()
    count_up(agent)
    channel = dial(agent)
    values(channel, PING)
    agent.deliveries += ScriptedAgent(profile).deliveries
    assert values(channel, *[COUNT] * 10) == list(range(1, 11))
    assert values(channel, COUNT) == [11]


def test_endless_unrequested_lines_do_not_delay_the_timeout(dial: Dial) -> None:
    agent = ScriptedAgent()
    channel = dial(agent, reply_timeout=0.5)
    values(channel, PING)
    agent.deliveries.append(lambda line: iter(lambda: b'{"event": "X"}\n' * 10, b""))
    with pytest.raises(OutcomeUnknown, match="no answer for"):
        channel.exchange([Call("guest-exec")], soon())


def test_partly_answered_exchange_counts_the_answers(dial: Dial) -> None:
    # Without ids, an extra reply forces a sync between two commands of one exchange.
    agent = ScriptedAgent("ignores_ids")
    agent.deliveries.append(lambda line: [line + line])
    channel = dial(agent)

    def fall_silent(arguments: dict[str, t.Any]) -> t.Any:
        agent.handlers["guest-sync-delimited"] = hang_up
        return {}

    agent.handlers["guest-exec"] = fall_silent
    with pytest.raises(OutcomeUnknown, match="The agent had already answered 1 of 2 commands"):
        channel.exchange([Call("guest-exec"), PING], soon())


def test_invalid_arguments_after_other_calls_leave_the_channel_usable(dial: Dial) -> None:
    agent = ScriptedAgent()
    channel = dial(agent)
    values(channel, PING)
    with pytest.raises(QgaError):
        channel.exchange([COUNT, Call("guest-exec", {"path": "a\0b"})], soon())
    assert values(channel, PING) == [{}]


def test_closed_channel_can_be_used_again(dial: Dial) -> None:
    agent = ScriptedAgent()
    channel = dial(agent)
    channel.close()
    assert values(channel, PING) == [{}]
    channel.close()
    channel.close()
    assert values(channel, PING) == [{}]
    assert commands(agent).count("guest-sync-delimited") == 2


def test_closed_channel_has_no_transport(dial: Dial) -> None:
    channel = dial("/nonexistent")
    with pytest.raises(StateError, match="the channel is not open"):
        channel._connected()  # pylint: disable=protected-access


def test_values_survive_the_round_trip(dial: Dial) -> None:
    agent = ScriptedAgent()
    agent.handlers["guest-echo"] = lambda arguments: arguments
    value: dict[str, t.Any] = {
        "text": 'é "\\\n😀\x7f',
        "numbers": [0, -1, 2**63, 1.5],
        "none": None,
        "nested": [[[{}]]],
    }
    (outcome,) = dial(agent).exchange([Call("guest-echo", value)], soon())
    assert isinstance(outcome, Answer)
    assert json.dumps(outcome.value, sort_keys=True) == json.dumps(value, sort_keys=True)
