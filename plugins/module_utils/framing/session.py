# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest agent's protocol without any I/O: received bytes become events, and commands become bytes to send.

The channel to an agent has no connections, no greeting and no end: whatever an earlier client left in it, such as a cut
request or an unread reply, is still there. So a session starts with a sync, and so does every continuation after a
timeout:

1. 0xFF makes the agent's parser drop what it had read so far. Its parse error answers no request.
2. guest-sync-delimited with a random id makes the agent put 0xFF before its reply.
3. The session discards everything up to that 0xFF. The reply after it must carry our id. If it carries another id, it
   answers an earlier client, and the search continues.

Agents older than QEMU 1.1 know only guest-sync, whose reply has no sentinel. Any line may then be the reply, and only
the random id identifies it: an integer that an earlier command returned is not our id.

Each request carries an ``id`` that the reply repeats, so that nothing else can be taken for its answer. Agents before
QEMU 4.0 refuse ids, and some ignore them. The sync carries an id too, so its reply shows what the agent does before any
request is sent. If the agent refuses the id, another sync without one follows. Without ids only one request at a time
waits for its reply.

Sources: QEMU's qga/qapi-schema.json (guest-sync-delimited, guest-sync) and docs/interop/qmp-spec.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.netless.qga.plugins.module_utils.errors import ProtocolViolation, StateError
from ansible_collections.netless.qga.plugins.module_utils.framing.events import (
    Closed,
    Discarded,
    Event,
    Request,
    Synced,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.limits import DEFAULT_LIMITS, Limits
from ansible_collections.netless.qga.plugins.module_utils.framing.line_decoder import Line, LineDecoder
from ansible_collections.netless.qga.plugins.module_utils.framing.message import (
    encode,
    is_integer,
    parse,
    random_id,
    refuse_monitor,
    reply_event,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.state import (
    IN_SYNC,
    Action,
    Input,
    State,
    StateMachine,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.sync import Sync

# During a sync only its reply matters, and that is short. The decoder drops longer lines.
_MAX_SYNC_LINE = 4096

# The LF of a line.
_LINE_END = 1


class Session:
    """One conversation with one agent.

    :param limits: bounds for what the guest may send.
    :param random_id: returns a positive integer of at most 63 bits that a guest cannot guess.
    """

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS, random_id: t.Callable[[], int] = random_id) -> None:
        self.limits = limits
        self._machine = StateMachine()
        self._sync = Sync(random_id)
        self._decoder = LineDecoder(limits.line)
        # Below 2^53, so that it survives an agent, or a program between, that keeps numbers as doubles.
        self._last_number = random_id() % 2**52
        self._last_number_before_sync = self._last_number
        self._in_flight: dict[int, Request] = {}
        # Nothing long comes without a request, except from another client.
        self._idle_limits = dataclasses.replace(limits, line=min(limits.line, limits.text))
        self._discarded = 0
        self._ended = False

    @property
    def state(self) -> State:
        """The current state. The tables in :mod:`.state` show what changes it."""
        return self._machine.state

    # Sending

    def sync(self) -> bytes:
        """Start a sync, in any state but closed, and return the bytes to send.

        It is a plain one, guest-sync, once :class:`DelimitedSyncMissing` has happened. It carries no id once
        :class:`IdsRefused` has happened, until :meth:`abandon`.

        :raises StateError: the channel is closed.
        """
        resumed = self.state is State.SYNCING
        self._machine.act(Action.SYNC)
        self._in_flight.clear()
        if not resumed:
            # After a refused sync, the rest of what was received may show that the refusal was not for us.
            self._discarded = self._decoder.reset()
        self._decoder.limit = min(_MAX_SYNC_LINE, self.limits.line)
        return self._sync.start()

    def prepare(
        self,
        command: str,
        arguments: t.Mapping[str, t.Any] | None = None,
        *,
        success_response: bool = True,
        limits: Limits | None = None,
    ) -> Request:
        """Make a request for :meth:`send` out of a command. It is valid from one :class:`Synced` to the next.

        :param success_response: False for a command that is silent when it succeeds (QAPI's
            ``success-response: false``).
        :param limits: bounds for the reply; by default the session's.
        :raises InvalidRequest: the arguments hold something that the agent cannot take: a NUL, which would end a C
            string, bytes that are not text, a number that is not finite, or something that JSON does not have.
        """
        self._last_number += 1
        members: dict[str, t.Any] = {"execute": command}
        if arguments:
            members["arguments"] = arguments
        if self._sync.echoes_ids:
            members["id"] = self._last_number
        return Request(self._last_number, encode(members), success_response, limits or self.limits)

    @property
    def has_unread(self) -> bool:
        """Whether bytes were received that have not become an event yet."""
        return self._decoder.unread > 0

    def has_room(self, request: Request) -> bool:
        """Whether the request may be sent now, in addition to those that are unanswered."""
        if not self._in_flight:
            # What came before a request does not answer it. Without ids it would pass for the answer.
            return self.state is State.IDLE and not self.has_unread
        if not self._sync.echoes_ids:
            return False
        unanswered = sum(len(other.data) for other in self._in_flight.values())
        return unanswered + len(request.data) <= self.limits.in_flight

    def send(self, request: Request) -> bytes:
        """Count the request as unanswered, and return the bytes to send.

        :raises StateError: the session is not in sync, was not when the request was prepared, or has no room next to
            the unanswered requests.
        """
        self._machine.require(Action.SEND)
        if request.number <= self._last_number_before_sync:
            raise StateError("the request was prepared before the sync, so it may lack an id")
        if not self.has_room(request):
            raise StateError("no room for a request: others are unanswered, or received data is unread")
        self._in_flight[request.number] = request
        self._machine.act(Action.SEND)
        self._decoder.limit = self._reply_limits().line
        return request.data

    def abandon(self) -> list[Request]:
        """Stop waiting, after a timeout or an interrupted read. Only a sync can follow.

        :returns: the requests that stay unanswered. For a silent command that means success, for others nothing.
        """
        unanswered = list(self._in_flight.values())
        self._in_flight.clear()
        self._decoder.limit = self._reply_limits().line
        self._sync.forget_refused_ids()
        self._machine.act(Action.ABANDON)
        return unanswered

    # Receiving

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the channel; :meth:`next_event` returns what they mean."""
        self._decoder.feed(data)

    def receive_eof(self) -> None:
        """Note that the other side ended the channel."""
        self._ended = True

    def next_event(self) -> Event | None:
        """Return the next thing that happened, or None until more is received.

        :raises ProtocolViolation: the other side is not, or no longer, a guest agent. The state is then out of sync.
        """
        try:
            while True:
                line = self._decoder.next_line()
                if line is None:
                    self._check_unfinished()
                    return self._close() if self._ended else None
                event = self._read_sync_line(line) if self.state is State.SYNCING else self._read_line(line)
                if event is not None:
                    return event
        except ProtocolViolation:
            self.abandon()
            raise

    def _read_sync_line(self, line: Line) -> Event | None:
        """Handle a line received while syncing: the reply, or a leftover."""
        discarded = self._discarded + self._decoder.dropped
        self._discard(line.size)
        event = self._sync.read(line, self.limits, discarded)
        if isinstance(event, Synced):
            self._discarded = self._decoder.dropped = 0
            self._decoder.limit = self._reply_limits().line
            self._last_number_before_sync = self._last_number
            self._machine.receive(Input.SYNC_REPLY)
        return event

    def _read_line(self, line: Line) -> Event | None:
        """Handle a line received outside a sync: a reply to a request, or something that answers none."""
        self._check_discarded()
        if self.state not in IN_SYNC:
            return self._discard_line(line, "no request was sent since the channel went out of sync")
        if line.overlong:
            raise _overlong_error(self._decoder.limit)
        if line.sentinel:
            return self._discard_line(line, "the reply to another client's sync")
        if not line.content.strip():
            self._discard(line.size)
            return None
        reply = parse(line, self._reply_limits())
        if not isinstance(reply, dict):
            raise ProtocolViolation("a reply that is not an object")
        refuse_monitor(reply)
        if "event" in reply:
            return self._discard_line(line, "an event, which no agent sends")
        if ("return" in reply) == ("error" in reply):
            raise ProtocolViolation("a reply with both or neither of 'return' and 'error'")
        if self.state is State.IDLE:
            if not self._sync.echoes_ids and "id" not in reply:
                self._machine.receive(Input.EXTRA_REPLY)
            return self._discard_line(line, "a reply to no request")
        return self._match(line, reply)

    def _match(self, line: Line, reply: dict[str, t.Any]) -> Event:
        """Find the request that a reply answers."""
        if "id" in reply:
            number = reply["id"]
            if not self._sync.echoes_ids or not is_integer(number) or number not in self._in_flight:
                return self._discard_line(line, "a reply with an id that is not ours")
        elif self._sync.echoes_ids:
            return self._discard_line(line, "a reply without an id")
        else:
            number = next(iter(self._in_flight))
        # With several requests in flight the line was only bounded by the largest of their limits.
        if line.size > (limit := self._in_flight[number].limits.line) + _LINE_END:
            raise _overlong_error(limit)
        event = reply_event(number, reply)
        del self._in_flight[number]
        self._decoder.limit = self._reply_limits().line
        self._discarded = self._decoder.dropped = 0
        self._machine.receive(Input.REPLY if self._in_flight else Input.LAST_REPLY)
        return event

    def _close(self) -> Closed | None:
        if self.state is State.CLOSED:
            return None
        self._machine.receive(Input.END)
        return Closed(self._decoder.pending)

    # Counting what is discarded

    def _discard_line(self, line: Line, reason: str) -> Discarded:
        self._discard(line.size)
        return Discarded(reason, line.size)

    def _discard(self, size: int) -> None:
        self._discarded += size
        self._check_discarded()

    def _check_discarded(self, unfinished: int = 0) -> None:
        if self._discarded + self._decoder.dropped + unfinished > self.limits.discard:
            raise ProtocolViolation(f"more than {self.limits.discard} bytes that answer none of our requests")

    def _check_unfinished(self) -> None:
        # Do not wait for the end of a line that never ends, whether it is a reply or is to be discarded.
        if self.state not in IN_SYNC:
            self._check_discarded(self._decoder.pending)
        else:
            self._check_discarded()
            if self._decoder.overlong:
                raise _overlong_error(self._decoder.limit)

    def _reply_limits(self) -> Limits:
        """Return the bounds for the next line: the loosest of those of the unanswered requests."""
        limits = [request.limits for request in self._in_flight.values()]
        if len(limits) < 2:
            return limits[0] if limits else self._idle_limits
        return dataclasses.replace(
            self.limits, line=max(each.line for each in limits), values=max(each.values for each in limits)
        )


def _overlong_error(limit: int) -> ProtocolViolation:
    return ProtocolViolation(f"a reply of more than {limit} bytes")
