# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Noticing that an agent has gone, and whether its channel has gone with it.

A guest that goes down looks like this from a socket: either QEMU ends and nobody listens any more, or QEMU stays and
nobody answers.
"""

from __future__ import annotations

import time

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    EndpointBusy,
    ProtocolViolation,
    Unreachable,
    UnreachableReason,
)

#: Errors with these reasons prove that nobody is at the other end of the channel.
NOBODY_THERE = frozenset(
    {
        UnreachableReason.ABSENT,
        UnreachableReason.LEFT_BEHIND,
        UnreachableReason.REFUSED,
        UnreachableReason.CLOSED,
    }
)

# So many polls in a row have to find the channel closed. A relay or a network may fail for a moment, while a QEMU that
# has ended is still gone at the next poll.
_CLOSED_POLLS = 2


class AgentMonitor:
    """An agent, polled to learn whether it still answers.

    :param agent: the agent.
    :param poll_timeout: seconds that the agent may take to answer a poll. Shorter silence does not count.
    """

    def __init__(self, agent: Agent, *, poll_timeout: float) -> None:
        self._agent = agent
        self._poll_timeout = poll_timeout
        self._silent_since: float | None = None
        self._closed_polls = 0
        #: Whether the agent has failed to answer at least once.
        self.was_silent = False
        #: What the last poll has shown, for messages.
        self.last = "nothing was seen"

    @property
    def channel_closed(self) -> bool:
        """Whether nobody is at the other end of the channel any more."""
        return self._closed_polls >= _CLOSED_POLLS

    @property
    def silent_seconds(self) -> float:
        """Seconds since the agent stopped answering."""
        return 0.0 if self._silent_since is None else time.monotonic() - self._silent_since

    def poll(self) -> bool:
        """Ask the agent once, and return whether it answers."""
        asked = time.monotonic()
        closed = False
        try:
            self._agent.sync(Deadline.after(self._poll_timeout))
        except EndpointBusy as exc:
            # This shows nothing about the agent.
            self.last = str(exc)
            return False
        except Unreachable as exc:
            closed = exc.reason in NOBODY_THERE
            self.last = str(exc)
        except ProtocolViolation as exc:
            self.last = str(exc)
        else:
            self._silent_since, self._closed_polls = None, 0
            self.last = f"{self._agent.endpoint}: the agent still answers"
            return True
        self._closed_polls = self._closed_polls + 1 if closed else 0
        self._silent_since = self._silent_since or asked
        self.was_silent = True
        return False
