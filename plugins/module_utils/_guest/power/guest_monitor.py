# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Watching a guest from outside while its power state changes.

An agent does not answer when it shuts its guest down or suspends it. The domain's state and the agent's channel show
what happened.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.power.agent_monitor import AgentMonitor
from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import DomainState, LibvirtDomain
from ansible_collections.netless.qga.plugins.module_utils.errors import Unreachable

T = t.TypeVar("T")

#: Seconds that libvirt may take for one call.
LIBVIRT_TIMEOUT = 30.0

# An agent that takes longer than this to answer a sync counts as silent.
_MAX_POLL_TIMEOUT = 5.0

# Wait at least this long for an error, even if no time is left: the agent may report it at once.
_MIN_ERROR_TIMEOUT = 0.5

_POLL_INTERVAL = 1.0


class GuestMonitor:
    """A guest, as its domain and its agent show it.

    :param agent: the guest's agent.
    :param domain: the guest's domain, if libvirt can be asked about it.
    :param connect_timeout: seconds that reaching the agent may take.
    """

    def __init__(self, agent: Agent, domain: LibvirtDomain | None, *, connect_timeout: float) -> None:
        self.agent = agent
        self.domain = domain
        #: Seconds that the agent may take to answer while the guest is watched.
        self.poll_timeout = min(_MAX_POLL_TIMEOUT, connect_timeout)
        #: What was seen last, for messages.
        self.last = "nothing was seen"
        self._agent_monitor = AgentMonitor(agent, poll_timeout=self.poll_timeout)
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since this monitor was made."""
        return time.monotonic() - self._started

    @property
    def agent_was_silent(self) -> bool:
        """Whether the agent has failed to answer at least once."""
        return self._agent_monitor.was_silent

    def send(
        self, command: str, arguments: t.Mapping[str, t.Any] | None = None, *, error_timeout: float, deadline: Deadline
    ) -> None:
        """Send a command that the agent does not answer when it succeeds.

        :param error_timeout: seconds to wait for the agent's error.
        :param deadline: ends the wait earlier, but leaves half a second.
        :raises AgentRefused: the agent, or libvirt, answered with an error.
        :raises Unreachable: there is no agent; nothing was done.
        """
        grace = max(deadline.within(error_timeout), Deadline.after(_MIN_ERROR_TIMEOUT))
        self.agent.call_silent(command, arguments, deadline=grace)

    def wait_for(self, look: t.Callable[[], T | None], deadline: Deadline) -> T | None:
        """Look again and again until something is seen.

        :param look: returns what it sees, or None.
        :returns: what was seen; None if nothing was until the deadline. There is one look even if it has passed.
        """
        while True:
            seen = look()
            if seen is not None or deadline.passed:
                return seen
            deadline.sleep(_POLL_INTERVAL)

    def domain_state(self) -> DomainState | None:
        """Return the domain's state; None if libvirt does not answer now, for example while it is being restarted."""
        domain = t.cast(LibvirtDomain, self.domain)
        try:
            state = domain.state(Deadline.after(LIBVIRT_TIMEOUT))
        except Unreachable as exc:
            self.last = str(exc)
            return None
        self.last = f"{domain.description}: the domain is {state.value}"
        return state

    def agent_answers(self) -> bool:
        """Ask the agent once, and return whether it answers."""
        answers = self._agent_monitor.poll()
        self.last = self._agent_monitor.last
        return answers

    def agent_absence(self, silence_timeout: float) -> str | None:
        """Ask the agent once, and return what shows that its guest has ended or sleeps.

        :param silence_timeout: seconds that an agent has to be silent on an open channel.
        :returns: ``channel_closed`` or ``agent_gone``; None if neither is certain.
        """
        self.agent_answers()
        if self._agent_monitor.channel_closed:
            return "channel_closed"
        return "agent_gone" if self._agent_monitor.silent_seconds >= silence_timeout else None
