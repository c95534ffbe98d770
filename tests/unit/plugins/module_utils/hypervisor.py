# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hypervisor in place of libvirt's library, which raises what a test tells it to. Most of libvirt's errors cannot be
had from a libvirtd when they are wanted, and none has those of all versions; the codes are those of virterror.h."""

from __future__ import annotations

import sys
import types

import pytest

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

STATES = {
    "VIR_DOMAIN_PAUSED": 3,
    "VIR_DOMAIN_SHUTOFF": 5,
    "VIR_DOMAIN_CRASHED": 6,
    "VIR_DOMAIN_PMSUSPENDED": 7,
}


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


def channel_xml(name: str, number: int, *, kind: str = "unix", connected: bool = True) -> str:
    """A channel of a running domain, in libvirt's XML."""
    state = "connected" if connected else "disconnected"
    target = f"<target type='virtio' name='{name}' state='{state}'/>"
    return f"<channel type='{kind}'>{target}<alias name='channel{number}'/></channel>"


class Hypervisor:
    """A connection, its only domain, and the library's functions, whose answers are set by the test."""

    # pylint: disable=invalid-name  # they are libvirt's

    def __init__(self) -> None:
        self.replies: list[str | Exception] = []
        self.requests: list[tuple[str, int]] = []
        self.open_failures: list[Exception] = []
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

    def XMLDesc(self) -> str:
        return f"<domain><devices>{self.channels}</devices></domain>"

    def state(self) -> tuple[int, int]:
        if not self.alive:
            raise Failure(38, "Broken pipe")
        return (self.states.pop(0) if self.states else 1), 0

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

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put it in the place of libvirt's library."""
        library = types.SimpleNamespace(
            **CODES,
            **STATES,
            libvirtError=Failure,
            open=self.open,
            registerErrorHandler=lambda handler, context: None,
        )
        monkeypatch.setitem(sys.modules, "libvirt", library)
        functions = types.SimpleNamespace(qemuAgentCommand=self.command)
        monkeypatch.setitem(sys.modules, "libvirt_qemu", functions)
