# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What libvirt's errors mean, of all its versions."""

from __future__ import annotations

import sys
import threading
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call, NoReply
from ansible_collections.netless.qga.plugins.module_utils._channels.libvirt_channel import LibvirtChannel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    AgentSilent,
    EndpointBusy,
    EndpointUnavailable,
    InvalidRequest,
    LibraryMissing,
    OutcomeUnknown,
    ProtocolViolation,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._libvirt.hypervisor import (
    NEWER_CODES,
    Failure,
    Hypervisor,
)


@pytest.fixture
def hypervisor(monkeypatch: pytest.MonkeyPatch) -> Hypervisor:
    hypervisor = Hypervisor()
    hypervisor.install(monkeypatch)
    return hypervisor


def call(command: str = "guest-ping", *, domain: str = "db1", seconds: float = 5, silent: bool = False) -> t.Any:
    channel = LibvirtChannel(domain, "qemu:///system")
    try:
        return channel.exchange([Call(command, success_response=not silent)], Deadline.after(seconds))[0]
    finally:
        channel.close()


def test_a_command_and_its_answer(hypervisor: Hypervisor) -> None:
    hypervisor.replies = ['{"return": {"host-name": "db1"}}']
    channel = LibvirtChannel("db1", "qemu:///system")
    agent = Agent(channel)
    assert agent.call("guest-get-host-name", deadline=Deadline.after(5)) == {"host-name": "db1"}
    assert hypervisor.requests == [('{"execute":"guest-get-host-name","arguments":{}}', 4)]
    agent.close()
    agent.close()
    assert hypervisor.closed


def test_a_domain_by_its_uuid(hypervisor: Hypervisor) -> None:
    hypervisor.replies = ['{"return": {}}']
    assert call(domain="4dea22b3-1d52-d8f3-2516-782e98ab3fa0").value == {}


@pytest.mark.parametrize(
    ("failure", "kind", "message"),
    [
        (Failure(55, "domain is not running"), EndpointUnavailable, "the domain is off"),
        (Failure(74), EndpointUnavailable, "name='org.qemu.guest_agent.0'"),
        (Failure(29), EndpointUnavailable, "read-only"),
        (Failure(88), EndpointUnavailable, r"forbids it; domain\.write is needed"),
        (Failure(86, "Guest agent not available for now"), OutcomeUnknown, "the answer to guest-ping is lost"),
        (Failure(112), OutcomeUnknown, "the answer to guest-ping is lost"),
        (Failure(39, "Unable to encode message payload"), OutcomeUnknown, "Unable to encode message payload"),
        (Failure(1, "internal error: malformed return value"), OutcomeUnknown, "malformed return value"),
        (Failure(1, "malformed\n'" + "x" * 9000), OutcomeUnknown, r"malformed 'x{200,300}\.\.\.$"),
        (Failure(55, "x" * 9000), EndpointUnavailable, r"the domain is off: x{200,300}\.\.\.$"),
        (Failure(86, "QEMU guest agent is not connected" + "x" * 9000), AgentSilent, r"x{200,300}\.\.\.\)$"),
    ],
)
def test_errors_are_told_apart(
    hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch, failure: Failure, kind: type[Exception], message: str
) -> None:
    for name, code in NEWER_CODES.items():
        monkeypatch.setattr(sys.modules["libvirt"], name, code, raising=False)
    hypervisor.replies = [failure]
    with pytest.raises(kind, match=message) as caught:
        call()
    assert caught.type is kind
    assert "libvirt domain db1 on qemu:///system" in str(caught.value)
    assert len(hypervisor.requests) == 1


def test_what_libvirt_says_when_it_is_connected_to_is_cut(hypervisor: Hypervisor) -> None:
    hypervisor.open_failures = [Failure(38, "x" * 9000)]
    with pytest.raises(EndpointUnavailable, match=r"qemu:///system: x{200,300}\.\.\.$"):
        call()


def test_no_such_domain(hypervisor: Hypervisor) -> None:
    with pytest.raises(EndpointUnavailable, match="there is no such domain: no domain with matching name 'db2'"):
        call(domain="db2")


def test_a_hypervisor_that_refuses(hypervisor: Hypervisor) -> None:
    hypervisor.open_failures = [Failure(45, "authentication failed")]
    with pytest.raises(EndpointUnavailable, match="rejected the authentication: authentication failed"):
        call()


def test_an_agent_that_is_not_connected(hypervisor: Hypervisor) -> None:
    hypervisor.replies = [Failure(86, "Guest agent is not responding: QEMU guest agent is not connected")]
    with pytest.raises(AgentSilent, match="no guest agent is connected"):
        call("guest-shutdown", silent=True)


