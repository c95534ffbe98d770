# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Suspending a guest through its agent, and waking it up through libvirt.

The agent is silent when that succeeds, so what comes of it is watched from outside.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.availability import wait_for_agent
from ansible_collections.netless.qga.plugins.module_utils._guest.power.agent_monitor import AgentMonitor
from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import DomainState, LibvirtDomain
from ansible_collections.netless.qga.plugins.module_utils._libvirt.power import wake_up
from ansible_collections.netless.qga.plugins.module_utils.errors import Unreachable

DISK = "disk"

#: The command of each mode.
COMMANDS = {"ram": "guest-suspend-ram", DISK: "guest-suspend-disk", "hybrid": "guest-suspend-hybrid"}

# How long the agent has to be silent on an open channel until the guest counts as suspended.
QUIET_SECONDS = 10.0

# How long the agent's error is waited for. It tries the ways there are, one after the other.
GRACE_SECONDS = 10.0
_MIN_GRACE = 0.5

_LIBVIRT_TIMEOUT = 30.0
_PAUSE_SECONDS = 1.0


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


class Suspension:
    """One guest that is to be suspended.

    :param domain: of the guest, if libvirt can be asked about it.
    :param mode: one of :data:`COMMANDS`.
    :param look_seconds: how long the agent may take to show that it is there.
    :param libvirt_waits: whether the command goes through libvirt's own call, which returns when it has happened.
    """

    def __init__(
        self,
        agent: Agent,
        domain: LibvirtDomain | None,
        mode: str,
        *,
        poll_timeout: float,
        libvirt_waits: bool = False,
    ) -> None:
        self._agent = agent
        self._domain = domain
        self._mode = mode
        self._poll_timeout = poll_timeout
        self._libvirt_waits = libvirt_waits
        self._monitor = AgentMonitor(agent, poll_timeout=poll_timeout)
        #: What was seen last, for messages.
        self.last = ""

    def already(self, deadline: Deadline) -> Evidence | None:
        """What shows that the guest is suspended; None if nothing does, as there is nothing to see on a socket.

        :raises EndpointUnavailable: libvirt does not answer or refuses.
        """
        return None if self._domain is None else self._sight_of(self._domain.state(deadline))

    def check(self, deadline: Deadline) -> None:
        """See that the agent will take the command; raises what :meth:`Agent.require_commands` does."""
        self._agent.require_commands(COMMANDS[self._mode], deadline=deadline)

    def begin(self, deadline: Deadline) -> Evidence | None:
        """Have the guest suspend itself; returns what shows that it did, None if nothing does until the deadline.

        :raises AgentRefused: neither it nor libvirt can, or may.
        :raises Unreachable: there is no agent; nothing was done.
        """
        grace = max(Deadline.after(_MIN_GRACE), deadline if self._libvirt_waits else deadline.within(GRACE_SECONDS))
        self._agent.call_silent(COMMANDS[self._mode], deadline=grace)
        while True:
            sight = self._look()
            if sight is not None or deadline.passed:
                return sight
            deadline.sleep(_PAUSE_SECONDS)

    def end(self, domain: LibvirtDomain, deadline: Deadline) -> None:
        """Wake the guest up from its memory, and wait for its agent.

        :raises EndpointUnavailable: libvirt does not answer or refuses.
        :raises AgentSilent: the guest was woken up, and its agent does not answer.
        """
        wake_up(domain, Deadline.after(_LIBVIRT_TIMEOUT))
        wait_for_agent(self._agent, attempt_seconds=self._poll_timeout, deadline=deadline)

    def _look(self) -> Evidence | None:
        if self._domain is not None:
            try:
                state = self._domain.state(Deadline.after(_LIBVIRT_TIMEOUT))
            except Unreachable as exc:
                # As when libvirt is being restarted.
                self.last = str(exc)
                return None
            self.last = f"{self._domain.description}: the domain is {state.value}"
            return self._sight_of(state)
        self._monitor.poll()
        self.last = self._monitor.last
        if self._monitor.channel_closed:
            return Evidence("channel_closed")
        return Evidence("agent_gone") if self._monitor.silent_seconds >= QUIET_SECONDS else None

    def _sight_of(self, state: DomainState) -> Evidence | None:
        if self._mode == DISK:
            return Evidence("domain_off") if state is DomainState.OFF else None
        return Evidence("domain_suspended") if state is DomainState.SUSPENDED else None
