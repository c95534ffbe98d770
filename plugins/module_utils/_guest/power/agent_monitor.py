# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Noticing that an agent has gone, and whether its channel has gone with it.

This is what a guest that ends looks like from a socket: QEMU ends and nobody listens any more, or QEMU stays and nobody
answers.
"""

from __future__ import annotations

import errno
import os
import stat
import time

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    ChannelClosed,
    EndpointBusy,
    EndpointUnavailable,
    ProtocolViolation,
    Unreachable,
)

# A relay or a network may fail for a moment. QEMU that has ended is gone the next time, too.
_CLOSED_LOOKS = 2

_NOBODY_THERE = (errno.ENOENT, errno.ECONNREFUSED, errno.ECONNRESET, errno.ENODEV, errno.ENXIO, errno.EIO)


class AgentMonitor:
    """Looks whether an agent answers.

    :param look_seconds: how long it may take to. Shorter silence is none.
    """

    def __init__(self, agent: Agent, *, poll_timeout: float) -> None:
        self._agent = agent
        self._poll_timeout = poll_timeout
        self._silent_since: float | None = None
        self._closed_looks = 0
        #: Whether it did not answer once.
        self.noticed = False
        #: What the last look has shown, for messages.
        self.last = "nothing was seen"

    @property
    def channel_closed(self) -> bool:
        """Whether there is nobody at the other end of the channel any more."""
        return self._closed_looks >= _CLOSED_LOOKS

    @property
    def silent_seconds(self) -> float:
        """For how long it has not answered."""
        return 0.0 if self._silent_since is None else time.monotonic() - self._silent_since

    def poll(self) -> bool:
        """Ask the agent; returns whether it answers."""
        asked = time.monotonic()
        closed = False
        try:
            self._agent.sync(Deadline.after(self._poll_timeout))
        except EndpointBusy as exc:
            # That says nothing about the agent.
            self.last = str(exc)
            return False
        except (Unreachable, ProtocolViolation) as exc:
            closed = is_nobody_there(exc, self._agent.endpoint)
            self.last = str(exc)
        else:
            self._silent_since, self._closed_looks = None, 0
            self.last = f"{self._agent.endpoint}: the agent still answers"
            return True
        self._closed_looks = self._closed_looks + 1 if closed else 0
        self._silent_since = self._silent_since or asked
        self.noticed = True
        return False


def is_nobody_there(exc: Exception, endpoint: str) -> bool:
    """Whether an error means that there is nothing at the other end of a channel, and not that we may not go there."""
    # A program that ends, or cannot be started, says nothing about what it would lead to: the way there may be closed.
    if endpoint.startswith("exec:"):
        return False
    if isinstance(exc, ChannelClosed):
        return True
    cause = exc.__cause__ if isinstance(exc, EndpointUnavailable) else None
    return isinstance(cause, OSError) and cause.errno in _NOBODY_THERE and not _is_no_socket(endpoint)


def is_left_behind(exc: Exception, endpoint: str) -> bool:
    """Whether an error is that of a Unix socket whose server has ended and not removed it."""
    cause = exc.__cause__
    refused = isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED
    return endpoint.startswith("unix:") and refused and not _is_no_socket(endpoint)


def _is_no_socket(endpoint: str) -> bool:
    """Whether a Unix socket's path is that of something else, where nobody listens either."""
    kind, path = endpoint.partition(":")[::2]
    try:
        return kind == "unix" and not stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False
