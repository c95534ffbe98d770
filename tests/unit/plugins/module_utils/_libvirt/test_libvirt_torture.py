# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each call to libvirt fails once: the task ends with a documented error, leaves nothing, and the next one works."""

from __future__ import annotations

import gc
import pathlib
import threading
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels import libvirt_channel
from ansible_collections.netless.qga.plugins.module_utils._channels.libvirt_channel import LibvirtChannel
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._libvirt import domain as libvirt_domain
from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import DomainState, LibvirtDomain
from ansible_collections.netless.qga.plugins.module_utils._libvirt.event_loop import EventLoop
from ansible_collections.netless.qga.plugins.module_utils._libvirt.power import press_power_button, wake_up
from ansible_collections.netless.qga.plugins.module_utils._transports import libvirt_stream
from ansible_collections.netless.qga.plugins.module_utils._transports.libvirt_stream import LibvirtStreamConnector
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    OutcomeUnknown,
    QgaError,
    Unreachable,
)

from .faulty_hypervisor import Breakage, FaultyHypervisor

URI = "qemu:///system"
HOST_NAME = {"host-name": "scripted"}
BREAKAGES = {
    "no agent": Breakage(86, "Guest agent is not responding: QEMU guest agent is not connected"),
    "no domain": Breakage(42, "Domain not found"),
    "off": Breakage(55, "Requested operation is not valid: domain is not running"),
    "denied": Breakage(88, "access denied"),
    "read-only": Breakage(29, "operation forbidden for read only access"),
    "busy": Breakage(68, "Timed out during operation: cannot acquire state change lock"),
    "failed": Breakage(9, "operation failed"),
    "unsupported": Breakage(84, "Operation not supported"),
    "internal": Breakage(1, "internal error: unexpected"),
    "lost": Breakage(38, "Cannot write data: Broken pipe", is_lost=True),
    "lost afterwards": Breakage(38, "Cannot recv data: Connection reset by peer", is_lost=True, is_done=True),
    "closed afterwards": Breakage(1, "internal error: client socket is closed", is_lost=True, is_done=True),
}


def soon() -> Deadline:
    return Deadline.after(5)


class Use:
    """A use of libvirt that can be repeated, also after :meth:`close`."""

    expected: t.Any = None

    def __init__(self, hypervisor: FaultyHypervisor) -> None:
        self.hypervisor = hypervisor

    def run(self) -> t.Any:
        """Use libvirt."""
        raise NotImplementedError

    def close(self) -> None:
        """Give up all connections."""
        raise NotImplementedError

    def executions(self) -> int:
        """Return how often the guest did what the use asks for."""
        raise NotImplementedError


class AgentUse(Use):
    """A call of the guest's agent."""

    command = "guest-get-host-name"
    arguments: t.ClassVar[dict[str, t.Any]] = {}
    native = ""
    expected: t.Any = HOST_NAME

    def __init__(self, hypervisor: FaultyHypervisor) -> None:
        super().__init__(hypervisor)
        hypervisor.serve(guest_get_host_name=HOST_NAME, guest_shutdown={})
        self.agent = Agent(self.channel())

    def channel(self) -> t.Any:
        return LibvirtChannel("db1", URI, native_calls=bool(self.native))

    def run(self) -> t.Any:
        return self.agent.call(self.command, self.arguments, deadline=soon())

    def close(self) -> None:
        self.agent.close()

    def executions(self) -> int:
        if self.native:
            return [name for name, *dummy in self.hypervisor.native_calls].count(self.native)
        return self.hypervisor.commands.count(self.command)


class Freeze(AgentUse):
    command, native, expected = "guest-fsfreeze-freeze", "fsFreeze", 0


class GetTime(AgentUse):
    command, native, expected = "guest-get-time", "getTime", 5 * 10**9 + 7

    def __init__(self, hypervisor: FaultyHypervisor) -> None:
        super().__init__(hypervisor)
        hypervisor.own["getTime"] = lambda flags: {"seconds": 5, "nseconds": 7}


class SetTime(AgentUse):
    command, native, arguments, expected = "guest-set-time", "setTime", {"time": 5}, {}


class SetKeys(AgentUse):
    command, native, expected = "guest-ssh-add-authorized-keys", "authorizedSSHKeysSet", {}
    arguments: t.ClassVar[dict[str, t.Any]] = {"username": "root", "keys": ["ssh-ed25519 AAAA"]}


