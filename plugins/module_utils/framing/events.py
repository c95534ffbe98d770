# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes into a session and comes out of it: requests to send, and the events that received bytes become."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils.framing.limits import DEFAULT_LIMITS, Limits


@dataclass(frozen=True)
class Request:
    """A command as bytes to send. :meth:`Session.prepare` makes it.

    :param number: identifies the request in the events that answer it.
    :param data: the bytes to send.
    :param success_response: False for a command that is silent when it succeeds (QAPI's ``success-response: false``).
    :param limits: bounds for its reply.
    """

    number: int
    data: bytes
    success_response: bool = True
    limits: Limits = DEFAULT_LIMITS


@dataclass(frozen=True)
class Synced:
    """A sync that succeeded.

    :param sync_id: the id that matched.
    :param discarded: how many bytes that came before the reply were discarded.
    :param delimited: whether a sentinel preceded the reply.
    :param echoes_ids: whether the agent repeats the id of a request in its reply.
    """

    sync_id: int
    discarded: int
    delimited: bool
    echoes_ids: bool


@dataclass(frozen=True)
class DelimitedSyncMissing:
    """An agent that does not know guest-sync-delimited. The next sync is a plain one."""


@dataclass(frozen=True)
class IdsRefused:
    """An agent that refused the sync because of its id. The next sync carries none, and neither do requests."""


@dataclass(frozen=True)
class Answer:
    """The ``return`` of a request's reply."""

    number: int
    value: t.Any


@dataclass(frozen=True)
class ErrorReply:
    """The ``error`` of a request's reply.

    :param error_class: its ``class``; empty if libvirt received the reply, because libvirt does not pass it on.
    :param desc: its ``desc``.
    """

    number: int
    error_class: str
    desc: str


@dataclass(frozen=True)
class Discarded:
    """Received bytes that answer none of our requests and were discarded.

    :param reason: why they answer none.
    :param size: how many bytes.
    """

    reason: str
    size: int


@dataclass(frozen=True)
class Closed:
    """The end of the channel.

    :param partial: how many bytes of an unfinished line had come.
    """

    partial: int


Event = t.Union[Synced, DelimitedSyncMissing, IdsRefused, Answer, ErrorReply, Discarded, Closed]
