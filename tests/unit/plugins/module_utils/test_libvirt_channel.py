# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What libvirt's errors mean, of all its versions: most of them no libvirtd here can be made to say.

The library is replaced by one that raises what it is told to; the codes are those of libvirt's virterror.h.
"""

from __future__ import annotations

import sys
import threading
import types
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils.channel import Call, Silence
from ansible_collections.netless.qga.plugins.module_utils.deadline import Deadline
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
from ansible_collections.netless.qga.plugins.module_utils.libvirt_channel import LibvirtChannel

CODES = {
    "VIR_ERR_INTERNAL_ERROR": 1,
    "VIR_ERR_OPERATION_FAILED": 9,
    "VIR_ERR_OPERATION_DENIED": 29,
    "VIR_ERR_SYSTEM_ERROR": 38,
    "VIR_ERR_NO_DOMAIN": 42,
    "VIR_ERR_AUTH_FAILED": 45,
    "VIR_ERR_OPERATION_INVALID": 55,
    "VIR_ERR_OPERATION_TIMEOUT": 68,
    "VIR_ERR_ARGUMENT_UNSUPPORTED": 74,
    "VIR_ERR_AGENT_UNRESPONSIVE": 86,
    "VIR_ERR_ACCESS_DENIED": 88,
}
NEWER_CODES = {"VIR_ERR_AGENT_COMMAND_TIMEOUT": 112, "VIR_ERR_AGENT_COMMAND_FAILED": 113}


class Failure(Exception):
    """libvirt.libvirtError."""

    def __init__(self, code: int, message: str = "says libvirt") -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def get_error_code(self) -> int:
        return self.code

    def get_error_message(self) -> str:
        return self.message


class Hypervisor:
    """A connection, its only domain, and the library's functions, whose answers are set by the test."""

    # pylint: disable=invalid-name  # they are libvirt's

    def __init__(self) -> None:
        self.replies: list[str | Exception] = []
        self.requests: list[tuple[str, int]] = []
        self.open_failures: list[Exception] = []
        self.connected = True
        self.paused = False
        self.alive = True
        self.closed = False
        self.opened = 0

    def open(self, uri: str) -> Hypervisor:
        for failure in self.open_failures:
            raise failure
        self.opened += 1
        return self

    def lookupByName(self, name: str) -> Hypervisor:
        if name != "db1":
            raise Failure(42, f"no domain with matching name '{name}'")
        return self

    def lookupByUUIDString(self, uuid: str) -> Hypervisor:
        if uuid != "4dea22b3-1d52-d8f3-2516-782e98ab3fa0":
            raise Failure(42, "no domain with matching uuid")
        return self

    def XMLDesc(self) -> str:
        state = "connected" if self.connected else "disconnected"
        target = f"<target type='virtio' name='org.qemu.guest_agent.0' state='{state}'/>"
        return f"<domain><devices><channel type='unix'>{target}</channel></devices></domain>"

    def state(self) -> tuple[int, int]:
        return (3 if self.paused else 1), 0

    def isAlive(self) -> bool:
        return self.alive

    def close(self) -> None:
        self.closed = True

    def command(self, domain: Hypervisor, text: str, timeout: int, flags: int) -> str:
        self.requests.append((text, timeout))
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


@pytest.fixture
def hypervisor(monkeypatch: pytest.MonkeyPatch) -> Hypervisor:
    hypervisor = Hypervisor()
    library = types.SimpleNamespace(
        **CODES,
        libvirtError=Failure,
        VIR_DOMAIN_PAUSED=3,
        open=hypervisor.open,
        registerErrorHandler=lambda handler, context: None,
    )
    monkeypatch.setitem(sys.modules, "libvirt", library)
    functions = types.SimpleNamespace(qemuAgentCommand=hypervisor.command)
    monkeypatch.setitem(sys.modules, "libvirt_qemu", functions)
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
    assert hypervisor.requests == [('{"execute":"guest-get-host-name","arguments":{}}', 5)]
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
        (Failure(88), EndpointUnavailable, "domain:write"),
        (Failure(86, "Guest agent not available for now"), OutcomeUnknown, "the answer to guest-ping is lost"),
        (Failure(112), OutcomeUnknown, "the answer to guest-ping is lost"),
        (Failure(38, "Cannot recv data"), EndpointUnavailable, "Cannot recv data"),
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


def test_no_such_domain(hypervisor: Hypervisor) -> None:
    with pytest.raises(EndpointUnavailable, match="there is no such domain: no domain with matching name 'db2'"):
        call(domain="db2")


def test_a_hypervisor_that_refuses(hypervisor: Hypervisor) -> None:
    hypervisor.open_failures = [Failure(45, "authentication failed")]
    with pytest.raises(EndpointUnavailable, match="did not accept who we are: authentication failed"):
        call()


def test_an_agent_that_is_not_connected(hypervisor: Hypervisor) -> None:
    hypervisor.connected = False
    hypervisor.replies = [Failure(86, "Guest agent is not responding")]
    with pytest.raises(AgentSilent, match="no guest agent is connected"):
        call()


def test_a_paused_domain(hypervisor: Hypervisor) -> None:
    hypervisor.paused = True
    hypervisor.replies = [Failure(86)]
    with pytest.raises(OutcomeUnknown, match="The domain is paused"):
        call()


def test_a_connection_that_broke_is_opened_anew(hypervisor: Hypervisor) -> None:
    channel = LibvirtChannel("db1", "qemu:///system")
    hypervisor.alive = False
    hypervisor.replies = [Failure(38, "Broken pipe"), '{"return": {}}']
    with pytest.raises(OutcomeUnknown, match="Broken pipe"):
        channel.exchange([Call("guest-ping")], Deadline.after(5))
    assert hypervisor.closed and hypervisor.opened == 1
    hypervisor.alive = True
    channel.exchange([Call("guest-ping")], Deadline.after(5))
    assert hypervisor.opened == 2


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
    with pytest.raises(EndpointBusy, match="another client kept the agent busy"):
        call(seconds=0.5)
    assert 1 < len(hypervisor.requests) < 10


def test_silence_is_success_where_it_is_said_to_be(hypervisor: Hypervisor) -> None:
    hypervisor.replies = [Failure(86)]
    assert call("guest-shutdown", silent=True) == Silence()


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
def test_a_hypervisor_that_does_not_answer(hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    released = threading.Event()

    def hanging(*arguments: t.Any) -> None:
        released.wait()

    channel = LibvirtChannel("db1", "qemu+ssh://far/system", connect_timeout=0.2, grace=0.2)
    if where == "open":
        monkeypatch.setattr(sys.modules["libvirt"], "open", hanging)
    else:
        monkeypatch.setattr(sys.modules["libvirt_qemu"], "qemuAgentCommand", hanging)
    with pytest.raises((EndpointUnavailable, OutcomeUnknown), match="no answer from libvirt in time"):
        channel.exchange([Call("guest-ping")], Deadline.after(0.2))
    # What hangs is not touched again: closing it would hang as well.
    channel.close()
    assert not hypervisor.closed
    released.set()
