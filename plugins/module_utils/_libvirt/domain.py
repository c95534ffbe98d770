# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A libvirt domain: what it is doing, and calls to libvirt about it."""

from __future__ import annotations

import contextlib
import enum
import time
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._libvirt.channels import DomainChannel, parse_channels
from ansible_collections.netless.qga.plugins.module_utils._libvirt.connection import HypervisorConnection
from ansible_collections.netless.qga.plugins.module_utils._libvirt.errors import unreachable_error
from ansible_collections.netless.qga.plugins.module_utils._libvirt.library import import_libvirt
from ansible_collections.netless.qga.plugins.module_utils._local.background_call import BackgroundCall
from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointUnavailable, Unreachable, excerpt

T = t.TypeVar("T")

# How long a connection counts as good after an answer, in seconds. Checking it takes a round trip, which would double
# the time of a short call. A libvirtd was seen to restart within 0.1 s.
_TRUST_TIMEOUT = 0.03

# How long a restarted libvirtd may take to find the agents again; until then it reports that they are not connected.
_SETTLE_TIMEOUT = 5.0

# For what only makes a message better.
_DETAILS_TIMEOUT = 2.0


class DomainState(enum.Enum):
    """What a domain is doing (virDomainState), as far as it matters here. One that is blocked or shutting down runs."""

    RUNNING = "running"
    PAUSED = "paused"
    OFF = "off"
    CRASHED = "crashed"
    SUSPENDED = "suspended"


_HINTS = {
    DomainState.PAUSED: "the domain is paused, so that its guest cannot answer: virsh resume continues it",
    DomainState.OFF: "the domain is off: virsh start starts it",
    DomainState.CRASHED: "the domain has crashed: virsh start starts it again",
    DomainState.SUSPENDED: "the guest is suspended to memory: virsh dompmwakeup wakes it up",
}


def parse_state(libvirt: t.Any, number: int) -> DomainState:
    """Return what a ``virDomainState`` means.

    :param libvirt: the module ``libvirt``.
    """
    states = {
        libvirt.VIR_DOMAIN_PAUSED: DomainState.PAUSED,
        libvirt.VIR_DOMAIN_SHUTOFF: DomainState.OFF,
        libvirt.VIR_DOMAIN_CRASHED: DomainState.CRASHED,
        libvirt.VIR_DOMAIN_PMSUSPENDED: DomainState.SUSPENDED,
    }
    return states.get(number, DomainState.RUNNING)


class DomainConnection(t.Protocol):
    """What a domain needs of a connection to its hypervisor; see :class:`HypervisorConnection`."""

    @property
    def broken(self) -> bool:
        """Whether the connection has turned out to be gone."""

    def find_domain(self, name: str, deadline: Deadline) -> t.Any:
        """Return the ``libvirt.virDomain`` of a name or UUID."""

    def close(self) -> None:
        """Close the connection. The domain does not use it afterwards."""


