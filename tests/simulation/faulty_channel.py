# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A channel to a model guest that loses, repeats, delays and cuts bytes, as a random generator decides."""

from __future__ import annotations

import json
import random

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentSilent,
    ChannelClosed,
    EndpointUnavailable,
    Unreachable,
)

from .clock import VirtualClock
from .model_guest import ModelGuest

# What other clients and earlier runs leave in a channel: whole and cut requests, and replies that nobody has read.
_HALF_REQUESTS = (
    b'{"execute": "guest-ping"',
    b'{"execute": "guest-exec", "arguments": {"path": "x',
    b"[[[",
    b"}",
    b"\xff",
    b"",
)
_STALE_REPLIES = (
    b'{"return": {}}\n',
    b'{"return": {}, "id": 1}\n',
    b'{"return": {"pid": 7}}\n',
    b'\xff{"return": 12345}\n',
    b'{"error": {"class": "CommandNotFound", "desc": "The command guest-x has not been found"}}\n',
    b'{"return": {"count": 3, "buf-b64": "QU',
    b"\n\n\n",
    b"\xff",
    b"",
)


class FaultyChannel:
    """A connector and its transport.

    :param faults: how likely each request, reply and connection has a fault, from 0 to 1. It may change any time.
    :param foreign_replies: whether replies to other clients appear while the channel is in use. An agent that does not
        echo ids leaves no way to distinguish them. If so, what an earlier connection left may also arrive late, between
        what comes on the next connection.
    :param chunk: how many bytes of a file go into one request.
    """

    def __init__(
        self, guest: ModelGuest, clock: VirtualClock, generator: random.Random, *, foreign_replies: bool, chunk: int
    ) -> None:
        self.chunk = chunk
        self.name = self.lock_key = "sim:channel"
        self.faults = 0.0
        self._guest = guest
        self._clock = clock
        self._random = generator
        self._foreign_replies = foreign_replies
        # When something arrives, and the number of its connection. It is in order for each connection.
        self._inbox: list[tuple[float, int, bytes]] = []
        self._connection = 0
        self._closed = True
        #: What was sent and received, and when.
        self.history: list[tuple[float, int]] = []

    def connect(self, deadline: Deadline) -> FaultyChannel:
        """Open the channel, with what others left in it."""
        self._closed = False
        if self._happens():
            if self._random.random() < 0.3:
                raise EndpointUnavailable(f"{self.name}: refused")
            # Nobody reads what the agent answers to it.
            self._guest.feed(self._random.choice(_HALF_REQUESTS))
            self._arrive(self._random.choice(_STALE_REPLIES))
        if self._random.random() < 0.5:
            self._inbox.clear()
        if self._foreign_replies:
            self._connection += 1
        return self

    def send(self, data: bytes, deadline: Deadline) -> None:
        """Deliver the data, or a part of it."""
        if self._closed:
            raise ConnectionError
        self.history.append((self._clock.now, len(data)))
        if not self._happens():
            self._deliver(data)
            return
        kind = self._random.choice(["cut", "lost", "blocked", "restart", "reboot", "load", "save"])
        self._deliver(data[: self._random.randint(0, len(data))] if kind != "save" else data)
        if kind == "cut":
            self._closed = True
            raise ConnectionError
        if kind == "blocked":
            self._clock.wait_until(deadline.at)
            raise TimeoutError
        self.disturb(kind)
        if kind != "save" and self._happens():
            # QEMU ends the connection when it ends, and keeps it for a snapshot.
            self._closed = True

    def receive(self, deadline: Deadline) -> bytes:
        """Return some of what has arrived."""
        if not self._inbox or self._inbox[0][0] > max(deadline.at, self._clock.now):
            if self._closed:
                return b""
            self._clock.wait_until(deadline.at)
            raise TimeoutError
        arrival, connection, data = self._inbox.pop(0)
        self._clock.wait_until(arrival)
        size = self._random.choice([1, 7, len(data), len(data)])
        self.history.append((self._clock.now, -size))
        if data[size:]:
            self._inbox.insert(0, (arrival, connection, data[size:]))
        return data[:size]

    def no_reply_error(self) -> Unreachable:
        """Return the error of a silent agent."""
        return AgentSilent(f"{self.name}: silent")

    def closed_error(self) -> Unreachable:
        """Return the error of a closed channel."""
        return ChannelClosed(f"{self.name}: closed")

    def close(self) -> None:
        """Close the channel. The agent keeps what it has read."""
        self._closed = True

    def disturb(self, kind: str) -> None:
        """Let somebody else leave a ``reply`` in the channel, or do something to the guest.

        See :meth:`ModelGuest.disturb`.
        """
        if kind == "reply":
            self._arrive(self._random.choice(_STALE_REPLIES))
            self._clock.sleep(0.01)
        else:
            self._guest.disturb(kind)

    def is_clear(self) -> bool:
        """Whether nothing old is on the way."""
        return not self._inbox

    def heal(self) -> None:
        """Stop everything that goes wrong."""
        self.faults = 0.0

    def _happens(self) -> bool:
        return self._random.random() < self.faults

    def _deliver(self, data: bytes) -> None:
        for reply in self._guest.feed(data):
            if not self._happens():
                self._arrive(reply)
                continue
            kind = self._random.choice(["lost", "cut", "ended", "twice", "late", "foreign"])
            if kind in ("cut", "ended"):
                self._arrive(reply[: self._random.randint(0, len(reply))])
                # All that follows is lost too, and the channel may end.
                self._closed = kind == "ended"
                return
            if kind == "twice" and self._foreign_replies:
                self._arrive(reply)
            if kind == "foreign" and self._foreign_replies:
                number = self._random.randrange(2**52)
                foreign = {"return": {"pid": 1}, **({"id": number} if self._random.random() < 0.5 else {})}
                self._arrive(json.dumps(foreign).encode() + b"\n")
            if kind != "lost":
                self._arrive(reply, delay=self._random.choice([0.1, 5.0, 40.0]) if kind == "late" else 0.0)

    def _arrive(self, data: bytes, delay: float = 0.0) -> None:
        """Let data arrive after what came before it on the same connection."""
        if data:
            arrivals = [arrival for arrival, connection, dummy in self._inbox if connection == self._connection]
            arrival = max([self._clock.now + 0.001 + delay, *arrivals[-1:]])
            place = len(self._inbox)
            # The rest of a line that was begun comes first.
            while place and self._inbox[place - 1][0] > arrival:
                place -= 1
            self._inbox.insert(place, (arrival, self._connection, data))
