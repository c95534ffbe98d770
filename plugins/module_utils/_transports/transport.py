# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a byte channel to an agent has to be able to do. Nothing here or in its implementations knows JSON."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import Unreachable


class Transport(t.Protocol):
    """An open channel."""

    def send(self, data: bytes, deadline: Deadline) -> None:
        """Send all of the data.

        :raises TimeoutError: the deadline passed first; part of the data may have been sent.
        :raises ConnectionError: the other side hung up.
        """

    def receive(self, deadline: Deadline) -> bytes:
        """What has arrived, at least one byte; none at the end of the stream.

        :raises TimeoutError: nothing arrived before the deadline.
        """

    def no_reply_error(self) -> Unreachable:
        """The error to raise when the channel is open and no agent answers on it."""

    def closed_error(self) -> Unreachable:
        """The error to raise when the other side hung up."""

    def close(self) -> None:
        """Let go of the channel. May be called again."""


class Connector(t.Protocol):
    """Where an agent is reached, in QEMU's notation."""

    @property
    def name(self) -> str:
        """The endpoint as the user wrote it, for messages."""

    @property
    def lock_key(self) -> str:
        """What it comes down to: two endpoints with the same one are the same channel, which has one user at a time."""

    @property
    def chunk(self) -> int:
        """How many bytes of a file go well into one request or reply."""

    def connect(self, deadline: Deadline) -> Transport:
        """Open the channel.

        :raises EndpointUnavailable: it cannot be opened.
        :raises EndpointBusy: somebody else holds it, until the deadline.
        """
