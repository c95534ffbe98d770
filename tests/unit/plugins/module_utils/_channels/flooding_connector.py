# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A channel without a socket, to an agent whose replies are longer than a socket delivers in the time of a test."""

from __future__ import annotations

import json
import typing as t
from collections import deque
from dataclasses import dataclass, field

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import AgentSilent, ChannelClosed, Unreachable

#: As much as the transports read at a time.
PIECE = 256 * 1024


@dataclass
class FloodingConnector:
    """An agent that answers a sync, and every other request with the same bytes.

    :param pieces: makes the bytes that follow the request's id, like ``"return": {}}``, or anything else.
    :param with_id: whether ``{"id": NUMBER, `` comes before them.
    """

    pieces: t.Callable[[], t.Iterable[bytes]]
    with_id: bool = True
    name: str = "test:flood"
    lock_key: str = "test:flood"
    chunk: int = 1024 * 1024
    #: How many bytes were received.
    received: int = 0
    _queue: deque[t.Iterator[bytes]] = field(default_factory=deque)

    def connect(self, deadline: Deadline) -> FloodingConnector:
        """Return this object, which is the transport too."""
        self._queue.clear()
        return self

    def send(self, data: bytes, deadline: Deadline) -> None:
        """Queue the answers to the requests."""
        for line in data.lstrip(b"\xff").splitlines():
            request = json.loads(line)
            if request["execute"] == "guest-sync-delimited":
                sync_id = request["arguments"]["id"]
                self._queue.append(iter([b'\xff{"return": %d, "id": %d}\n' % (sync_id, request["id"])]))
                continue
            if self.with_id:
                self._queue.append(iter([b'{"id": %d, ' % request["id"]]))
            self._queue.append(iter(self.pieces()))

    def receive(self, deadline: Deadline) -> bytes:
        """Return the next piece."""
        while self._queue:
            piece = next(self._queue[0], None)
            if piece is not None:
                self.received += len(piece)
                return piece
            self._queue.popleft()
        raise TimeoutError

    def no_reply_error(self) -> Unreachable:
        """Return an error."""
        return AgentSilent(self.name)

    def closed_error(self) -> Unreachable:
        """Return an error."""
        return ChannelClosed(self.name)

    def close(self) -> None:
        """Do nothing."""


def cut(*parts: tuple[bytes, int]) -> t.Callable[[], t.Iterator[bytes]]:
    """Return a function that yields each part as often as its number, in pieces of 256 KiB, without keeping them."""

    def pieces() -> t.Iterator[bytes]:
        for part, count in parts:
            at_once = max(1, PIECE // len(part))
            for start in range(0, count, at_once):
                yield part * min(at_once, count - start)

    return pieces
