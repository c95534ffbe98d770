# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The face of a way to an agent, and what passes over it: calls, and their outcomes."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer, ErrorReply


@dataclass(frozen=True)
class Call:
    """A command for the agent.

    :param command: its name.
    :param arguments: its arguments, as QEMU's schema has them. They may hold secrets, so they have no place in a repr.
    :param success_response: False if it is silent when it succeeds (QAPI's ``success-response: false``).
    """

    command: str
    arguments: t.Mapping[str, t.Any] = field(default_factory=dict, repr=False)
    success_response: bool = True


@dataclass(frozen=True)
class NoReply:
    """A command that is silent when it succeeds has been silent."""


Outcome = t.Union[Answer, ErrorReply, NoReply]


@dataclass(frozen=True)
class SyncReport:
    """A sync that succeeded.

    :param sync_id: the id that was matched.
    :param discarded: bytes of before that were thrown away.
    :param delimited: whether the reply had its sentinel.
    :param seconds: from the request to the reply.
    """

    sync_id: int
    discarded: int
    delimited: bool
    seconds: float


class Channel(t.Protocol):
    """A way to one agent."""

    @property
    def endpoint(self) -> str:
        """Where it leads, as the user wrote it."""

    @property
    def chunk(self) -> int:
        """How many bytes of a file go well into one request."""

    @property
    def reply_chunk(self) -> int:
        """How many bytes of a file go well into one reply."""

    def sync(self, deadline: Deadline) -> SyncReport:
        """Open the channel if it is not, and sync it.

        :raises Unreachable: no agent answered before the deadline.
        :raises ProtocolViolation: something else than an agent answered.
        """

    def exchange(self, calls: t.Sequence[Call], deadline: Deadline) -> list[Outcome]:
        """Have the agent carry out the calls, in order, after a sync if that is due.

        A call that is silent on success is over when the deadline, or the reply timeout, passes without an error.

        :returns: the outcome of each call.
        :raises Unreachable: there is no agent; no call was carried out.
        :raises OutcomeUnknown: the answer to some call did not come. Those after it were not sent, or are unknown too.
        :raises ProtocolViolation: something else than an answer came. The same holds for the calls.
        """

    def pause(self, seconds: float, deadline: Deadline) -> None:
        """Do nothing for a while; another process that waits for the channel gets it meanwhile."""

    def close(self) -> None:
        """Let go of the channel. May be called again; the next call opens it anew."""
