# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Suspending a guest through its agent, and waking it up through libvirt.

The agent is silent when that succeeds, so what comes of it is watched from outside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.availability import wait_for_agent
from ansible_collections.netless.qga.plugins.module_utils._guest.power.guest_monitor import (
    LIBVIRT_TIMEOUT,
    GuestMonitor,
)
from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import DomainState, LibvirtDomain
from ansible_collections.netless.qga.plugins.module_utils._libvirt.power import wake_up

DISK = "disk"

#: The command of each mode.
COMMANDS = {"ram": "guest-suspend-ram", DISK: "guest-suspend-disk", "hybrid": "guest-suspend-hybrid"}

# How long the agent has to be silent on an open channel until the guest counts as suspended.
SILENCE_TIMEOUT = 10.0

# How long the agent's error is waited for. It tries the ways there are, one after the other.
ERROR_TIMEOUT = 10.0


@dataclass(frozen=True)
class Evidence:
    """What shows that a guest is suspended.

    :param evidence: ``domain_suspended``, ``domain_off``, ``channel_closed`` or ``agent_gone``.
    """

    evidence: str

    @property
    def state(self) -> str:
        """Of the guest: ``suspended``, or ``off`` with its memory on its disk."""
        return "off" if self.evidence in ("domain_off", "channel_closed") else "suspended"


class Suspend:
    """One guest that is to be suspended.

    :param monitor: of the guest.
    :param mode: one of :data:`COMMANDS`.
    :param libvirt_waits: whether the command goes through libvirt's own call, which returns when it has happened.
    """

    def __init__(self, monitor: GuestMonitor, mode: str, *, libvirt_waits: bool = False) -> None:
        self._monitor = monitor
        self._agent = monitor.agent
        self._domain = monitor.domain
        self._mode = mode
        self._libvirt_waits = libvirt_waits

    def already(self, deadline: Deadline) -> Evidence | None:
        """What shows that the guest is suspended; None if nothing does, as there is nothing to see on a socket.

        :raises EndpointUnavailable: libvirt does not answer or refuses.
        """
        return None if self._domain is None else self._evidence_of(self._domain.state(deadline))

    def check(self, deadline: Deadline) -> None:
        """See that the agent will take the command; raises what :meth:`Agent.require_commands` does."""
        self._agent.require_commands(COMMANDS[self._mode], deadline=deadline)

    def begin(self, deadline: Deadline) -> Evidence | None:
        """Have the guest suspend itself; returns what shows that it did, None if nothing does until the deadline.

        :raises AgentRefused: neither it nor libvirt can, or may.
        :raises Unreachable: there is no agent; nothing was done.
        """
        error_timeout = math.inf if self._libvirt_waits else ERROR_TIMEOUT
        self._monitor.send(COMMANDS[self._mode], error_timeout=error_timeout, deadline=deadline)
        return self._monitor.wait_for(self._look, deadline)

    def end(self, domain: LibvirtDomain, deadline: Deadline) -> None:
        """Wake the guest up from its memory, and wait for its agent.

        :raises EndpointUnavailable: libvirt does not answer or refuses.
        :raises AgentSilent: the guest was woken up, and its agent does not answer.
        """
        wake_up(domain, Deadline.after(LIBVIRT_TIMEOUT))
        wait_for_agent(self._agent, attempt_seconds=self._monitor.poll_timeout, deadline=deadline)

    def _look(self) -> Evidence | None:
        if self._domain is not None:
            state = self._monitor.domain_state()
            return None if state is None else self._evidence_of(state)
        absence = self._monitor.agent_absence(SILENCE_TIMEOUT)
        return None if absence is None else Evidence(absence)

    def _evidence_of(self, state: DomainState) -> Evidence | None:
        if self._mode == DISK:
            return Evidence("domain_off") if state is DomainState.OFF else None
        return Evidence("domain_suspended") if state is DomainState.SUSPENDED else None
