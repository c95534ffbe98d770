# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The framing: any bytes, cut in any way, on sessions in every state."""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.netless.qga.plugins.module_utils.errors import ProtocolViolation
from ansible_collections.netless.qga.plugins.module_utils.framing.events import (
    Answer,
    Closed,
    DelimitedSyncMissing,
    ErrorReply,
    IdsRefused,
    Synced,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.limits import Limits
from ansible_collections.netless.qga.plugins.module_utils.framing.line_decoder import LineDecoder
from ansible_collections.netless.qga.plugins.module_utils.framing.message import is_integer
from ansible_collections.netless.qga.plugins.module_utils.framing.session import Session
from ansible_collections.netless.qga.plugins.module_utils.framing.state import State
from ansible_collections.netless.qga.tests.unit.plugins.module_utils.framing import line_model
from ansible_collections.netless.qga.tests.unit.plugins.module_utils.framing.sessions import (
    MAKES,
    Violation,
    new_session,
    receive,
)

from .pieces import cut, split_input

LIMITS = Limits(line=150, text=120, discard=400, depth=4, values=20, digits=25, in_flight=120)
_MAX_REQUESTS = 3


def lines(data: bytes) -> None:
    """Cut a stream into lines as the simple model does, and keep no more than a line in memory."""
    (limit, choice), stream = split_input(data, 2)
    limit %= 32
    decoder = LineDecoder(limit)
    found, size = [], 0
    for piece in cut(stream, choice):
        decoder.feed(piece)
        while (line := decoder.next_line()) is not None:
            found.append(line)
            size += line.size
        _check_memory(decoder, limit)
    assert found == line_model.lines_of(stream, limit)
    assert size + decoder.dropped + decoder.pending == len(stream)


def session(data: bytes) -> None:
    """Receive a stream in a session that does nothing else: the events do not depend on how it is cut."""
    (choice, sizes), stream = split_input(data, 2)
    make = MAKES[choice % len(MAKES)]
    whole, in_pieces = make(LIMITS), make(LIMITS)
    # pylint: disable=protected-access
    waiting, echoes_ids = set(whole._in_flight), whole._sync.echoes_ids
    events = receive(whole, [stream], ended=True)
    assert receive(in_pieces, cut(stream, sizes), ended=True) == events
    assert in_pieces.state is whole.state
    violated = any(isinstance(event, Violation) for event in events)
    assert whole.state is (State.OUT_OF_SYNC if violated else State.CLOSED)
    for event in events:
        if isinstance(event, (Answer, ErrorReply)):
            waiting.remove(event.number)
            _check_reply(event, stream, echoes_ids)


def client(data: bytes) -> None:
    """Receive a stream as a client does that syncs again after errors, and sends requests whenever it can."""
    (sizes,), stream = split_input(data, 1)
    user = _Client(stream)
    for piece in cut(stream, sizes):
        user.receive(piece)
    user.end()


class _Client:
    """A client of a hostile agent.

    :param stream: all that the agent sends.
    """

    def __init__(self, stream: bytes) -> None:
        self._stream = stream
        self._session: Session = new_session(LIMITS)
        self._sync_id = 0
        self._unanswered: set[int] = set()
        self._echoes_ids = False
        self._sync()

    def receive(self, piece: bytes) -> None:
        """Receive some of the stream, and send what can be sent."""
        self._session.receive_data(piece)
        self._take_events()
        # pylint: disable=protected-access
        _check_memory(self._session._decoder, max(LIMITS.line, LIMITS.text))
        assert self._session._discarded + self._session._decoder.dropped <= LIMITS.discard
        self._send()

    def end(self) -> None:
        """End the channel."""
        self._session.receive_eof()
        self._take_events()
        assert self._session.state in (State.CLOSED, State.SYNCING)

    def _sync(self) -> None:
        self._unanswered.clear()
        request = json.loads(self._session.sync().lstrip(b"\xff"))
        self._sync_id = request["arguments"]["id"]

    def _send(self) -> None:
        while self._session.state in (State.IDLE, State.WAITING) and len(self._unanswered) < _MAX_REQUESTS:
            request = self._session.prepare("guest-ping")
            if not self._session.has_room(request):
                return
            self._session.send(request)
            assert self._session.state is State.WAITING
            assert self._echoes_ids or not self._unanswered
            self._unanswered.add(request.number)

    def _take_events(self) -> None:
        while True:
            try:
                event = self._session.next_event()
            except ProtocolViolation as exc:
                assert self._session.state is State.OUT_OF_SYNC and len(str(exc)) < 200
                self._sync()
                continue
            if event is None:
                return
            self._take(event)

    def _take(self, event: t.Any) -> None:
        if isinstance(event, Synced):
            assert event.sync_id == self._sync_id and self._session.state is State.IDLE
            assert str(self._sync_id).encode() in self._stream
            self._echoes_ids = event.echoes_ids
        elif isinstance(event, (DelimitedSyncMissing, IdsRefused)):
            assert self._session.state is State.SYNCING
            self._sync()
        elif isinstance(event, (Answer, ErrorReply)):
            self._unanswered.remove(event.number)
            assert self._session.state is (State.WAITING if self._unanswered else State.IDLE)
            _check_reply(event, self._stream, self._echoes_ids)
        elif isinstance(event, Closed):
            assert self._session.state is State.CLOSED


def _check_memory(decoder: LineDecoder, limit: int) -> None:
    # pylint: disable=protected-access
    assert not decoder._pieces
    assert sum(map(len, decoder._parts)) <= limit


def _check_reply(event: Answer | ErrorReply, stream: bytes, echoes_ids: bool) -> None:
    """Check that the stream has the reply, with the id of its request if the agent repeats ids."""
    for line in re.split(rb"[\n\xff]", stream):
        try:
            reply = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError):
            continue
        if not isinstance(reply, dict):
            continue
        if echoes_ids and not (is_integer(reply.get("id")) and reply["id"] == event.number):
            continue
        if "error" in reply if isinstance(event, ErrorReply) else reply.get("return", reply) == event.value:
            return
    raise AssertionError(f"nothing in the stream is the reply to request {event.number}")
