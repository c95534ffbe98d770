# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A domain of libvirt's: connecting to its hypervisor, finding it, asking it something, and what the errors mean."""

from __future__ import annotations

import contextlib
import enum
import time
import typing as t
from dataclasses import dataclass
from xml.etree import ElementTree

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._libvirt.event_loop import EventLoop
from ansible_collections.netless.qga.plugins.module_utils._local.background_call import BackgroundCall
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentSilent,
    EndpointUnavailable,
    LibraryMissing,
    Unreachable,
    excerpt,
)

T = t.TypeVar("T")

#: The channel of the agent that libvirt itself speaks with, and keeps open as long as the domain runs.
AGENT_CHANNEL = "org.qemu.guest_agent.0"

# How long a connection counts as good after an answer. Asking takes a round trip, which would double a short call, and
# no libvirtd is restarted faster.
_TRUSTED_SECONDS = 0.1

# How long a restarted libvirtd may take to find the agents again; until then it says that they are not connected.
_SETTLING_SECONDS = 5.0

# For what is of no use any more, or only makes a message better.
_SHORT_SECONDS = 2.0

_NO_CHANNEL = (
    "the domain has no channel for a guest agent: add <channel type='unix'><target type='virtio' "
    f"name='{AGENT_CHANNEL}'/></channel> to its devices"
)

_NO_AGENT = {
    "not connected": "no guest agent is connected: is the guest up, and qemu-guest-agent running in it?",
    "not available due to an error": "libvirt gave the guest agent up after an error: restart qemu-guest-agent in the "
    "guest, with virsh console or by a reboot",
}


class DomainState(enum.Enum):
    """What a domain is doing (virDomainState), as far as it matters here. One that is blocked or shutting down runs."""

    RUNNING = "running"
    PAUSED = "paused"
    OFF = "off"
    CRASHED = "crashed"
    SUSPENDED = "suspended"


@dataclass(frozen=True)
class DomainChannel:
    """A channel between a running domain and its hypervisor.

    :param name: what the guest sees in /dev/virtio-ports.
    :param alias: libvirt's own name for the device.
    :param kind: what it is on the hypervisor, like ``unix``.
    :param connected: whether the guest has it open.
    """

    name: str
    alias: str
    kind: str
    connected: bool


