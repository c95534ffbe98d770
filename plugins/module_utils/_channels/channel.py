# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface that every channel to an agent implements, and what passes over it: calls and their outcomes."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer, ErrorReply


@dataclass(frozen=True)
class Call:
    """A command for the agent.

    :param command: its name.
    :param arguments: its arguments, as QEMU's schema has them. They may hold secrets, so the repr leaves them out.
    :param success_response: False if it is silent when it succeeds (QAPI's ``success-response: false``).
    """

    command: str
    arguments: t.Mapping[str, t.Any] = field(default_factory=dict, repr=False)
    success_response: bool = True


@dataclass(frozen=True)
class NoReply:
    """The outcome of a command that is silent when it succeeds, and was silent."""


#: What became of one call.
Outcome = t.Union[Answer, ErrorReply, NoReply]


@dataclass(frozen=True)
class SyncReport:
    """A sync that succeeded.

    :param sync_id: the id that matched.
    :param discarded: bytes that came before the reply and were discarded.
    :param delimited: whether the reply had its sentinel.
    :param seconds: from the request to the reply.
    """

    sync_id: int
    discarded: int
    delimited: bool
    seconds: float


class Channel(t.Protocol):
    """A channel to one agent."""

    @property
    def endpoint(self) -> str:
        """The endpoint as the user wrote it, for messages."""

    @property
    def chunk(self) -> int:
        """How many bytes of a file suit one request."""

    @property
    def reply_chunk(self) -> int:
        """How many bytes of a file suit one reply."""

    def sync(self, deadline: Deadline) -> SyncReport:
        """Open the channel if it is not open, and sync it.

        :raises Unreachable: no agent answered before the deadline.
        :raises ProtocolViolation: something other than an agent answered.
        """

    def exchange(self, calls: t.Sequence[Call], deadline: Deadline) -> list[Outcome]:
        """Have the agent carry out the calls, in order, after a sync if the channel is not in sync.

        A call that is silent on success ends when the deadline, or the reply timeout, passes without an error.

        :returns: the outcome of each call.
        :raises Unreachable: there is no agent; no call was carried out.
        :raises OutcomeUnknown: a call was not answered. The calls after it were not sent, or are unknown too.
        :raises ProtocolViolation: something other than an answer came. The outcome of the calls is unknown as well.
        """

    def pause(self, seconds: float, deadline: Deadline) -> None:
        """Sleep. Another process that waits for the channel gets it in the meantime."""

    def close(self) -> None:
        """Close the channel. This may be called again; the next call opens it again."""


@t.runtime_checkable
class KeptOpen(t.Protocol):
    """What a channel can do in addition if another process keeps it open between the tasks that use it."""

    @property
    def owner_name(self) -> str:
        """A name of the Ansible process whose tasks use the channel. No other one has this name."""

    def drop(self) -> None:
        """Close the channel in that process too."""

    def at_end(self, key: str, call: Call | None) -> None:
        """Have that process carry out a call when Ansible has ended, see :meth:`Agent.at_end`."""


class HeldChannel(Channel, t.Protocol):
    """A channel that this process itself holds open, and whose settings it can change between two exchanges."""

    #: Seconds for opening the channel and its first answer.
    connect_timeout: float
    #: Seconds that the agent may take for one reply.
    reply_timeout: float
    #: Whether to use libvirt's own function for a command that has one. Only libvirtd's channel has any.
    native_calls: bool

    @property
    def held(self) -> bool:
        """Whether other processes of this user have to wait until this one releases the channel."""

    def yield_to_waiters(self) -> None:
        """Close the channel, and let another process of this user open it, if one waits for it."""
