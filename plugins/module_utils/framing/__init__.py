# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The QEMU guest agent's protocol without any I/O, for use on any byte channel.

A :class:`Session` turns commands into bytes to send, and received bytes into events. The caller owns the channel::

    session = Session()
    channel.sendall(session.sync())
    while True:
        event = session.next_event()
        if event is None:
            session.receive_data(channel.recv(65536))
        elif isinstance(event, (DelimitedSyncMissing, IdsRefused)):
            channel.sendall(session.sync())
        elif isinstance(event, Synced):
            channel.sendall(session.send(session.prepare("guest-info")))
        elif isinstance(event, (Answer, ErrorReply)):
            break

After a timeout call :meth:`Session.abandon` and sync again. At the end of the channel call :meth:`Session.receive_eof`.
:class:`Limits` bounds what a guest may send. The errors are those of :mod:`..errors`.
"""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils.framing.events import (
    Answer,
    Closed,
    DelimitedSyncMissing,
    Discarded,
    ErrorReply,
    Event,
    IdsRefused,
    Request,
    Synced,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.limits import DEFAULT_LIMITS, Limits
from ansible_collections.netless.qga.plugins.module_utils.framing.state import State

if t.TYPE_CHECKING:
    from ansible_collections.netless.qga.plugins.module_utils.framing.session import Session

__all__ = [
    "DEFAULT_LIMITS",
    "Answer",
    "Closed",
    "DelimitedSyncMissing",
    "Discarded",
    "ErrorReply",
    "Event",
    "IdsRefused",
    "Limits",
    "Request",
    "Session",
    "State",
    "Synced",
]


def __getattr__(name: str) -> t.Any:
    """Import the session when it is first used: most processes of Ansible need only the events."""
    if name == "Session":
        from ansible_collections.netless.qga.plugins.module_utils.framing.session import Session as session

        return session
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