class Sync(AgentUse):
    command, expected = "guest-sync", False

    def run(self) -> t.Any:
        return self.agent.sync(soon()).delimited

    def executions(self) -> int:
        # It does no harm to sync twice.
        return 0


class ShutDown(AgentUse):
    command, native, expected = "guest-shutdown", "shutdownFlags", None

    def run(self) -> t.Any:
        return self.agent.call_silent(self.command, deadline=soon())


class StreamUse(AgentUse):
    """A call of an agent on a channel that libvirt opens."""

    def channel(self) -> t.Any:
        return StreamChannel(LibvirtStreamConnector("io.netless.agent.0", "db1", URI))

    def executions(self) -> int:
        return [request["execute"] for request in self.hypervisor.guest.requests].count(self.command)


class State(Use):
    """The state of the domain."""

    expected: t.Any = DomainState.RUNNING

    def __init__(self, hypervisor: FaultyHypervisor) -> None:
        super().__init__(hypervisor)
        self.domain = LibvirtDomain("db1", URI)

    def run(self) -> t.Any:
        state = self.domain.state(soon())
        # A transient domain disappears when it stops.
        return self.expected if state is DomainState.OFF and self.hypervisor.where == "state" else state

    def close(self) -> None:
        self.domain.close()

    def executions(self) -> int:
        return 0


class PowerButton(State):
    """The power button."""

    expected, native = None, "shutdownFlags"

    def run(self) -> t.Any:
        return press_power_button(self.domain, soon())

    def executions(self) -> int:
        return [name for name, *dummy in self.hypervisor.native_calls].count(self.native)


class WakeUp(PowerButton):
    """The end of a suspension."""

    native = "pMWakeup"

    def run(self) -> t.Any:
        return wake_up(self.domain, soon())


def attempt(use: Use) -> bool:
    """Use libvirt, check that the result promises no more than what happened, and return whether it was right."""
    before = use.executions()
    try:
        assert use.run() == use.expected
    except QgaError as exc:
        executed, is_right = use.executions() - before, False
        assert isinstance(exc, (AgentRefused, OutcomeUnknown, Unreachable)) and "db1" in str(exc), repr(exc)
        assert not executed or isinstance(exc, OutcomeUnknown), repr(exc)
    else:
        executed, is_right = use.executions() - before, True
    assert executed <= 1
    return is_right


def free_streams(hypervisor: FaultyHypervisor) -> None:
    """Free the streams to which only errors still refer: libvirt's library frees a stream with its object.

    The thread of the event loop may refer to one for another moment.
    """
    end = time.monotonic() + 10
    while hypervisor.streams and time.monotonic() < end:
        gc.collect()
        time.sleep(0.001)


def check(hypervisor: FaultyHypervisor, use: Use) -> None:
    """Check that one use fails at most, that the next ones are right, and that nothing is left at the end."""
    assert attempt(use) + attempt(use) >= 1
    use.close()
    free_streams(hypervisor)
    hypervisor.at = None
    assert attempt(use)
    use.close()
    free_streams(hypervisor)
    assert hypervisor.opened == hypervisor.closes
    assert not hypervisor.streams
    # pylint: disable-next=protected-access # nothing else shows that the loop has ended
    assert not EventLoop._users


@pytest.fixture(autouse=True)
def quick_collections() -> t.Iterator[None]:
    """Let collections of garbage skip what was there before the test."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("kind", BREAKAGES)
@pytest.mark.parametrize(
    "make",
    [AgentUse, Freeze, GetTime, SetKeys, SetTime, ShutDown, StreamUse, Sync, State, PowerButton, WakeUp],
)
def test_each_call_fails_once(
    make: type[Use], kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for module in (libvirt_channel, libvirt_stream):
        monkeypatch.setattr(module, "_RETRY_INTERVAL", 0.01)
    # So that each use asks for the state of the domain.
    monkeypatch.setattr(libvirt_domain, "_TRUST_TIMEOUT", 0.0)
    threads = threading.active_count()
    at = 0
    while True:
        hypervisor = FaultyHypervisor(BREAKAGES[kind], at)
        hypervisor.install(monkeypatch)
        try:
            check(hypervisor, make(hypervisor))
        except Exception as exc:
            raise AssertionError(f"{hypervisor.where} failed, which was call {at}") from exc
        if not hypervisor.where:
            break
        at += 1
    assert at > 5
    end = time.monotonic() + 5
    while threading.active_count() > threads:
        assert time.monotonic() < end, "a thread is left"
        time.sleep(0.001)