def test_an_agent_that_libvirt_gave_up(hypervisor: Hypervisor) -> None:
    hypervisor.replies = [Failure(86, "QEMU guest agent is not available due to an error")]
    with pytest.raises(AgentSilent, match="restart qemu-guest-agent"):
        call()


@pytest.mark.parametrize(("state", "message"), [(3, "virsh resume"), (5, "is off"), (6, "crashed"), (7, "dompmwakeup")])
def test_a_domain_that_does_not_run_is_not_asked(hypervisor: Hypervisor, state: int, message: str) -> None:
    hypervisor.states = [state]
    with pytest.raises(EndpointUnavailable, match=message):
        call()
    assert hypervisor.requests == []


def test_a_domain_that_was_paused_meanwhile(hypervisor: Hypervisor) -> None:
    hypervisor.states = [1, 3]
    hypervisor.replies = [Failure(86)]
    with pytest.raises(OutcomeUnknown, match="The domain is paused"):
        call()


def test_a_connection_that_broke_in_a_call_is_opened_anew(hypervisor: Hypervisor) -> None:
    channel = LibvirtChannel("db1", "qemu:///system")

    def breaks(*arguments: t.Any) -> None:
        hypervisor.alive = False
        # The code of the agent's own errors too.
        raise Failure(1, "internal error: client socket is closed: 'guest-ping'")

    with pytest.MonkeyPatch.context() as context:
        context.setattr(sys.modules["libvirt_qemu"], "qemuAgentCommand", breaks)
        with pytest.raises(OutcomeUnknown, match="client socket is closed"):
            channel.exchange([Call("guest-ping")], Deadline.after(5))
    # A libvirtd that was restarted takes a moment to find the agents.
    hypervisor.replies = [Failure(86, "QEMU guest agent is not connected"), '{"return": {}}']
    channel.exchange([Call("guest-ping")], Deadline.after(5))
    assert hypervisor.opened == 2 and hypervisor.closed


def test_what_was_answered_before_is_told(hypervisor: Hypervisor) -> None:
    hypervisor.replies = ['{"return": {}}', Failure(55, "domain is not running")]
    with pytest.raises(OutcomeUnknown, match=r"the domain is off.*The agent had already answered 1 of 2 commands"):
        LibvirtChannel("db1", "qemu:///system").exchange([Call("guest-ping")] * 2, Deadline.after(5))


@pytest.fixture(name="released")
def fixture_released() -> t.Iterator[threading.Event]:
    """What hangs in a test waits for it."""
    released = threading.Event()
    yield released
    released.set()


def test_the_next_command_gets_a_new_connection_after_silence(
    hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch, released: threading.Event
) -> None:
    def hanging_once(*arguments: t.Any) -> None:
        monkeypatch.setattr(sys.modules["libvirt_qemu"], "qemuAgentCommand", hypervisor.command)
        released.wait()

    monkeypatch.setattr(sys.modules["libvirt_qemu"], "qemuAgentCommand", hanging_once)
    hypervisor.replies = ['{"return": {}}']
    channel = LibvirtChannel("db1", "qemu:///system", reply_timeout=0.2)
    calls = [Call("guest-suspend-ram", success_response=False), Call("guest-ping")]
    assert channel.exchange(calls, Deadline.after(30)) == [NoReply(), Answer(0, {})]
    assert hypervisor.opened == 2


def test_the_commands_after_silence_are_unknown_if_there_is_no_new_connection(
    hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch, released: threading.Event
) -> None:
    def hanging(*arguments: t.Any) -> None:
        hypervisor.open_failures = [Failure(38, "Connection refused")]
        released.wait()

    monkeypatch.setattr(sys.modules["libvirt_qemu"], "qemuAgentCommand", hanging)
    channel = LibvirtChannel("db1", "qemu:///system", reply_timeout=0.2)
    calls = [Call("guest-suspend-ram", success_response=False), Call("guest-ping")]
    with pytest.raises(OutcomeUnknown, match=r"Connection refused\. The agent had already answered 1 of 2 commands"):
        channel.exchange(calls, Deadline.after(30))


def test_replies_stay_small(hypervisor: Hypervisor) -> None:
    assert LibvirtChannel("db1", "qemu:///system", chunk=4 * 1024 * 1024).chunk == 1024 * 1024
    small = LibvirtChannel("db1", "qemu:///system", chunk=1000)
    assert small.chunk == small.reply_chunk == 1000


