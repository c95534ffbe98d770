# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hypervisor in place of the Python library libvirt, which raises what a test asks for.

Most errors cannot be provoked in a libvirtd, and no libvirtd has those of all versions.
"""

from __future__ import annotations

import json
import sys
import types
import typing as t

import pytest

from ansible_collections.netless.qga.tests.guests.libvirt_library import CODES, STATES, LibvirtError

RUNNING, PAUSED, OFF, CRASHED, SUSPENDED = 1, 3, 5, 6, 7
# Of libvirt-domain.h and libvirt-host.h.
FLAGS = {
    "VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK": -2,
    "VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND": 1,
    "VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE": 2,
    "VIR_DOMAIN_PASSWORD_ENCRYPTED": 1,
    "VIR_DOMAIN_REBOOT_ACPI_POWER_BTN": 1,
    "VIR_DOMAIN_REBOOT_GUEST_AGENT": 2,
    "VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN": 1,
    "VIR_DOMAIN_SHUTDOWN_GUEST_AGENT": 2,
    "VIR_DOMAIN_TIME_SYNC": 1,
    "VIR_NODE_SUSPEND_TARGET_DISK": 1,
    "VIR_NODE_SUSPEND_TARGET_HYBRID": 2,
    "VIR_NODE_SUSPEND_TARGET_MEM": 0,
}
NATIVE_CALLS = (
    "agentSetResponseTimeout",
    "authorizedSSHKeysGet",
    "authorizedSSHKeysSet",
    "fSTrim",
    "fsFreeze",
    "fsThaw",
    "getTime",
    "pMSuspendForDuration",
    "pMWakeup",
    "reboot",
    "setTime",
    "setUserPassword",
    "shutdownFlags",
)
"""libvirt's native calls on a domain."""


Failure = LibvirtError


def channel_xml(name: str, number: int, *, kind: str = "unix", connected: bool = True) -> str:
    """Return a channel of a running domain, in libvirt's XML."""
    state = "connected" if connected else "disconnected"
    target = f"<target type='virtio' name='{name}' state='{state}'/>"
    return f"<channel type='{kind}'>{target}<alias name='channel{number}'/></channel>"


class Hypervisor:
    """A connection, its only domain, and the library's functions; the test sets their answers."""

    # pylint: disable=invalid-name  # they are libvirt's

    def __init__(self) -> None:
        self.agent: dict[str, t.Callable[[dict[str, t.Any]], t.Any]] = {}
        """What the guest's agent replies to a command, or raises, once there is nothing in ``replies``."""
        self.own: dict[str, t.Callable[..., t.Any]] = {}
        """What libvirt's native calls do and return, or raise. Those that are not here return 0, as on success."""
        self.native_calls: list[tuple[t.Any, ...]] = []
        """The native calls that were made: their names and arguments."""
        self.power = RUNNING
        """The state of the domain, once there is nothing in ``states``."""
        self.replies: list[str | Exception] = []
        self.requests: list[tuple[str, int]] = []
        self.open_failures: list[Exception] = []
        self.metadata = ""
        """What is in the element metadata of the domain's description."""
        self.channels = channel_xml("org.qemu.guest_agent.0", 0) + channel_xml("io.netless.agent.0", 1)
        self.states: list[int] = []
        self.alive = True
        self.closed = False
        self.opened = 0

    def open(self, uri: str) -> Hypervisor:
        for failure in self.open_failures:
            raise failure
        self.opened += 1
        self.alive = True
        return self

    def lookupByName(self, name: str) -> Hypervisor:
        if name != "db1":
            raise Failure(42, f"no domain with matching name '{name}'")
        return self

    def lookupByUUIDString(self, uuid: str) -> Hypervisor:
        if uuid != "4dea22b3-1d52-d8f3-2516-782e98ab3fa0":
            raise Failure(42, "no domain with matching uuid")
        return self

    def listAllDomains(self) -> list[Hypervisor]:
        return [self]

    def name(self) -> str:
        return "db1"

    def UUIDString(self) -> str:
        return "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"

    def ID(self) -> int:
        return -1 if self.power == OFF else 7

    def XMLDesc(self) -> str:
        return f"<domain><metadata>{self.metadata}</metadata><devices>{self.channels}</devices></domain>"

    def state(self) -> tuple[int, int]:
        if not self.alive:
            raise Failure(38, "Broken pipe")
        return (self.states.pop(0) if self.states else self.power), 0

    def __getattr__(self, name: str) -> t.Callable[..., t.Any]:
        if name not in NATIVE_CALLS:
            raise AttributeError(name)

        def native_call(*arguments: t.Any) -> t.Any:
            self.native_calls.append((name, *arguments))
            return self.own[name](*arguments) if name in self.own else 0

        return native_call

    def isAlive(self) -> bool:
        return self.alive

    def close(self) -> None:
        self.closed = True

    def command(self, domain: Hypervisor, text: str, timeout: int, flags: int) -> str:
        self.requests.append((text, timeout))
        if self.agent and not self.replies:
            return self._ask_agent(json.loads(text))
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    @property
    def commands(self) -> list[str]:
        """The commands that the agent received, without syncs."""
        commands = [json.loads(text)["execute"] for text, dummy in self.requests]
        return [command for command in commands if command != "guest-sync"]

    def serve(self, **commands: t.Any) -> None:
        """Put an agent into the guest.

        :param commands: its replies by command, with underscores in the names; a function receives the arguments.
        """
        replies = {name.replace("_", "-"): reply for name, reply in commands.items()}
        known = [{"name": name, "enabled": True, "success-response": True} for name in replies]
        self.agent = {
            "guest-sync": lambda arguments: arguments["id"],
            "guest-info": lambda arguments: {"version": "7.2.22", "supported_commands": known},
            **{name: reply if callable(reply) else _replying(reply) for name, reply in replies.items()},
        }

    def leave(self) -> None:
        """Remove the agent from the guest."""
        gone = Failure(86, "Guest agent is not responding: QEMU guest agent is not connected")
        self.agent = {"guest-sync": _raising(gone), **{name: _raising(gone) for name in self.agent}}

    def _ask_agent(self, request: dict[str, t.Any]) -> str:
        command = request["execute"]
        if command not in self.agent:
            raise Failure(1, f"unable to execute QEMU agent command '{command}': The command has not been found")
        return json.dumps({"return": self.agent[command](request["arguments"])})

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put it in place of the Python library libvirt."""
        library = types.SimpleNamespace(
            **CODES,
            **STATES,
            **FLAGS,
            libvirtError=Failure,
            open=self.open,
            registerErrorHandler=lambda handler, context: None,
        )
        monkeypatch.setitem(sys.modules, "libvirt", library)
        functions = types.SimpleNamespace(qemuAgentCommand=self.command)
        monkeypatch.setitem(sys.modules, "libvirt_qemu", functions)


def _replying(reply: t.Any) -> t.Callable[[dict[str, t.Any]], t.Any]:
    return lambda arguments: reply


def _raising(failure: Exception) -> t.Callable[[dict[str, t.Any]], t.Any]:
    def refuse(arguments: dict[str, t.Any]) -> t.Any:
        raise failure

    return refuse
