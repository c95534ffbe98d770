# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""libvirt's native calls for commands of the agent, and what their errors mean."""

from __future__ import annotations

import base64
import json
import sys
import threading
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.libvirt_channel import LibvirtChannel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._schema.validation import check_reply
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    AgentSilent,
    EndpointUnavailable,
    OutcomeUnknown,
)
from ansible_collections.netless.qga.tests.guests.libvirt_library import NEWER_CODES
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._libvirt.hypervisor import (
    Failure,
    Hypervisor,
)

BLOCK = -2
SILENT_COMMANDS = ("guest-shutdown", "guest-suspend-disk", "guest-suspend-hybrid", "guest-suspend-ram")
PASSWORD = base64.b64encode("geheim €".encode()).decode()


@pytest.fixture(name="hypervisor")
def fixture_hypervisor(monkeypatch: pytest.MonkeyPatch) -> Hypervisor:
    hypervisor = Hypervisor()
    hypervisor.install(monkeypatch)
    return hypervisor


@pytest.fixture(name="agent")
def fixture_agent() -> t.Iterator[Agent]:
    agent = Agent(LibvirtChannel("db1", "qemu:///system", native_calls=True), check_reply=check_reply)
    yield agent
    agent.close()


def raising(failure: Failure) -> t.Callable[..., t.NoReturn]:
    def refuse(*arguments: t.Any) -> t.NoReturn:
        raise failure

    return refuse


def call(agent: Agent, command: str, arguments: dict[str, t.Any] | None = None, *, seconds: float = 5) -> t.Any:
    if command in SILENT_COMMANDS:
        return agent.call_silent(command, arguments, deadline=Deadline.after(seconds))
    return agent.call(command, arguments, deadline=Deadline.after(seconds))


@pytest.mark.parametrize(
    ("command", "arguments", "expected", "returned", "reply"),
    [
        ("guest-fsfreeze-freeze", {}, ("fsFreeze", None, 0), 2, 2),
        ("guest-fsfreeze-freeze-list", {}, ("fsFreeze", None, 0), 2, 2),
        ("guest-fsfreeze-freeze-list", {"mountpoints": ["/", "/srv"]}, ("fsFreeze", ["/", "/srv"], 0), 1, 1),
        ("guest-fsfreeze-thaw", {}, ("fsThaw", None, 0), 2, 2),
        ("guest-fstrim", {}, ("fSTrim", None, 0, 0), 0, {"paths": []}),
        ("guest-fstrim", {"minimum": 65536}, ("fSTrim", None, 65536, 0), 0, {"paths": []}),
        ("guest-get-time", {}, ("getTime", 0), {"seconds": 1700000000, "nseconds": 5}, 1700000000000000005),
        (
            "guest-set-time",
            {"time": 1700000000000000005},
            ("setTime", {"seconds": 1700000000, "nseconds": 5}, 0),
            0,
            {},
        ),
        ("guest-set-time", {}, ("setTime", None, 1), 0, {}),
        (
            "guest-set-user-password",
            {"username": "bob", "password": PASSWORD, "crypted": False},
            ("setUserPassword", "bob", "geheim €", 0),
            0,
            {},
        ),
        (
            "guest-set-user-password",
            {"username": "bob", "password": PASSWORD, "crypted": True},
            ("setUserPassword", "bob", "geheim €", 1),
            0,
            {},
        ),
        (
            "guest-ssh-get-authorized-keys",
            {"username": "bob"},
            ("authorizedSSHKeysGet", "bob", 0),
            ["ssh-ed25519 A"],
            {"keys": ["ssh-ed25519 A"]},
        ),
        ("guest-ssh-get-authorized-keys", {"username": "bob"}, ("authorizedSSHKeysGet", "bob", 0), None, {"keys": []}),
        (
            "guest-ssh-add-authorized-keys",
            {"username": "bob", "keys": ["ssh-ed25519 A"]},
            ("authorizedSSHKeysSet", "bob", ["ssh-ed25519 A"], 1),
            0,
            {},
        ),
        (
            "guest-ssh-add-authorized-keys",
            {"username": "bob", "keys": [], "reset": True},
            ("authorizedSSHKeysSet", "bob", [], 0),
            0,
            {},
        ),
        (
            "guest-ssh-remove-authorized-keys",
            {"username": "bob", "keys": ["ssh-ed25519 A"]},
            ("authorizedSSHKeysSet", "bob", ["ssh-ed25519 A"], 2),
            0,
            {},
        ),
        ("guest-shutdown", {}, ("shutdownFlags", 2), 0, None),
        ("guest-shutdown", {"mode": "powerdown"}, ("shutdownFlags", 2), 0, None),
        ("guest-shutdown", {"mode": "reboot"}, ("reboot", 2), 0, None),
        ("guest-suspend-disk", {}, ("pMSuspendForDuration", 1, 0, 0), 0, None),
        ("guest-suspend-hybrid", {}, ("pMSuspendForDuration", 2, 0, 0), 0, None),
        ("guest-suspend-ram", {}, ("pMSuspendForDuration", 0, 0, 0), 0, None),
    ],
)
def test_native_call_replaces_the_command(
    hypervisor: Hypervisor,
    agent: Agent,
    command: str,
    arguments: dict[str, t.Any],
    expected: tuple[t.Any, ...],
    returned: t.Any,
    reply: t.Any,
) -> None:
    hypervisor.own[expected[0]] = lambda *given: returned
    assert call(agent, command, arguments) == reply
    assert hypervisor.requests == []
    if command == "guest-shutdown":
        # libvirt has its own limit for this command.
        assert hypervisor.native_calls == [expected]
        return
    # With a time limit, which is afterwards what a domain starts with.
    limit, made, restored = hypervisor.native_calls
    assert made == expected
    assert limit[0] == restored[0] == "agentSetResponseTimeout"
    assert 0 < limit[1] <= 5 and restored[1] == BLOCK