@pytest.mark.parametrize(
    ("oversized", "message"),
    [
        (Call("guest-file-read", {"handle": 1, "count": 3 * 1024 * 1024}), "Read 3144704 at most at a time"),
        (Call("guest-file-write", {"handle": 1, "buf-b64": "A" * 4 * 1024 * 1024}), "libvirt no more than 4194304"),
    ],
    ids=["reply", "request"],
)
def test_what_would_break_the_link_to_the_agent_is_not_sent(
    hypervisor: Hypervisor, oversized: Call, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        LibvirtChannel("db1", "qemu:///system").exchange([oversized], Deadline.after(5))
    assert hypervisor.requests == []


@pytest.mark.parametrize("count", [3144704, "many", None])
def test_other_reads_are_sent_as_they_are(hypervisor: Hypervisor, count: t.Any) -> None:
    hypervisor.replies = ['{"return": {}}']
    read = Call("guest-file-read", {"handle": 1, "count": count})
    LibvirtChannel("db1", "qemu:///system").exchange([read], Deadline.after(5))
    assert len(hypervisor.requests) == 1


def test_a_connection_without_the_domain_is_closed(hypervisor: Hypervisor) -> None:
    with pytest.raises(EndpointUnavailable):
        LibvirtChannel("db2", "qemu:///system").sync(Deadline.after(5))
    assert hypervisor.closed


@pytest.mark.parametrize("code", [1, 113])
def test_the_agents_own_error(hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(sys.modules["libvirt"], "VIR_ERR_AGENT_COMMAND_FAILED", 113, raising=False)
    info = '{"return": {"version": "7.2", "supported_commands": [{"name": "guest-file-open", "enabled": true}]}}'
    text = "internal error: unable to execute QEMU agent command 'guest-file-open': failed to open file '/x'"
    hypervisor.replies = [Failure(code, text), info]
    with pytest.raises(AgentRefused, match=r"guest-file-open: failed to open file '/x'$") as caught:
        Agent(LibvirtChannel("db1", "qemu:///system")).call("guest-file-open", deadline=Deadline.after(5))
    assert caught.value.desc == "failed to open file '/x'"


def test_a_busy_agent_is_waited_for(hypervisor: Hypervisor) -> None:
    hypervisor.replies = [Failure(68, "cannot acquire state change lock"), Failure(9, "max_queued"), '{"return": 1}']
    assert call().value == 1


def test_but_not_for_ever(hypervisor: Hypervisor) -> None:
    hypervisor.replies = [Failure(68, "cannot acquire state change lock")] * 100
    with pytest.raises(EndpointBusy, match="another client kept the agent busy all the time: cannot acquire"):
        call(seconds=3)
    assert 1 < len(hypervisor.requests) < 30


def test_silence_is_success_where_it_is_said_to_be(hypervisor: Hypervisor) -> None:
    hypervisor.replies = [Failure(86, "Guest agent disappeared while executing command")]
    assert call("guest-shutdown", silent=True) == NoReply()


@pytest.mark.parametrize("reply", ["", "[1]", "{}", '{"return": NaN}', '{"return": 1', '{"return": 1, "return": 2}'])
def test_a_hostile_reply(hypervisor: Hypervisor, reply: str) -> None:
    hypervisor.replies = [reply]
    with pytest.raises(ProtocolViolation, match="the reply to guest-ping"):
        call()


def test_the_sync_is_answered_by_its_own_id(hypervisor: Hypervisor) -> None:
    hypervisor.replies = ['{"return": 4}']
    with pytest.raises(ProtocolViolation, match="is not its id"):
        LibvirtChannel("db1", "qemu:///system").sync(Deadline.after(5))


def test_arguments_that_are_no_json(hypervisor: Hypervisor) -> None:
    with pytest.raises(InvalidRequest):
        LibvirtChannel("db1", "qemu:///system").exchange([Call("guest-exec", {"arg": object()})], Deadline.after(5))
    assert hypervisor.requests == []


def test_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(LibraryMissing, match="python3-libvirt"):
        call()


@pytest.mark.parametrize("where", ["open", "command"])
def test_a_hypervisor_that_does_not_answer(
    hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch, released: threading.Event, where: str
) -> None:
    def hanging(*arguments: t.Any) -> None:
        released.wait()

    channel = LibvirtChannel("db1", "qemu+ssh://far/system", connect_timeout=0.2)
    if where == "open":
        monkeypatch.setattr(sys.modules["libvirt"], "open", hanging)
    else:
        monkeypatch.setattr(sys.modules["libvirt_qemu"], "qemuAgentCommand", hanging)
    with pytest.raises((EndpointUnavailable, OutcomeUnknown), match="no answer"):
        channel.exchange([Call("guest-ping")], Deadline.after(0.2))
    # What hangs is not touched again: closing it would hang as well.
    channel.close()
    assert not hypervisor.closed
