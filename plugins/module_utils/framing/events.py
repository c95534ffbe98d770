# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the framing core takes and gives: requests that are bytes, and the events that received bytes become."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """A command made into bytes. Made by :meth:`Session.prepare`.

    :param number: names the request in the events that answer it.
    :param data: the bytes to send.
    :param success_response: False for a command that is silent when it succeeds (QAPI's ``success-response: false``).
    """

    number: int
    data: bytes
    success_response: bool = True


@dataclass(frozen=True)
class Synced:
    """The sync succeeded.

    :param sync_id: the id that matched.
    :param discarded: how many bytes of before were thrown away.
    :param delimited: whether a sentinel preceded the reply.
    """

    sync_id: int
    discarded: int
    delimited: bool


@dataclass(frozen=True)
class DelimitedSyncMissing:
    """The agent does not know guest-sync-delimited; the next sync is a plain one."""


@dataclass(frozen=True)
class Answer:
    """The ``return`` of a request's reply."""

    number: int
    value: t.Any


@dataclass(frozen=True)
class ErrorReply:
    """The ``error`` of a request's reply.

    :param error_class: its ``class``; nothing if libvirt had the reply, which does not pass that on.
    :param desc: its ``desc``.
    """

    number: int
    error_class: str
    desc: str


@dataclass(frozen=True)
class IdsRefused:
    """The agent refused the request because of its id, without looking at the command. It may be prepared anew."""

    number: int


@dataclass(frozen=True)
class Discarded:
    """Something that answers none of our requests was thrown away."""

    reason: str
    size: int


@dataclass(frozen=True)
class Closed:
    """The other side ended the channel, in the middle of a line if ``partial`` bytes of one had come."""

    partial: int


Event = t.Union[Synced, DelimitedSyncMissing, Answer, ErrorReply, IdsRefused, Discarded, Closed]
