# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The channel over a real socket, when things go wrong: what is certain is said, and nothing is done twice."""

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


def test_says_that_no_agent_answers(dial: Dial) -> None:
    agent = ScriptedAgent("silence")
    channel = dial(agent, connect_timeout=0.7)
    with pytest.raises(AgentSilent, match=r"unix:.*no guest agent answers"):
        channel.exchange([PING], soon())
    assert set(commands(agent)) == {"guest-sync-delimited"}
    # It is let go, so that the next call begins anew.
    agent.silent = False
    assert values(channel, PING) == [{}]


def test_says_that_somebody_else_holds_the_socket(dial: Dial) -> None:
    with ScriptedAgent().listening() as path, socket.socket(socket.AF_UNIX) as other:
        other.connect(path)
        other.sendall(b'{"execute": "guest-ping"}')
        assert other.recv(1)
        with pytest.raises(EndpointBusy, match="another client holds the socket"):
            dial(path, connect_timeout=0.6).exchange([PING], soon())


def test_says_that_the_queue_is_full(dial: Dial, tmp_path: t.Any) -> None:
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
        # Whoever leaves the queue makes room.
        listener.accept()[0].close()
        with pytest.raises(EndpointBusy):
            dial(path, connect_timeout=0.3).sync(Deadline.after(0.3))
    for client in waiting:
        client.close()


def test_says_that_the_channel_ended_during_the_sync(dial: Dial) -> None:
    agent = ScriptedAgent()
    agent.handlers["guest-sync-delimited"] = hang_up
    with pytest.raises(ChannelClosed, match="the other side closed the socket"):
        dial(agent).exchange([PING], soon())


def test_knows_a_monitor(dial: Dial) -> None:
    agent = ScriptedAgent()
    agent.greeting = b'{"QMP": {"version": {"qemu": {"major": 9}}, "capabilities": ["oob"]}}\n'
    with pytest.raises(ProtocolViolation, match=r"^unix:.*: this is a QEMU monitor"):
        dial(agent).sync(soon())


def test_refuses_a_flood_before_the_sync(dial: Dial) -> None:
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
def test_never_sends_again_what_was_not_answered(dial: Dial, profile: str) -> None:
    agent = ScriptedAgent()
    channel = dial(agent, reply_timeout=0.3)
    values(channel, PING)
    agent.deliveries += ScriptedAgent(profile).deliveries
    with pytest.raises(OutcomeUnknown, match="answer to guest-exec is lost") as caught:
        channel.exchange([Call("guest-exec", {"path": "true"})], soon())
    assert f"{channel.endpoint}: {LOST[profile]}" in str(caught.value)
    agent.deliveries.clear()
    # The next call is on its own, after a sync.
    assert values(channel, PING) == [{}]
    assert commands(agent) == ["guest-sync-delimited", "guest-ping", "guest-exec", "guest-sync-delimited", "guest-ping"]


def test_names_all_commands_whose_answers_are_lost(dial: Dial) -> None:
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
def test_never_takes_a_late_answer(dial: Dial, ids: str) -> None:
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
def test_refuses_what_no_agent_sends_and_goes_on(dial: Dial, profile: str) -> None:
    agent = ScriptedAgent()
    channel = dial(agent, limits=Limits(line=1_000_000))
    values(channel, PING)
    agent.deliveries += ScriptedAgent(profile).deliveries
    with pytest.raises(ProtocolViolation, match=f"^unix:.*: .*{BROKEN[profile]}"):
        channel.exchange([Call("guest-exec")], soon())
    agent.deliveries.clear()
    assert values(channel, PING) == [{}]
    assert commands(agent).count("guest-exec") == 1


def test_refuses_a_reply_that_never_ends(dial: Dial) -> None:
    channel = dial(ScriptedAgent("endless"), limits=Limits(line=1_000_000))
    with pytest.raises(ProtocolViolation, match="a reply of more than 1000000 bytes"):
        channel.exchange([PING], soon())


def test_survives_random_bytes(dial: Dial) -> None:
    agent = ScriptedAgent("random")
    channel = dial(agent, reply_timeout=0.2)
    for dummy in range(5):
        with pytest.raises((OutcomeUnknown, ProtocolViolation)):
            channel.exchange([PING], soon())
    agent.deliveries.clear()
    assert values(channel, PING) == [{}]


@pytest.mark.parametrize("profile", ["unsolicited_event", "unsolicited_reply", "duplicate_replies"])
def test_finds_the_answer_among_what_nobody_asked_for(dial: Dial, profile: str) -> None:
    agent = ScriptedAgent()
    count_up(agent)
    channel = dial(agent)
    values(channel, PING)
    agent.deliveries += ScriptedAgent(profile).deliveries
    assert values(channel, *[COUNT] * 10) == list(range(1, 11))
    assert values(channel, COUNT) == [11]


def test_is_not_kept_busy_by_bytes_that_are_no_answer(dial: Dial) -> None:
    agent = ScriptedAgent()
    channel = dial(agent, reply_timeout=0.5)
    values(channel, PING)
    agent.deliveries.append(lambda line: iter(lambda: b'{"event": "X"}\n' * 10, b""))
    with pytest.raises(OutcomeUnknown, match="no answer for"):
        channel.exchange([Call("guest-exec")], soon())


def test_says_how_far_it_came_when_the_agent_is_gone_between_two_commands(dial: Dial) -> None:
    # Without ids a reply too many is a reason to sync between two commands of one exchange.
    agent = ScriptedAgent("ignores_ids")
    agent.deliveries.append(lambda line: [line + line])
    channel = dial(agent)

    def fall_silent(arguments: dict[str, t.Any]) -> t.Any:
        agent.handlers["guest-sync-delimited"] = hang_up
        return {}

    agent.handlers["guest-exec"] = fall_silent
    with pytest.raises(OutcomeUnknown, match="The agent had already answered 1 of 2 commands"):
        channel.exchange([Call("guest-exec"), PING], soon())


def test_begins_anew_after_arguments_that_cannot_be_sent_behind_others(dial: Dial) -> None:
    agent = ScriptedAgent()
    channel = dial(agent)
    values(channel, PING)
    with pytest.raises(QgaError):
        channel.exchange([COUNT, Call("guest-exec", {"path": "a\0b"})], soon())
    assert values(channel, PING) == [{}]


def test_can_be_closed_and_used_again(dial: Dial) -> None:
    agent = ScriptedAgent()
    channel = dial(agent)
    channel.close()
    assert values(channel, PING) == [{}]
    channel.close()
    channel.close()
    assert values(channel, PING) == [{}]
    assert commands(agent).count("guest-sync-delimited") == 2


def test_is_used_when_it_is_open_only(dial: Dial) -> None:
    channel = dial("/nonexistent")
    with pytest.raises(StateError, match="the channel is not open"):
        channel._connected()  # pylint: disable=protected-access


def test_agrees_with_the_script_on_what_an_answer_is(dial: Dial) -> None:
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
