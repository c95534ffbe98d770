# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The channel through libvirt, and what the errors of all versions of libvirt mean for a call."""

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
from ansible_collections.netless.qga.tests.guests.libvirt_library import NEWER_CODES
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._libvirt.hypervisor import (
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


def test_agent_gets_the_answer_to_its_command(hypervisor: Hypervisor) -> None:
    hypervisor.replies = ['{"return": {"host-name": "db1"}}']
    channel = LibvirtChannel("db1", "qemu:///system")
    agent = Agent(channel)
    assert agent.call("guest-get-host-name", deadline=Deadline.after(5)) == {"host-name": "db1"}
    assert hypervisor.requests == [('{"execute":"guest-get-host-name","arguments":{}}', 4)]
    agent.close()
    agent.close()
    assert hypervisor.closed


def test_domain_is_found_by_its_uuid(hypervisor: Hypervisor) -> None:
    hypervisor.replies = ['{"return": {}}']
    assert call(domain="4dea22b3-1d52-d8f3-2516-782e98ab3fa0").value == {}


@pytest.mark.parametrize(
    ("failure", "kind", "message"),
    [
        (Failure(55, "domain is not running"), EndpointUnavailable, "the domain is off"),
        (Failure(3, "virDomainX"), EndpointUnavailable, "this hypervisor has no such function: virDomainX"),
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
def test_libvirt_error_has_its_own_exception(
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


def test_long_error_of_connecting_is_cut(hypervisor: Hypervisor) -> None:
    hypervisor.open_failures = [Failure(38, "x" * 9000)]
    with pytest.raises(EndpointUnavailable, match=r"qemu:///system: x{200,300}\.\.\.$"):
        call()


def test_unknown_domain_is_unavailable(hypervisor: Hypervisor) -> None:
    with pytest.raises(EndpointUnavailable, match="there is no such domain: no domain with matching name 'db2'"):
        call(domain="db2")


def test_failed_authentication_is_unavailable(hypervisor: Hypervisor) -> None:
    hypervisor.open_failures = [Failure(45, "authentication failed")]
    with pytest.raises(EndpointUnavailable, match="rejected the authentication: authentication failed"):
        call()


def test_agent_that_is_not_connected_is_silent(hypervisor: Hypervisor) -> None:
    hypervisor.replies = [Failure(86, "Guest agent is not responding: QEMU guest agent is not connected")]
    with pytest.raises(AgentSilent, match="no guest agent is connected"):
        call("guest-shutdown", silent=True)


def test_agent_with_a_broken_link_is_silent(hypervisor: Hypervisor) -> None:
    hypervisor.replies = [Failure(86, "QEMU guest agent is not available due to an error")]
    with pytest.raises(AgentSilent, match="restart qemu-guest-agent"):
        call()


@pytest.mark.parametrize(("state", "message"), [(3, "virsh resume"), (5, "is off"), (6, "crashed"), (7, "dompmwakeup")])
def test_no_command_is_sent_to_a_domain_that_does_not_run(hypervisor: Hypervisor, state: int, message: str) -> None:
    hypervisor.states = [state]
    with pytest.raises(EndpointUnavailable, match=message):
        call()
    assert hypervisor.requests == []


def test_lost_answer_of_a_paused_domain_names_the_pause(hypervisor: Hypervisor) -> None:
    hypervisor.states = [1, 3]
    hypervisor.replies = [Failure(86)]
    with pytest.raises(OutcomeUnknown, match="The domain is paused"):
        call()


def test_connection_that_broke_in_a_call_is_replaced(hypervisor: Hypervisor) -> None:
    channel = LibvirtChannel("db1", "qemu:///system")

    def break_connection(*arguments: t.Any) -> None:
        hypervisor.alive = False
        # libvirt uses this code for the agent's own errors as well.
        raise Failure(1, "internal error: client socket is closed: 'guest-ping'")

    with pytest.MonkeyPatch.context() as context:
        context.setattr(sys.modules["libvirt_qemu"], "qemuAgentCommand", break_connection)
        with pytest.raises(OutcomeUnknown, match="client socket is closed"):
            channel.exchange([Call("guest-ping")], Deadline.after(5))
    # A libvirtd that was restarted takes a moment to find the agents.
    hypervisor.replies = [Failure(86, "QEMU guest agent is not connected"), '{"return": {}}']
    channel.exchange([Call("guest-ping")], Deadline.after(5))
    assert hypervisor.opened == 2 and hypervisor.closed


def test_partly_answered_exchange_counts_the_answers(hypervisor: Hypervisor) -> None:
    hypervisor.replies = ['{"return": {}}', Failure(55, "domain is not running")]
    with pytest.raises(OutcomeUnknown, match=r"the domain is off.*The agent had already answered 1 of 2 commands"):
        LibvirtChannel("db1", "qemu:///system").exchange([Call("guest-ping")] * 2, Deadline.after(5))


@pytest.fixture(name="released")
def fixture_released() -> t.Iterator[threading.Event]:
    """Provide the event that hanging functions wait for."""
    released = threading.Event()
    yield released
    released.set()


def test_next_command_after_silence_gets_a_new_connection(
    hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch, released: threading.Event
) -> None:
    def hang_once(*arguments: t.Any) -> None:
        monkeypatch.setattr(sys.modules["libvirt_qemu"], "qemuAgentCommand", hypervisor.command)
        released.wait()

    monkeypatch.setattr(sys.modules["libvirt_qemu"], "qemuAgentCommand", hang_once)
    hypervisor.replies = ['{"return": {}}']
    channel = LibvirtChannel("db1", "qemu:///system", reply_timeout=0.2)
    calls = [Call("guest-suspend-ram", success_response=False), Call("guest-ping")]
    assert channel.exchange(calls, Deadline.after(30)) == [NoReply(), Answer(0, {})]
    assert hypervisor.opened == 2


def test_commands_after_silence_are_unknown_without_a_new_connection(
    hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch, released: threading.Event
) -> None:
    def hang(*arguments: t.Any) -> None:
        hypervisor.open_failures = [Failure(38, "Connection refused")]
        released.wait()

    monkeypatch.setattr(sys.modules["libvirt_qemu"], "qemuAgentCommand", hang)
    channel = LibvirtChannel("db1", "qemu:///system", reply_timeout=0.2)
    calls = [Call("guest-suspend-ram", success_response=False), Call("guest-ping")]
    with pytest.raises(OutcomeUnknown, match=r"Connection refused\. The agent had already answered 1 of 2 commands"):
        channel.exchange(calls, Deadline.after(30))


def test_chunk_is_at_most_1_mib(hypervisor: Hypervisor) -> None:
    assert LibvirtChannel("db1", "qemu:///system", chunk=4 * 1024 * 1024).chunk == 1024 * 1024
    small = LibvirtChannel("db1", "qemu:///system", chunk=1000)
    assert small.chunk == small.reply_chunk == 1000


@pytest.mark.parametrize(
    ("oversized", "message"),
    [
        (Call("guest-file-read", {"handle": 1, "count": 3 * 1024 * 1024}), "Read at most 3144704 bytes at a time"),
        (
            Call("guest-file-write", {"handle": 1, "buf-b64": "A" * 4 * 1024 * 1024}),
            "libvirt accepts no more than 4194304",
        ),
    ],
    ids=["reply", "request"],
)
def test_oversized_request_or_reply_is_refused_before_sending(
    hypervisor: Hypervisor, oversized: Call, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        LibvirtChannel("db1", "qemu:///system").exchange([oversized], Deadline.after(5))
    assert hypervisor.requests == []


@pytest.mark.parametrize("count", [3144704, "many", None])
def test_other_reads_are_sent(hypervisor: Hypervisor, count: t.Any) -> None:
    hypervisor.replies = ['{"return": {}}']
    read = Call("guest-file-read", {"handle": 1, "count": count})
    LibvirtChannel("db1", "qemu:///system").exchange([read], Deadline.after(5))
    assert len(hypervisor.requests) == 1


def test_connection_is_closed_if_the_domain_is_unknown(hypervisor: Hypervisor) -> None:
    with pytest.raises(EndpointUnavailable):
        LibvirtChannel("db2", "qemu:///system").sync(Deadline.after(5))
    assert hypervisor.closed


@pytest.mark.parametrize("code", [1, 113])
def test_error_of_the_agent_is_refused_without_libvirts_words(
    hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(sys.modules["libvirt"], "VIR_ERR_AGENT_COMMAND_FAILED", 113, raising=False)
    info = '{"return": {"version": "7.2", "supported_commands": [{"name": "guest-file-open", "enabled": true}]}}'
    text = "internal error: unable to execute QEMU agent command 'guest-file-open': failed to open file '/x'"
    hypervisor.replies = [Failure(code, text), info]
    with pytest.raises(AgentRefused, match=r"guest-file-open: failed to open file '/x'$") as caught:
        Agent(LibvirtChannel("db1", "qemu:///system")).call("guest-file-open", deadline=Deadline.after(5))
    assert caught.value.desc == "failed to open file '/x'"


def test_busy_agent_is_tried_again(hypervisor: Hypervisor) -> None:
    hypervisor.replies = [Failure(68, "cannot acquire state change lock"), Failure(9, "max_queued"), '{"return": 1}']
    assert call().value == 1


def test_busy_agent_is_reported_at_the_deadline(hypervisor: Hypervisor) -> None:
    hypervisor.replies = [Failure(68, "cannot acquire state change lock")] * 100
    with pytest.raises(EndpointBusy, match="another client kept the agent busy all the time: cannot acquire"):
        call(seconds=3)
    assert 1 < len(hypervisor.requests) < 30


def test_silent_command_succeeds_without_a_reply(hypervisor: Hypervisor) -> None:
    hypervisor.replies = [Failure(86, "Guest agent disappeared while executing command")]
    assert call("guest-shutdown", silent=True) == NoReply()


@pytest.mark.parametrize("reply", ["", "[1]", "{}", '{"return": NaN}', '{"return": 1', '{"return": 1, "return": 2}'])
def test_malformed_reply_is_a_violation(hypervisor: Hypervisor, reply: str) -> None:
    hypervisor.replies = [reply]
    with pytest.raises(ProtocolViolation, match="the reply to guest-ping"):
        call()


def test_sync_with_a_foreign_id_is_a_violation(hypervisor: Hypervisor) -> None:
    hypervisor.replies = ['{"return": 4}']
    with pytest.raises(ProtocolViolation, match="is not its id"):
        LibvirtChannel("db1", "qemu:///system").sync(Deadline.after(5))


def test_arguments_that_are_not_json_are_refused(hypervisor: Hypervisor) -> None:
    with pytest.raises(InvalidRequest):
        LibvirtChannel("db1", "qemu:///system").exchange([Call("guest-exec", {"arg": object()})], Deadline.after(5))
    assert hypervisor.requests == []


def test_missing_library_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(LibraryMissing, match="python3-libvirt"):
        call()


@pytest.mark.parametrize("where", ["open", "command"])
def test_hanging_hypervisor_is_reported_and_not_closed(
    hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch, released: threading.Event, where: str
) -> None:
    def hang(*arguments: t.Any) -> None:
        released.wait()

    channel = LibvirtChannel("db1", "qemu+ssh://far/system", connect_timeout=0.2)
    if where == "open":
        monkeypatch.setattr(sys.modules["libvirt"], "open", hang)
    else:
        monkeypatch.setattr(sys.modules["libvirt_qemu"], "qemuAgentCommand", hang)
    with pytest.raises((EndpointUnavailable, OutcomeUnknown), match="no answer"):
        channel.exchange([Call("guest-ping")], Deadline.after(0.2))
    # A hanging connection is not used again: closing it would hang as well.
    channel.close()
    assert not hypervisor.closed
