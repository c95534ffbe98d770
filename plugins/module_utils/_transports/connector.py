# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface of everything that opens a byte channel to an agent: one connector for each kind of endpoint."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._transports.transport import Transport


class Connector(t.Protocol):
    """The place where an agent is reached, and how a channel to it is opened."""

    @property
    def name(self) -> str:
        """The endpoint as the user wrote it, for messages."""

    @property
    def lock_key(self) -> str:
        """What identifies the channel. Endpoints with the same key are one channel, which has one user at a time."""

    @property
    def chunk(self) -> int:
        """How many bytes of a file go well into one request or reply."""

    def connect(self, deadline: Deadline) -> Transport:
        """Open the channel.

        :raises EndpointUnavailable: it cannot be opened.
        :raises EndpointBusy: another client held it until the deadline.
        """
