# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replies are matched to requests: with ids, without them, and among lines that answer no request."""

from __future__ import annotations

import json

import pytest

from ansible_collections.netless.qga.plugins.module_utils.errors import StateError
from ansible_collections.netless.qga.plugins.module_utils.framing.events import (
    Answer,
    Closed,
    Discarded,
    ErrorReply,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.session import Session
from ansible_collections.netless.qga.plugins.module_utils.framing.state import State
from ansible_collections.netless.qga.tests.unit.plugins.module_utils.framing.sessions import (
    IDS_REFUSED,
    MakeSession,
    Received,
    Violation,
    new_session,
    receive,
    receive_however_cut,
    send_request,
    synced,
    synced_without_ids,
    syncing,
    waiting,
    with_ids,
    with_ids_refused,
    without_ids,
)

NOT_OURS = "a reply with an id that is not ours"
NO_ID = "a reply without an id"
UNASKED = "a reply to no request"
OTHER_SYNC = "the reply to another client's sync"
EVENT = "an event, which no agent sends"
NOT_JSON = Violation("a reply that is unacceptable: not JSON")
BOTH_OR_NEITHER = Violation("a reply with both or neither of 'return' and 'error'")
A_MONITOR = Violation("this is a QEMU monitor (QMP), not a guest agent: give the agent's channel instead")


# Request 1 after a sync, to an agent that repeats ids, and to one that does not.
FIRST, FIRST_WITHOUT_ID = map(waiting, (synced, synced_without_ids))
# Request 2, to an agent that repeats ids, ignores them, or refuses them.
ECHOED, IGNORED, REFUSED = map(waiting, (with_ids, without_ids, with_ids_refused))

ANSWERS = [
    (FIRST, b'{"return": {}, "id": 1}\n', Answer(1, {})),
    (FIRST, b'{"id": 1, "return": null}\n', Answer(1, None)),
    (FIRST_WITHOUT_ID, b' { "return" : [ 1 , "\\u00e9" ] } \r\n', Answer(1, [1, "é"])),
    (FIRST, b'{"return": 5, "id": 1, "extra": {}}\n', Answer(1, 5)),
    (FIRST, b'\r\n \n{"return": {}, "id": 1}\n', Answer(1, {})),
    (FIRST, b'{"error": {"class": "X", "desc": "no"}, "id": 1}\n', ErrorReply(1, "X", "no")),
    (FIRST_WITHOUT_ID, b'{"error": {"class": "X", "desc": "no"}}\n', ErrorReply(1, "X", "no")),
    (FIRST_WITHOUT_ID, b'{"error": {}}\n', ErrorReply(1, "GenericError", "")),
    (FIRST_WITHOUT_ID, b'{"error": {"data": {}, "desc": "old"}}\n', ErrorReply(1, "GenericError", "old")),
    (FIRST_WITHOUT_ID, b'{"return": {}}\n', Answer(1, {})),
    (FIRST_WITHOUT_ID, IDS_REFUSED, ErrorReply(1, "GenericError", "QMP input member 'id' is unexpected")),
    (ECHOED, b'{"return": 7, "id": 2}\n', Answer(2, 7)),
    (ECHOED, IDS_REFUSED[:-2] + b', "id": 2}\n', ErrorReply(2, "GenericError", "QMP input member 'id' is unexpected")),
    (IGNORED, b'{"return": 7}\n', Answer(2, 7)),
    (IGNORED, b'{"error": {}}\n', ErrorReply(2, "GenericError", "")),
    (REFUSED, b'{"return": 7}\n', Answer(2, 7)),
    (REFUSED, IDS_REFUSED, ErrorReply(2, "GenericError", "QMP input member 'id' is unexpected")),
]


@pytest.mark.parametrize(("make", "line", "expected"), ANSWERS)
def test_reply_answers_the_request(make: MakeSession, line: bytes, expected: Received) -> None:
    events, session = receive_however_cut(make, line)
    assert events == [expected]
    assert session.state is State.IDLE
    assert session.abandon() == []


# What an agent that repeats ids answers to a stray character: with an error that answers no request.
STRAY_BRACE = b'{"error": {"class": "GenericError", "desc": "JSON parse error, expecting value"}}\n'

STRAYS = [
    (FIRST, STRAY_BRACE, NO_ID),
    (FIRST, IDS_REFUSED, NO_ID),
    (FIRST, b'{"return": {}}\n', NO_ID),
    (FIRST, b'{"error": {}}\n', NO_ID),
    (FIRST, b'{"return": {}, "id": 2}\n', NOT_OURS),
    (FIRST, b'{"return": {}, "id": "1"}\n', NOT_OURS),
    (FIRST, b'{"return": {}, "id": 1.0}\n', NOT_OURS),
    (FIRST, b'{"return": {}, "id": true}\n', NOT_OURS),
    (FIRST, b'{"return": {}, "id": null}\n', NOT_OURS),
    (FIRST, b'{"return": {}, "id": {"1": 1}}\n', NOT_OURS),
    (FIRST, b'{"error": {}, "id": -1}\n', NOT_OURS),
    (FIRST, b'\xff{"return": 1}\n', OTHER_SYNC),
    (FIRST, b'\xff{"return": {}, "id": 1}\n', OTHER_SYNC),
    (FIRST, b"\xffno JSON\n", OTHER_SYNC),
    (FIRST, b'{"event": "RESUME", "data": {}}\n', EVENT),
    (FIRST, b'{"event": "RESUME", "return": {}, "id": 1}\n', EVENT),
    (ECHOED, b'{"return": {}}\n', NO_ID),
    (ECHOED, STRAY_BRACE, NO_ID),
    (ECHOED, IDS_REFUSED, NO_ID),
    (ECHOED, b'{"return": "late", "id": 1}\n', NOT_OURS),
    (IGNORED, b'{"return": {}, "id": 2}\n', NOT_OURS),
    (REFUSED, b'{"return": {}, "id": 2}\n', NOT_OURS),
    (with_ids, b'{"return": {}}\n', UNASKED),
    (synced, b'{"return": {}}\n', UNASKED),
    (synced, STRAY_BRACE, UNASKED),
    (FIRST_WITHOUT_ID, b'{"return": {}, "id": 1}\n', NOT_OURS),
    (with_ids, b'{"return": {}, "id": 1}\n', UNASKED),
    (with_ids, b'{"error": {}, "id": 7}\n', UNASKED),
    (with_ids, b'\xff{"return": 1}\n', OTHER_SYNC),
    (with_ids, b'{"event": "RESUME"}\n', EVENT),
    (synced, b'{"event": "RESUME"}\n', EVENT),
    (without_ids, b'\xff{"return": 1}\n', OTHER_SYNC),
    (without_ids, b'{"return": {}, "id": 1}\n', UNASKED),
]


@pytest.mark.parametrize(("make", "line", "reason"), STRAYS)
def test_line_that_answers_no_request_is_discarded(make: MakeSession, line: bytes, reason: str) -> None:
    state = make().state
    events, session = receive_however_cut(make, line)
    assert events == [Discarded(reason, len(line))]
    # The session continues as if nothing had come.
    assert session.state is state


@pytest.mark.parametrize("make", [FIRST, ECHOED])
@pytest.mark.parametrize("stray", [STRAY_BRACE, IDS_REFUSED, b'{"return": "not ours"}\n'])
def test_line_without_id_is_never_the_answer_of_an_agent_that_repeats_ids(make: MakeSession, stray: bytes) -> None:
    number = 1 if make is FIRST else 2
    answer = b'{"return": "ours", "id": %d}\n' % number
    events, session = receive_however_cut(make, stray + answer + stray)
    assert events == [Discarded(NO_ID, len(stray)), Answer(number, "ours"), Discarded(UNASKED, len(stray))]
    assert session.state is State.IDLE


@pytest.mark.parametrize("make", [synced_without_ids, without_ids, with_ids_refused])
def test_extra_reply_without_id_breaks_the_sync(make: MakeSession) -> None:
    events, session = receive_however_cut(make, b'{"return": {}}\n')
    assert events == [Discarded(UNASKED, 15)]
    assert session.state is State.OUT_OF_SYNC


VIOLATIONS = [
    (b"no JSON\n", NOT_JSON),
    (b'{"return": {}, "id": 1\n', NOT_JSON),
    (b'{"return": {}, "id": 1}}\n', NOT_JSON),
    (b"{'return': {}}\n", NOT_JSON),
    (b'{"return": {}, "id": 01}\n', NOT_JSON),
    (b'{"return": "raw \x01 control", "id": 1}\n', NOT_JSON),
    (b'{"return":\0 {}}\n', NOT_JSON),
    (b'\0{"return": {}}\n', NOT_JSON),
    (b'\xef\xbb\xbf{"return": {}}\n', NOT_JSON),
    (b'{"return": "\xc3\x28"}\n', Violation("a reply that is unacceptable: invalid UTF-8")),
    (b'{"return": "\xc0\x80"}\n', Violation("a reply that is unacceptable: invalid UTF-8")),
    (b'{"return": "\xed\xa0\x80"}\n', Violation("a reply that is unacceptable: invalid UTF-8")),
    (b'{"return": NaN}\n', Violation("a reply that is unacceptable: a number that is not finite")),
    (b'{"return": -Infinity}\n', Violation("a reply that is unacceptable: a number that is not finite")),
    (b'{"return": 1e400}\n', Violation("a reply that is unacceptable: a number that is not finite")),
    (b'{"return": 1, "return": 1}\n', Violation("a reply that is unacceptable: a member given twice")),
    (b'{"return": {"pid": 1, "pid": 2}}\n', Violation("a reply that is unacceptable: a member given twice")),
    (b'{"return": "\\ud800"}\n', Violation("a reply that is unacceptable: a lone surrogate")),
    (b'{"return": {"\\udc00\\ud800": 1}}\n', Violation("a reply that is unacceptable: a lone surrogate")),
    (b"[]\n", Violation("a reply that is not an object")),
    (b'"return"\n', Violation("a reply that is not an object")),
    (b"null\n", Violation("a reply that is not an object")),
    (b"{}\n", BOTH_OR_NEITHER),
    (b'{"id": 1}\n', BOTH_OR_NEITHER),
    (b'{"return": {}, "error": {}, "id": 1}\n', BOTH_OR_NEITHER),
    (b'{"error": "no", "id": 1}\n', Violation("an error that is not an object")),
    (b'{"error": null}\n', Violation("an error that is not an object")),
    (b'{"error": {"class": 1, "desc": ""}}\n', Violation("an error whose class or desc is not a string")),
    (b'{"error": {"class": "X", "desc": null}}\n', Violation("an error whose class or desc is not a string")),
    (b'{"QMP": {"version": {}, "capabilities": []}}\n', A_MONITOR),
]


@pytest.mark.parametrize(("line", "expected"), VIOLATIONS)
def test_line_that_no_agent_sends_is_refused(line: bytes, expected: Violation) -> None:
    make = FIRST if b'"id"' in line else FIRST_WITHOUT_ID
    events, session = receive_however_cut(make, line)
    assert events == [expected]
    assert session.state is State.OUT_OF_SYNC
    # No line is an answer after that, not even a correct one.
    right = b'{"return": {}, "id": 1}\n'
    assert receive(session, [right]) == [
        Discarded("no request was sent since the channel went out of sync", len(right))
    ]


def test_reply_cut_by_a_sentinel_is_dropped() -> None:
    events, session = receive_however_cut(FIRST, b'{"return": "cut sh\xff{"return": 1}\n')
    assert events == [Discarded(OTHER_SYNC, 15)]
    assert session.state is State.WAITING


def test_replies_are_matched_by_id_and_not_by_order() -> None:
    def make() -> Session:
        session = with_ids()
        for dummy in range(3):
            send_request(session)
        return session

    events, session = receive_however_cut(
        make, b'{"return": "c", "id": 4}\n{"error": {}, "id": 2}\n{"return": "b", "id": 3}\n{"return": 0, "id": 3}\n'
    )
    assert events == [Answer(4, "c"), ErrorReply(2, "GenericError", ""), Answer(3, "b"), Discarded(UNASKED, 23)]
    assert session.state is State.IDLE


@pytest.mark.parametrize("make", [new_session, syncing, synced, with_ids, FIRST, ECHOED, IGNORED])
def test_end_of_the_channel_closes_the_session(make: MakeSession) -> None:
    assert receive_however_cut(make, b"", ended=True)[0] == [Closed(0)]
    events, session = receive_however_cut(make, b'{"return": {}, "i', ended=True)
    assert events == [Closed(17)]
    assert session.state is State.CLOSED
    assert session.next_event() is None
    session.abandon()
    assert session.state is State.CLOSED
    with pytest.raises(StateError, match="while closed"):
        session.send(session.prepare("guest-ping"))


def test_reply_before_the_end_is_an_answer() -> None:
    assert receive_however_cut(ECHOED, b'{"return": 1, "id": 2}\n', ended=True)[0] == [Answer(2, 1), Closed(0)]


def test_abandon_returns_the_unanswered_requests() -> None:
    session = with_ids()
    requests = [session.prepare("guest-shutdown", success_response=False), session.prepare("guest-ping")]
    for request in requests:
        session.send(request)
    assert receive(session, [b'{"return": {}, "id": 3}\n']) == [Answer(3, {})]
    # The silent request may have succeeded; only an error would have answered it.
    assert session.state is State.WAITING
    assert session.abandon() == [requests[0]]


@pytest.mark.parametrize(
    ("make", "echoed"), [(FIRST, True), (ECHOED, True), (FIRST_WITHOUT_ID, False), (IGNORED, False)]
)
def test_late_reply_is_not_an_answer(make: MakeSession, echoed: bool) -> None:
    session = make()
    session.abandon()
    late = b'{"return": "late", "id": 2}\n{"return": "late"}\n'
    assert [type(event) for event in receive(session, [late])] == [Discarded, Discarded]
    sync_id = json.loads(session.sync()[1:])["id"]
    reply = b'\xff{"return": %d%s}\n' % (sync_id, b', "id": %d' % sync_id if echoed else b"")
    assert receive(session, [late + reply])
    request = send_request(session)
    answer = b'{"return": "in time"%s}\n' % (b', "id": %d' % request.number if echoed else b"")
    assert receive(session, [answer]) == [Answer(request.number, "in time")]


@pytest.mark.parametrize("make", [without_ids, with_ids_refused])
def test_reply_received_before_the_request_is_not_its_answer(make: MakeSession) -> None:
    # Without ids a second reply to one request would pass for the reply to the next.
    session = make()
    send_request(session)
    session.receive_data(b'{"return": "first"}\n{"return": "second"}\n')
    assert session.next_event() == Answer(2, "first")
    request = session.prepare("guest-ping")
    assert not session.has_room(request)
    assert receive(session, [b""]) == [Discarded(UNASKED, 21)]
    assert session.state is State.OUT_OF_SYNC
