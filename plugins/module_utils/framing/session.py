# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest agent's protocol without any I/O: what was received goes in, events come out; requests become bytes.

The channel to an agent has no connections, no greeting and no end: what an earlier client left in it, a cut request or
an unread reply, is still there. So a conversation begins with a sync, and so does every way on after a timeout:

1. 0xFF makes the agent's parser forget what it had (and answer with an error, which is not an answer to anybody);
2. guest-sync-delimited with a random id makes it put 0xFF before its reply;
3. everything up to that 0xFF is thrown away, and the reply after it must carry our id. If it carries another one, it
   answers a client of before, and the search goes on.

Agents older than QEMU 1.1 know only guest-sync, whose reply has no sentinel. Any line may then be the reply, and only
the random id tells: an integer that some command of before returned is not our id.

After the sync each request carries an ``id`` that the reply repeats, so that nothing else can be taken for its answer.
Agents before QEMU 4.0 refuse ids, and some ignore them. The first reply after a sync shows it; until then, and for
such agents, one request is under way at a time.

Sources: QEMU's qga/qapi-schema.json (guest-sync-delimited, guest-sync) and docs/interop/qmp-spec.
"""

from __future__ import annotations

import enum
import secrets
import typing as t

from ansible_collections.netless.qga.plugins.module_utils.errors import (
    InvalidRequest,
    ProtocolViolation,
    StateError,
)
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
from ansible_collections.netless.qga.plugins.module_utils.framing.line_decoder import SENTINEL, Line, LineDecoder
from ansible_collections.netless.qga.plugins.module_utils.framing.strict_json import UnacceptableJson, dumps, loads

# While a sync is under way only its reply matters, and that is short. Longer lines are not even kept.
_SYNC_LINE = 4096

_DELIMITED = b"guest-sync-delimited"


class State(enum.Enum):
    """Where the conversation stands."""

    NEVER_SYNCED = "never synced"
    SYNCING = "syncing"
    IDLE = "idle"
    WAITING = "waiting"
    OUT_OF_SYNC = "out of sync"
    CLOSED = "closed"


_IN_SYNC = (State.IDLE, State.WAITING)


class _Ids(enum.Enum):
    UNKNOWN = enum.auto()
    ECHOED = enum.auto()
    ABSENT = enum.auto()


class Session:
    """One conversation with one agent.

    :param limits: what the guest may cost us.
    :param random_id: gives a positive integer of at most 63 bits that a guest cannot guess.
    """

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT_LIMITS,
        random_id: t.Callable[[], int] = lambda: secrets.randbelow(2**63 - 1) + 1,
    ) -> None:
        self.limits = limits
        self.state = State.NEVER_SYNCED
        self._random_id = random_id
        self._decoder = LineDecoder(limits.line)
        self._ids = _Ids.UNKNOWN
        # Below 2^53, so that it survives an agent, or a program between, that keeps numbers as doubles.
        self._last_number = random_id() % 2**52
        self._in_flight: dict[int, Request] = {}
        self._sync_id = 0
        self._knows_delimited = True
        self._discarded = 0
        self._ended = False

    # What goes out

    def sync(self) -> bytes:
        """Begin a sync, from any state but closed; returns the bytes to send.

        It is a plain one, guest-sync, once :class:`DelimitedSyncMissing` has happened.

        :raises StateError: the channel is closed.
        """
        self._require(*(set(State) - {State.CLOSED}), doing="sync")
        self._in_flight.clear()
        self._ids = _Ids.UNKNOWN
        self._discarded = self._decoder.reset()
        self._decoder.limit = min(_SYNC_LINE, self.limits.line)
        self._sync_id = self._random_id()
        self.state = State.SYNCING
        command = "guest-sync-delimited" if self._knows_delimited else "guest-sync"
        return SENTINEL + _encode({"execute": command, "arguments": {"id": self._sync_id}})

    def prepare(
        self, command: str, arguments: t.Mapping[str, t.Any] | None = None, *, success_response: bool = True
    ) -> Request:
        """Make a command into a request for :meth:`send`. Valid until the next sync or :class:`IdsRefused`.

        :raises InvalidRequest: the arguments hold what the agent cannot take: a NUL, which would end a C string, bytes
            that are no text, a number that is not finite, or something that JSON does not have.
        """
        self._last_number += 1
        members: dict[str, t.Any] = {"execute": command}
        if arguments:
            members["arguments"] = arguments
        if self._ids is not _Ids.ABSENT:
            members["id"] = self._last_number
        return Request(self._last_number, _encode(members), success_response)

    @property
    def has_unread(self) -> bool:
        """Whether bytes were received of which no event has come, so far."""
        return self._decoder.unread > 0

    def has_room(self, request: Request) -> bool:
        """Whether the request may be sent now, next to those that are unanswered."""
        if not self._in_flight:
            # What came before a request does not answer it. Without ids it would pass for the answer.
            return self.state is State.IDLE and not self.has_unread
        if self._ids is not _Ids.ECHOED:
            return False
        unanswered = sum(len(other.data) for other in self._in_flight.values())
        return unanswered + len(request.data) <= self.limits.in_flight

    def send(self, request: Request) -> bytes:
        """Count the request as under way; returns the bytes to send.

        :raises StateError: not in sync, or no room next to the unanswered requests.
        """
        self._require(*_IN_SYNC, doing="send a request")
        if not self.has_room(request):
            raise StateError("no room for a request before the earlier ones are answered, and what came is read")
        self._in_flight[request.number] = request
        self.state = State.WAITING
        return request.data

    def abandon(self) -> list[Request]:
        """Stop waiting, after a timeout or a read that was cut short; the only way on is a sync.

        :returns: the requests that stay unanswered. Of a silent command that means success, of another nothing.
        """
        unanswered = list(self._in_flight.values())
        self._in_flight.clear()
        if self.state is not State.CLOSED:
            self.state = State.OUT_OF_SYNC
        return unanswered

    # What comes in

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the channel; :meth:`next_event` tells what they mean."""
        self._decoder.feed(data)

    def receive_eof(self) -> None:
        """The other side ended the channel."""
        self._ended = True

    def next_event(self) -> Event | None:
        """The next thing that happened, or None until more is received.

        :raises ProtocolViolation: the other side is not, or no longer, a guest agent. The state is then out of sync.
        """
        try:
            while True:
                line = self._decoder.next_line()
                if line is None:
                    self._check_unfinished()
                    return self._end() if self._ended else None
                event = self._read_sync_line(line) if self.state is State.SYNCING else self._read(line)
                if event is not None:
                    return event
        except ProtocolViolation:
            self.abandon()
            raise

    def _read_sync_line(self, line: Line) -> Event | None:
        """A line during a sync: its reply, or something of before."""
        self._discard(line.size)
        reply = self._parse_if_relevant(line)
        if _is_integer(reply.get("return")) and reply["return"] == self._sync_id:
            return self._synced(line)
        if self._knows_delimited and "error" in reply and _DELIMITED in line.content:
            # An agent that knows the command has no reason to name it. Should this be an answer to somebody else after
            # all, the plain sync that follows is still a correct one.
            self._knows_delimited = False
            return DelimitedSyncMissing()
        return None

    def _parse_if_relevant(self, line: Line) -> dict[str, t.Any]:
        """The reply in a line that may matter to a sync; empty if it does not, or is none."""
        if not any(mark in line.content for mark in (b"%d" % self._sync_id, _DELIMITED, b"QMP")):
            # Most of what is thrown away need not be understood for it.
            return {}
        try:
            reply = self._parse(line)
        except ProtocolViolation:
            return {}
        if not isinstance(reply, dict):
            return {}
        _refuse_monitor(reply)
        return reply

    def _synced(self, line: Line) -> Synced:
        discarded = self._discarded + self._decoder.dropped - line.size
        self._discarded = self._decoder.dropped = 0
        self._decoder.limit = self.limits.line
        self.state = State.IDLE
        return Synced(self._sync_id, discarded, line.sentinel)

    def _read(self, line: Line) -> Event | None:
        """A line outside a sync: an answer, or something that answers nobody."""
        self._check_discarded()
        if self.state not in _IN_SYNC:
            return self._stray(line, "nothing was asked since the channel went out of sync")
        if line.overlong:
            raise self._overlong()
        if line.sentinel:
            return self._stray(line, "the reply to somebody else's sync")
        if not line.content.strip():
            self._discard(line.size)
            return None
        reply = self._parse(line)
        if not isinstance(reply, dict):
            raise ProtocolViolation("a reply that is not an object")
        _refuse_monitor(reply)
        if "event" in reply:
            return self._stray(line, "an event, which no agent sends")
        if ("return" in reply) == ("error" in reply):
            raise ProtocolViolation("a reply with both or neither of 'return' and 'error'")
        if not self._in_flight:
            if self._ids is not _Ids.ECHOED and "id" not in reply:
                # Without ids only the order tells whose reply it is, and the order is broken.
                self.state = State.OUT_OF_SYNC
            return self._stray(line, "a reply that nobody asked for")
        return self._match(line, reply)

    def _match(self, line: Line, reply: dict[str, t.Any]) -> Event:
        if "id" in reply:
            number = reply["id"]
            if not _is_integer(number) or number not in self._in_flight or self._ids is _Ids.ABSENT:
                return self._stray(line, "a reply with an id that is not ours")
            self._ids = _Ids.ECHOED
        elif self._ids is _Ids.ECHOED:
            return self._stray(line, "a reply without an id")
        else:
            number = next(iter(self._in_flight))
        event: Answer | ErrorReply | IdsRefused = _answer(number, reply)
        if "id" not in reply and self._ids is _Ids.UNKNOWN:
            if isinstance(event, Answer):
                self._ids = _Ids.ABSENT
            elif isinstance(event, ErrorReply) and "'id' is unexpected" in event.desc:
                # The one error of QEMU's dispatcher before 4.0 for it, and nothing but its text tells it.
                self._ids = _Ids.ABSENT
                event = IdsRefused(number)
        del self._in_flight[number]
        self._discarded = self._decoder.dropped = 0
        if not self._in_flight:
            self.state = State.IDLE
        return event

    def _stray(self, line: Line, reason: str) -> Discarded:
        self._discard(line.size)
        return Discarded(reason, line.size)

    def _discard(self, size: int) -> None:
        self._discarded += size
        self._check_discarded()

    def _check_discarded(self, unfinished: int = 0) -> None:
        if self._discarded + self._decoder.dropped + unfinished > self.limits.discard:
            raise ProtocolViolation(f"more than {self.limits.discard} bytes that answer none of our requests")

    def _check_unfinished(self) -> None:
        # A line that never ends must not be waited for, be it an answer or to be thrown away.
        if self.state not in _IN_SYNC:
            self._check_discarded(self._decoder.pending)
        else:
            self._check_discarded()
            if self._decoder.overlong:
                raise self._overlong()

    def _overlong(self) -> ProtocolViolation:
        return ProtocolViolation(f"a reply of more than {self.limits.line} bytes")

    def _end(self) -> Closed | None:
        if self.state is State.CLOSED:
            return None
        self.state = State.CLOSED
        return Closed(self._decoder.pending)

    def _parse(self, line: Line) -> t.Any:
        limits = self.limits
        try:
            return loads(line.content, max_depth=limits.depth, max_values=limits.values, max_digits=limits.digits)
        except UnacceptableJson as exc:
            raise ProtocolViolation(f"a reply that is unacceptable: {exc}") from exc

    def _require(self, *states: State, doing: str) -> None:
        if self.state not in states:
            raise StateError(f"cannot {doing} while {self.state.value}")


def _encode(members: dict[str, t.Any]) -> bytes:
    try:
        # LF, so that a terminal in line mode passes it on.
        return dumps(members) + b"\n"
    except UnacceptableJson as exc:
        raise InvalidRequest(f"{members['execute']}: its arguments cannot be sent: {exc}") from exc


def _answer(number: int, reply: dict[str, t.Any]) -> Answer | ErrorReply:
    if "return" in reply:
        return Answer(number, reply["return"])
    error = reply["error"]
    if not isinstance(error, dict):
        raise ProtocolViolation("an error that is not an object")
    error_class, desc = error.get("class", "GenericError"), error.get("desc", "")
    if not isinstance(error_class, str) or not isinstance(desc, str):
        raise ProtocolViolation("an error whose class or desc is not a string")
    return ErrorReply(number, error_class, desc)


def _is_integer(value: t.Any) -> bool:
    # 1 == 1.0 == True in Python, and none of these is another in JSON.
    return isinstance(value, int) and not isinstance(value, bool)


def _refuse_monitor(reply: dict[str, t.Any]) -> None:
    if "QMP" in reply:
        raise ProtocolViolation("this is a QEMU monitor (QMP), not a guest agent: give the agent's channel instead")