@pytest.mark.parametrize(
    ("command", "arguments"), [("guest-ping", {}), ("guest-shutdown", {"mode": "halt"}), ("guest-sync", {"id": 1})]
)
def test_other_commands_are_passed_to_the_agent(
    hypervisor: Hypervisor, agent: Agent, command: str, arguments: dict[str, t.Any]
) -> None:
    hypervisor.replies = ['{"return": 1}' if command == "guest-sync" else '{"return": {}}']
    call(agent, command, arguments)
    assert [json.loads(text) for text, dummy in hypervisor.requests] == [{"execute": command, "arguments": arguments}]
    assert hypervisor.native_calls == []


def test_commands_are_passed_to_the_agent_by_default(hypervisor: Hypervisor) -> None:
    hypervisor.replies = ['{"return": 1}']
    agent = Agent(LibvirtChannel("db1", "qemu:///system"))
    assert call(agent, "guest-fsfreeze-freeze") == 1
    agent.close()
    assert hypervisor.native_calls == []


def test_call_is_made_without_permission_to_set_its_limit(hypervisor: Hypervisor, agent: Agent) -> None:
    hypervisor.own = {"agentSetResponseTimeout": raising(Failure(88)), "fsFreeze": lambda *given: 1}
    assert call(agent, "guest-fsfreeze-freeze") == 1


@pytest.mark.parametrize(
    ("command", "own"), [("guest-fsfreeze-freeze", "fsFreeze"), ("guest-suspend-ram", "pMSuspendForDuration")]
)
@pytest.mark.parametrize("code", [1, 113])
def test_error_of_the_agent_is_passed_on(
    hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch, agent: Agent, command: str, own: str, code: int
) -> None:
    for name, number in NEWER_CODES.items():
        monkeypatch.setattr(sys.modules["libvirt"], name, number, raising=False)
    hypervisor.serve(**{command.replace("-", "_"): None})
    hypervisor.own[own] = raising(
        Failure(code, f"internal error: unable to execute QEMU agent command '{command}': not supported here")
    )
    with pytest.raises(AgentRefused, match=rf"{command}: not supported here$") as caught:
        call(agent, command)
    assert caught.type is AgentRefused and caught.value.desc == "not supported here"
    assert hypervisor.native_calls[-1] == ("agentSetResponseTimeout", BLOCK, 0)


def test_error_of_the_command_that_libvirt_chose_instead(hypervisor: Hypervisor, agent: Agent) -> None:
    hypervisor.serve(guest_fsfreeze_freeze=None)
    hypervisor.own["fsFreeze"] = raising(
        Failure(1, "internal error: unable to execute QEMU agent command 'guest-fsfreeze-freeze-list': no hook")
    )
    with pytest.raises(AgentRefused, match=r"guest-fsfreeze-freeze: no hook$"):
        call(agent, "guest-fsfreeze-freeze")


