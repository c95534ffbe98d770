# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One session of forwards: the streams between the guest's end and the destinations, while a command runs.

The guest may be hostile. It names a port of the forwards with each stream, and gets to the destination of this port or
to none. Its streams and their windows bound the memory, and an exchange with the agent has a deadline.
"""

from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.dialer import Dialer
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.guest_link import GuestLink
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program.frames import (
    GO_AWAY,
    HEADER_SIZE,
    MAX_DATA,
    Frame,
    Violation,
    encode,
)
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program.multiplexer import (
    CONFIRMED,
    GONE_AWAY,
    Multiplexer,
)
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.routes import Listener
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    ForwardError,
    OutcomeUnknown,
    ProtocolViolation,
)

# How long one exchange with the agent may take, in seconds, and how long it may take after the deadline of the command:
# an exchange that is interrupted costs the session.
_EXCHANGE_TIMEOUT = 30.0
_LAST_TIMEOUT = 2.0

# How long the guest's end may take to listen, in seconds. It waits some seconds for a port that is in use.
_START_TIMEOUT = 20.0

# How long the guest's end may take to confirm what it was sent, in seconds, and when to send something at least.
_CONFIRM_TIMEOUT = 30.0
_KEEPALIVE_INTERVAL = 5.0

# When a command has ended: how long the guest's end may take to listen no more and to end the session, how long the
# connections may go on, and how long they may be quiet, in seconds.
_STOP_TIMEOUT = 8.0
_FINISH_TIMEOUT = 3.0
_QUIET_TIME = 0.2

# How often to look whether the guest has sent something, in seconds; less often if an answer of the agent takes long.
_MIN_INTERVAL = 0.002
_MAX_INTERVAL = 0.025
_ANSWERS_PER_INTERVAL = 10

# From this size on, the next read follows at once, in bytes.
_LARGE_READ = 256 * 1024

# How often sockets are read before the next exchange. More would hold up the wait for the command.
_MAX_READS = 8

# Room for the headers of frames, in bytes.
_HEADERS = 64


class ForwardSession:
    """A session with the guest's end.

    :param agent: the guest's agent.
    :param link: carries the session's bytes.
    :param listeners: the ports and where they lead.
    :param log: takes lines that have no contents.
    """

    def __init__(
        self, agent: Agent, link: GuestLink, listeners: t.Iterable[Listener], log: t.Callable[[str], None]
    ) -> None:
        self._agent = agent
        self._link = link
        self._batch = max(2 * _HEADERS, agent.chunk)
        max_data = min(MAX_DATA, self._batch - _HEADERS, link.room // 2)
        # Sending less at a time makes no sense while more waits, and room will come soon.
        self._enough_room = min(self._batch, link.room) // 2
        self._multiplexer = Multiplexer(is_client=True, max_data=max(_HEADERS, max_data))
        self._dialer = Dialer(self._multiplexer, listeners, log)
        self._relay = self._dialer.relay
        self._is_listening = False
        self._guest_left = False
        self._interval = _MIN_INTERVAL
        self._next_read = 0.0
        self._answered_in = 0.0
        self._last_sent = time.monotonic()
        self._confirmed_at = time.monotonic()

    def start(self, deadline: Deadline) -> None:
        """Begin, and wait until the guest listens on all ports.

        :raises ForwardError: it cannot listen.
        :raises QgaError: the guest's end is not there any more, or does not answer.
        """
        deadline = deadline.within(_START_TIMEOUT)
        self._link.open(deadline)
        self._multiplexer.ping()
        while not self._is_listening:
            self.turn(deadline)
            if deadline.passed:
                raise OutcomeUnknown(f"{self._agent.endpoint}: the guest's end of the remote forwards does not answer")
            self.wait(deadline)

    def turn(self, deadline: Deadline) -> bool:
        """Carry on whatever can be carried on now, and return whether anything was.

        :param deadline: when the agent has to have answered.
        :raises ProtocolViolation: the guest's end broke the protocol.
        :raises QgaError: the session is lost.
        """
        moved = self._dialer.connect()
        # One large write of the agent costs less than several small ones.
        for dummy in range(_MAX_READS):
            if not self._relay.run(0):
                break
            moved = True
            if self._multiplexer.backlog >= self._batch:
                break
        now = time.monotonic()
        if now - self._last_sent > _KEEPALIVE_INTERVAL:
            self._multiplexer.ping()
            self._last_sent = now
        can_send = self._multiplexer.backlog > 0 and self._link.room > self._enough_room
        if can_send or now >= self._next_read:
            moved = self._exchange(deadline) or moved
        return moved

    def wait(self, deadline: Deadline) -> None:
        """Wait until a socket is ready, it is time to look for what the guest has sent, or the deadline passes."""
        seconds = min(deadline.remaining(), self._next_read - time.monotonic())
        if self._dialer.is_connecting:
            seconds = min(seconds, _MAX_INTERVAL)
        if seconds > 0:
            self._relay.run(seconds)

    def stop(self) -> None:
        """Have the guest listen no more, let what is on its way arrive, and end the session.

        :raises QgaError: the session is lost.
        """
        self._multiplexer.go_away()
        deadline = Deadline.after(_STOP_TIMEOUT)
        while not self._guest_left:
            if deadline.passed:
                raise OutcomeUnknown(
                    f"{self._agent.endpoint}: the guest's end of the remote forwards does not stop listening"
                )
            self.turn(deadline)
            self.wait(deadline)
        self._finish_connections(deadline)
        while self._multiplexer.backlog or self._link.room < HEADER_SIZE:
            if deadline.passed:
                raise OutcomeUnknown(
                    f"{self._agent.endpoint}: the guest's end of the remote forwards takes nothing more"
                )
            self._exchange(deadline)
            self.wait(deadline)
        # Nothing may follow this frame, not even an answer to a ping: it would begin another session.
        self._link.exchange(encode(Frame(GO_AWAY, 0, 0)), 0, _exchange_deadline(deadline))

    def _finish_connections(self, deadline: Deadline) -> None:
        """Carry on the connections as long as something moves, and reset those that are left."""
        end = Deadline.after(_FINISH_TIMEOUT)
        quiet = Deadline.after(_QUIET_TIME)
        while self._relay.connections and not end.passed and not quiet.passed:
            if self.turn(deadline):
                quiet = Deadline.after(_QUIET_TIME)
            self.wait(quiet)
        for connection in list(self._relay.connections):
            self._relay.drop(connection)

    def close(self) -> None:
        """Close all sockets, and the files in the guest."""
        self._relay.close()
        self._link.close()

    def _exchange(self, deadline: Deadline) -> bool:
        """Send what there is room for, and take what the guest has sent. Return whether there was anything."""
        started = time.monotonic()
        limit = min(self._link.room, self._batch)
        data, ping = self._multiplexer.take(limit, confirm=self._link.is_nearly_full)
        received = self._link.exchange(data, ping, _exchange_deadline(deadline))
        now = time.monotonic()
        if data:
            self._last_sent = now
        else:
            self._answered_in = min(self._answered_in or now - started, now - started)
        self._receive(received)
        if self._link.is_confirmed:
            self._confirmed_at = now
        elif now - self._confirmed_at > _CONFIRM_TIMEOUT:
            raise OutcomeUnknown(f"{self._agent.endpoint}: the guest's end of the remote forwards does not answer")
        longest = max(_MAX_INTERVAL, _ANSWERS_PER_INTERVAL * self._answered_in)
        if received:
            # A little that was read at once means that more is on its way, and few large reads cost less.
            self._interval = 0.0 if len(received) >= _LARGE_READ else _MIN_INTERVAL
        else:
            self._interval = min(longest, max(_MIN_INTERVAL, 2 * self._interval))
        self._next_read = now + self._interval
        return bool(data or received)

    def _receive(self, received: bytes) -> None:
        try:
            for event in self._multiplexer.receive_data(received):
                if event.kind == CONFIRMED:
                    self._is_listening = True
                    self._link.confirm(event.number)
                    self._confirmed_at = time.monotonic()
                elif event.kind == GONE_AWAY:
                    self._guest_left = True
                    if event.number:
                        raise self._cannot_listen(event.number)
                else:
                    self._relay.handle(event)
        except Violation as exc:
            raise ProtocolViolation(f"{self._agent.endpoint}: the guest's end of the remote forwards: {exc}") from exc

    def _cannot_listen(self, reason: int) -> ForwardError:
        port, number = divmod(reason, 2**16)
        return ForwardError(
            f"{self._agent.endpoint}: the guest cannot listen on 127.0.0.1:{port}: {os.strerror(number)}. Name another "
            f"port in the connection's option remote_forwards, or check what uses this one, and whether the guest's "
            f"loopback interface is up"
        )


def _exchange_deadline(deadline: Deadline) -> Deadline:
    return max(deadline.within(_EXCHANGE_TIMEOUT), Deadline.after(_LAST_TIMEOUT))