class LibvirtDomain:
    """A domain, and a connection to its hypervisor that is opened when it is first needed.

    :param name: its name or UUID.
    :param uri: of the hypervisor, like ``qemu:///system``.
    :param permission: what libvirt's access control has to allow besides reading; by default what its agent takes.
    """

    def __init__(self, name: str, uri: str, *, permission: str = "domain.write") -> None:
        self.description = f"libvirt domain {name} on {uri}"
        self._permission = permission
        self._name = name
        self._uri = uri
        self._connection: t.Any = None
        self._domain: t.Any = None
        self._trusted_until = 0.0
        self._settled_at = 0.0

    def make_ready(self, deadline: Deadline) -> None:
        """Connect to libvirt, anew if it was restarted since the last call, and see that the domain runs.

        :raises LibraryMissing: there is no Python library for libvirt.
        :raises EndpointUnavailable: libvirt does not answer or refuses, or the domain does not run.
        """
        if self._domain is not None and time.monotonic() < self._trusted_until:
            return
        libvirt = self.library()
        with self._refusing():
            state = self._state(deadline)
        if reason := _reason_not_to_answer(libvirt, state):
            self._trusted_until = 0.0
            raise EndpointUnavailable(f"{self.description}: {reason}")

    def state(self, deadline: Deadline) -> DomainState:
        """What the domain is doing, also if its agent cannot answer then. Connects as :meth:`make_ready` does.

        :raises LibraryMissing: there is no Python library for libvirt.
        :raises EndpointUnavailable: libvirt does not answer or refuses.
        """
        libvirt = self.library()
        was_there = self._domain is not None
        with self._refusing():
            try:
                state = self._state(deadline)
            except libvirt.libvirtError as exc:
                # One that is not persistent is gone with its end.
                if was_there and exc.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    return DomainState.OFF
                raise
        found = {
            libvirt.VIR_DOMAIN_PAUSED: DomainState.PAUSED,
            libvirt.VIR_DOMAIN_SHUTOFF: DomainState.OFF,
            libvirt.VIR_DOMAIN_CRASHED: DomainState.CRASHED,
            libvirt.VIR_DOMAIN_PMSUSPENDED: DomainState.SUSPENDED,
        }.get(state, DomainState.RUNNING)
        if found is not DomainState.RUNNING:
            self._trusted_until = 0.0
        return found

    def call(self, function: t.Callable[[t.Any], T], deadline: Deadline) -> T:
        """What the function returns for the ``libvirt.virDomain``.

        Two calls on one connection are one too many: with libvirt 9.0 the second may wait for what the first waits for.

        :raises TimeoutError: it did not return before the deadline. Whatever it asked for may be done later. The
            connection is of no use until it does, so have it abandoned.
        :raises libvirt.libvirtError: see :meth:`refusal`.
        """
        domain = self._domain
        self._trusted_until = 0.0
        result = BackgroundCall(lambda: function(domain)).result(deadline)
        self._trusted_until = time.monotonic() + _TRUSTED_SECONDS
        return result

    def refusal(self, exc: t.Any, permission: str | None = None) -> Unreachable | None:
        """What a ``libvirt.libvirtError`` means, if it is certain that libvirt did nothing; None if it is not.

        :param permission: what access control has to allow for this call, if not what it has to for the others.
        """
        libvirt, code, text = self.library(), exc.get_error_code(), exc.get_error_message()
        said = excerpt(text)
        reasons = {
            libvirt.VIR_ERR_NO_DOMAIN: f"there is no such domain: {said}",
            libvirt.VIR_ERR_OPERATION_INVALID: f"the domain is off: {said}",
            libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED: _NO_CHANNEL,
            libvirt.VIR_ERR_OPERATION_DENIED: f"the connection to libvirt is read-only: {said}",
            libvirt.VIR_ERR_ACCESS_DENIED: (
                f"libvirt's access control forbids it; {permission or self._permission} is needed: {said}"
            ),
            libvirt.VIR_ERR_AUTH_FAILED: f"libvirt did not accept who we are: {said}",
        }
        if code in reasons:
            return EndpointUnavailable(f"{self.description}: {reasons[code]}")
        if code == libvirt.VIR_ERR_AGENT_UNRESPONSIVE:
            # The same code tells that a command was sent and not answered. Only the text tells it from these two, and
            # if it is translated what happened to the command counts as unknown.
            for sign, reason in _NO_AGENT.items():
                if sign in text:
                    return AgentSilent(f"{self.description}: {reason} ({said})")
        return None

    @property
    def broken(self) -> bool:
        """Whether the connection to libvirt has turned out to be gone."""
        return self._connection is None or not self._connection.isAlive()

    @property
    def is_settling(self) -> bool:
        """Whether libvirt was restarted a short while ago, and may not have found the agent yet."""
        return time.monotonic() < self._settled_at

    @property
    def paused(self) -> bool:
        """Whether the domain is paused, if libvirt says so."""
        return bool(self._ask(_state_of) == self.library().VIR_DOMAIN_PAUSED)

    def channels(self) -> list[DomainChannel]:
        """The channels of the running domain, none if libvirt does not say."""
        try:
            devices = ElementTree.fromstring(self._ask(lambda domain: domain.XMLDesc()) or "").iterfind(
                "devices/channel[target]"
            )
        except ElementTree.ParseError:
            return []
        found = []
        for device in devices:
            target, alias = device.find("target"), device.find("alias")
            about = {} if target is None else target.attrib
            found.append(
                DomainChannel(
                    name=about.get("name", ""),
                    alias="" if alias is None else alias.get("name", ""),
                    kind=device.get("type", ""),
                    connected=about.get("state") == "connected",
                )
            )
        return found

    def library(self) -> t.Any:
        """The module ``libvirt``.

        :raises LibraryMissing: it is not installed.
        """
        try:
            import libvirt
        except ImportError as exc:
            raise LibraryMissing(
                f"{self.description}: the Python library libvirt is missing. Install python3-libvirt of the "
                f"distribution, or libvirt-python from PyPI, for the Python that runs Ansible"
            ) from exc
        return libvirt

    def abandon(self) -> None:
        """Forget a connection that hangs: closing it would hang too. The next call opens another one."""
        self._domain = self._connection = None

    def close(self) -> None:
        """Let go of the connection. May be called again."""
        self._domain = None
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with contextlib.suppress(TimeoutError, self.library().libvirtError):
                BackgroundCall(connection.close).result(Deadline.after(_SHORT_SECONDS))
            del connection
            EventLoop.finish(self.library())

    @contextlib.contextmanager
    def _refusing(self) -> t.Iterator[None]:
        """Around what connects to libvirt, and asks for no more than the domain's state."""
        try:
            yield
        except TimeoutError as exc:
            self.abandon()
            raise EndpointUnavailable(f"{self.description}: no answer from libvirt in time") from exc
        except self.library().libvirtError as exc:
            self.close()
            refusal = self.refusal(exc) or EndpointUnavailable(
                f"{self.description}: {excerpt(exc.get_error_message())}"
            )
            raise refusal from exc

    def _open(self, deadline: Deadline) -> None:
        libvirt = self.library()
        # Errors come as exceptions; the default handler prints them on standard error as well.
        libvirt.registerErrorHandler(lambda context, error: None, None)
        self._connection = connection = BackgroundCall(lambda: libvirt.open(self._uri)).result(deadline)
        self._domain = BackgroundCall(lambda: _look_up(libvirt, connection, self._name)).result(deadline)

    def _state(self, deadline: Deadline) -> int:
        """The domain's state (virDomainState). Only asking shows that a connection is gone, and it is opened anew."""
        if self._domain is not None:
            try:
                return self.call(_state_of, deadline)
            except self.library().libvirtError:
                if not self.broken:
                    raise
            self.close()
            self._settled_at = time.monotonic() + _SETTLING_SECONDS
        self._open(deadline)
        return self.call(_state_of, deadline)

    def _ask(self, function: t.Callable[[t.Any], T]) -> T | None:
        """What the function returns for the domain, None if that cannot be had soon."""
        if self._domain is not None:
            with contextlib.suppress(TimeoutError, self.library().libvirtError):
                return self.call(function, Deadline.after(_SHORT_SECONDS))
        return None


def _state_of(domain: t.Any) -> int:
    return t.cast(int, domain.state()[0])


def _look_up(libvirt: t.Any, connection: t.Any, name: str) -> t.Any:
    try:
        return connection.lookupByName(name)
    except libvirt.libvirtError:
        with contextlib.suppress(libvirt.libvirtError):
            return connection.lookupByUUIDString(name)
        raise


def _reason_not_to_answer(libvirt: t.Any, state: int) -> str | None:
    return {
        libvirt.VIR_DOMAIN_PAUSED: "the domain is paused, so that its guest cannot answer: virsh resume lets it go on",
        libvirt.VIR_DOMAIN_SHUTOFF: "the domain is off: virsh start starts it",
        libvirt.VIR_DOMAIN_CRASHED: "the domain has crashed: virsh start starts it anew",
        libvirt.VIR_DOMAIN_PMSUSPENDED: "the guest is suspended to memory: virsh dompmwakeup wakes it up",
    }.get(state)