@pytest.mark.parametrize(
    "failure",
    [
        Failure(84, "S3 state is disabled for this domain"),
        Failure(9, "the guest's clock cannot be set"),
        Failure(8, "invalid argument: no such mountpoint"),
    ],
)
@pytest.mark.parametrize(
    ("command", "own"), [("guest-set-time", "setTime"), ("guest-suspend-ram", "pMSuspendForDuration")]
)
def test_refusal_by_libvirt_is_an_error_of_the_command(
    hypervisor: Hypervisor, agent: Agent, failure: Failure, command: str, own: str
) -> None:
    hypervisor.serve(**{command.replace("-", "_"): None})
    hypervisor.own[own] = raising(failure)
    with pytest.raises(AgentRefused, match=failure.message):
        call(agent, command)
    assert [made[0] for made in hypervisor.native_calls].count(own) == 1


@pytest.mark.parametrize(
    ("failure", "kind", "message"),
    [
        (Failure(55, "domain is not running"), EndpointUnavailable, "the domain is off"),
        (Failure(3, "virDomainX"), EndpointUnavailable, "this hypervisor has no such function: virDomainX"),
        (Failure(74), EndpointUnavailable, "no channel for a guest agent"),
        (Failure(86, "QEMU guest agent is not connected"), AgentSilent, "no guest agent is connected"),
        (Failure(88), EndpointUnavailable, "access control forbids it"),
    ],
)
@pytest.mark.parametrize(("command", "own"), [("guest-fstrim", "fSTrim"), ("guest-shutdown", "shutdownFlags")])
def test_call_that_libvirt_did_not_try_is_unreachable(
    hypervisor: Hypervisor, agent: Agent, failure: Failure, kind: type[Exception], message: str, command: str, own: str
) -> None:
    hypervisor.own[own] = raising(failure)
    with pytest.raises(kind, match=message):
        call(agent, command)
    limits = [made[1] for made in hypervisor.native_calls if made[0] == "agentSetResponseTimeout"]
    assert limits[-1:] == ([] if command == "guest-shutdown" else [BLOCK])


@pytest.mark.parametrize(
    ("command", "own", "permission"),
    [
        ("guest-fstrim", "fSTrim", "domain.fs-trim is"),
        ("guest-get-time", "getTime", "domain.write is"),
        ("guest-shutdown", "shutdownFlags", "domain.init-control, in addition to domain.write, is"),
        ("guest-network-get-interfaces", None, "domain.write is"),
    ],
)
def test_error_names_the_missing_permission(
    hypervisor: Hypervisor, agent: Agent, command: str, own: str | None, permission: str
) -> None:
    denied = Failure(88)
    if own is None:
        hypervisor.replies = [denied]
    else:
        hypervisor.own[own] = raising(denied)
    with pytest.raises(EndpointUnavailable, match=f"forbids it; {permission} needed"):
        call(agent, command)


@pytest.mark.parametrize("failure", [Failure(86, "Guest agent not available for now"), Failure(112), Failure(38)])
def test_lost_answer_has_unknown_outcome(hypervisor: Hypervisor, agent: Agent, failure: Failure) -> None:
    hypervisor.own["fsThaw"] = hypervisor.own["reboot"] = raising(failure)
    with pytest.raises(OutcomeUnknown, match="the answer to guest-fsfreeze-thaw is lost"):
        call(agent, "guest-fsfreeze-thaw")
    # For a command that is silent on success this is success.
    call(agent, "guest-shutdown", {"mode": "reboot"})
    assert [made[0] for made in hypervisor.native_calls if made[0] != "agentSetResponseTimeout"] == ["fsThaw", "reboot"]


def test_call_waits_for_a_busy_agent(hypervisor: Hypervisor, agent: Agent) -> None:
    def freeze(*given: t.Any) -> int:
        if [made[0] for made in hypervisor.native_calls].count("fsFreeze") == 1:
            raise Failure(68, "cannot acquire state change lock")
        return 3

    hypervisor.own["fsFreeze"] = freeze
    assert call(agent, "guest-fsfreeze-freeze") == 3


def test_call_that_hangs_is_abandoned(hypervisor: Hypervisor, agent: Agent) -> None:
    released = threading.Event()
    hypervisor.own["fsFreeze"] = hypervisor.own["shutdownFlags"] = lambda *given: released.wait(20)
    try:
        with pytest.raises(OutcomeUnknown, match="the answer to guest-fsfreeze-freeze is lost"):
            call(agent, "guest-fsfreeze-freeze", seconds=0.2)
        call(agent, "guest-shutdown", seconds=0.2)
    finally:
        released.set()
    assert hypervisor.opened == 2 and not hypervisor.closed