class LibvirtDomain:
    """A domain, and a connection to its hypervisor that is opened when it is first needed.

    :param name: its name or UUID.
    :param uri: of the hypervisor, like ``qemu:///system``.
    :param permission: what libvirt's access control has to allow in addition to reading; by default what talking to
        the agent takes.
    :param connect: opens a connection. The domain closes it, unless the connection hangs.
    """

    def __init__(
        self,
        name: str,
        uri: str,
        *,
        permission: str = "domain.write",
        connect: t.Callable[[t.Any, str, Deadline], DomainConnection] = HypervisorConnection,
    ) -> None:
        self.description = f"libvirt domain {name} on {uri}"
        self._permission = permission
        self._name = name
        self._uri = uri
        self._connect = connect
        self._connection: DomainConnection | None = None
        self._domain: t.Any = None
        self._trusted_until = 0.0
        self._settled_at = 0.0

    def make_ready(self, deadline: Deadline) -> None:
        """Connect to libvirt, again if it was restarted since the last call, and check that the domain runs.

        :raises LibraryMissing: there is no Python library for libvirt.
        :raises EndpointUnavailable: libvirt does not answer or refuses, or the domain does not run.
        """
        if self._domain is not None and time.monotonic() < self._trusted_until:
            return
        with self._unavailable_on_failure():
            state = self._state(deadline)
        if state in _HINTS:
            raise EndpointUnavailable(f"{self.description}: {_HINTS[state]}")

    def state(self, deadline: Deadline) -> DomainState:
        """Return what the domain is doing, also if its agent cannot answer then. Connects as :meth:`make_ready` does.

        :raises LibraryMissing: there is no Python library for libvirt.
        :raises EndpointUnavailable: libvirt does not answer or refuses.
        """
        libvirt = self.library()
        was_there = self._domain is not None
        with self._unavailable_on_failure():
            try:
                return self._state(deadline)
            except libvirt.libvirtError as exc:
                # A transient domain disappears when it stops.
                if was_there and exc.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    return DomainState.OFF
                raise

    def call(self, function: t.Callable[[t.Any], T], deadline: Deadline) -> T:
        """Return what the function returns for the ``libvirt.virDomain``.

        Do not issue concurrent calls on one connection: with libvirt 9.0 the second may wait for what the first waits
        for.

        :raises TimeoutError: it did not return before the deadline. What it asked for may still be done later. The
            connection is unusable until then, so abandon it.
        :raises libvirt.libvirtError: see :meth:`refusal`.
        """
        domain = self._domain
        self._trusted_until = 0.0
        result = BackgroundCall(lambda: function(domain)).result(deadline)
        self._trusted_until = time.monotonic() + _TRUST_TIMEOUT
        return result

    def refusal(self, exc: t.Any, permission: str | None = None) -> Unreachable | None:
        """Return what a ``libvirt.libvirtError`` means; None if libvirt may have done what it was asked to.

        :param permission: what access control has to allow for this call, if it differs from the domain's.
        """
        return unreachable_error(self.library(), exc, self.description, permission=permission or self._permission)

    @property
    def broken(self) -> bool:
        """Whether the connection to libvirt has turned out to be gone."""
        return self._connection is None or self._connection.broken

    @property
    def is_settling(self) -> bool:
        """Whether libvirt was restarted a short while ago, and may not have found the agent yet."""
        return time.monotonic() < self._settled_at

    @property
    def paused(self) -> bool:
        """Whether the domain is paused; False if libvirt does not answer."""
        return bool(self._ask(_state_number) == self.library().VIR_DOMAIN_PAUSED)

    def channels(self) -> list[DomainChannel]:
        """Return the channels of the running domain; none if libvirt does not answer."""
        return parse_channels(self._ask(lambda domain: domain.XMLDesc()) or "")

    def library(self) -> t.Any:
        """Return the module ``libvirt``.

        :raises LibraryMissing: it is not installed.
        """
        return import_libvirt(self.description)

    def abandon(self) -> None:
        """Forget a connection that hangs: closing it would hang too. The next call opens another one."""
        self._domain = self._connection = None

    def close(self) -> None:
        """Close the connection. May be called again."""
        self._domain = None
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    @contextlib.contextmanager
    def _unavailable_on_failure(self) -> t.Iterator[None]:
        """Map the errors of code that connects to libvirt and asks for no more than the domain's state."""
        libvirt = self.library()
        try:
            yield
        except TimeoutError as exc:
            self.abandon()
            raise EndpointUnavailable(f"{self.description}: no answer from libvirt in time") from exc
        except libvirt.libvirtError as exc:
            self.close()
            refusal = self.refusal(exc) or EndpointUnavailable(
                f"{self.description}: {excerpt(exc.get_error_message())}"
            )
            raise refusal from exc

    def _state(self, deadline: Deadline) -> DomainState:
        """Return the domain's state. Only a call shows that a connection is gone; it is then opened again."""
        state = parse_state(self.library(), self._ask_state(deadline))
        if state is not DomainState.RUNNING:
            self._trusted_until = 0.0
        return state

    def _ask_state(self, deadline: Deadline) -> int:
        if self._domain is not None:
            try:
                return self.call(_state_number, deadline)
            except self.library().libvirtError:
                if not self.broken:
                    raise
            self.close()
            self._settled_at = time.monotonic() + _SETTLE_TIMEOUT
        self._connection = self._connect(self.library(), self._uri, deadline)
        self._domain = self._connection.find_domain(self._name, deadline)
        return self.call(_state_number, deadline)

    def _ask(self, function: t.Callable[[t.Any], T]) -> T | None:
        """Return what the function returns for the domain; None if libvirt does not answer soon."""
        if self._domain is not None:
            with contextlib.suppress(TimeoutError, self.library().libvirtError):
                return self.call(function, Deadline.after(_DETAILS_TIMEOUT))
        return None


def _state_number(domain: t.Any) -> int:
    return t.cast(int, domain.state()[0])
