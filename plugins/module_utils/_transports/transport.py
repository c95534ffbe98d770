# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface of an open byte channel to an agent. Nothing in its implementations knows JSON."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import Unreachable


class Transport(t.Protocol):
    """An open channel."""

    def send(self, data: bytes, deadline: Deadline) -> None:
        """Send all of the data.

        :raises TimeoutError: the deadline passed first; part of the data may have been sent.
        :raises ConnectionError: the other side closed the channel.
        """

    def receive(self, deadline: Deadline) -> bytes:
        """Return what has arrived, at least one byte; nothing at the end of the stream.

        :raises TimeoutError: nothing arrived before the deadline.
        """

    def no_reply_error(self) -> Unreachable:
        """Return the error for a channel that is open, but on which no agent answers."""

    def closed_error(self) -> Unreachable:
        """Return the error for a channel that the other side closed."""

    def close(self) -> None:
        """Close the channel. May be called again."""
