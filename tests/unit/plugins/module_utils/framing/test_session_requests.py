# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests and their answers: who answers whom, with ids, without them, and when something else comes."""

from __future__ import annotations

import pytest

from ansible_collections.netless.qga.plugins.module_utils.errors import StateError
from ansible_collections.netless.qga.plugins.module_utils.framing.events import (
    Answer,
    Closed,
    Discarded,
    ErrorReply,
    IdsRefused,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.session import Session
from ansible_collections.netless.qga.plugins.module_utils.framing.state import State
from ansible_collections.netless.qga.tests.unit.plugins.module_utils.framing.conversation import (
    IDS_REFUSED,
    Heard,
    Make,
    Violation,
    ask,
    hear,
    heard_however_cut,
    new_framing,
    synced,
    syncing,
    waiting,
    with_ids,
    with_ids_refused,
    without_ids,
)

NOT_OURS = "a reply with an id that is not ours"
NO_ID = "a reply without an id"
UNASKED = "a reply that nobody asked for"
OTHER_SYNC = "the reply to another client's sync"
EVENT = "an event, which no agent sends"
NOT_JSON = Violation("a reply that is unacceptable: not JSON")
BOTH_OR_NEITHER = Violation("a reply with both or neither of 'return' and 'error'")
A_MONITOR = Violation("this is a QEMU monitor (QMP), not a guest agent: give the agent's channel instead")


# Request 1 is the first after a sync; it is not known whether ids come back.
asked_first = waiting(synced)
# Request 2, of an agent that is known to repeat ids, to ignore them, or to refuse them.
ECHOED, IGNORED, REFUSED = waiting(with_ids), waiting(without_ids), waiting(with_ids_refused)

ANSWERS = [
    (asked_first, b'{"return": {}, "id": 1}\n', Answer(1, {})),
    (asked_first, b'{"id": 1, "return": null}\n', Answer(1, None)),
    (asked_first, b' { "return" : [ 1 , "\\u00e9" ] } \r\n', Answer(1, [1, "é"])),
    (asked_first, b'{"return": 5, "id": 1, "extra": {}}\n', Answer(1, 5)),
    (asked_first, b'\r\n \n{"return": {}, "id": 1}\n', Answer(1, {})),
    (asked_first, b'{"error": {"class": "X", "desc": "no"}, "id": 1}\n', ErrorReply(1, "X", "no")),
    (asked_first, b'{"error": {"class": "X", "desc": "no"}}\n', ErrorReply(1, "X", "no")),
    (asked_first, b'{"error": {}}\n', ErrorReply(1, "GenericError", "")),
    (asked_first, b'{"error": {"data": {}, "desc": "old"}}\n', ErrorReply(1, "GenericError", "old")),
    (asked_first, b'{"return": {}}\n', Answer(1, {})),
    (asked_first, IDS_REFUSED, IdsRefused(1)),
    (ECHOED, b'{"return": 7, "id": 2}\n', Answer(2, 7)),
    (ECHOED, IDS_REFUSED[:-2] + b', "id": 2}\n', ErrorReply(2, "GenericError", "QMP input member 'id' is unexpected")),
    (IGNORED, b'{"return": 7}\n', Answer(2, 7)),
    (IGNORED, b'{"error": {}}\n', ErrorReply(2, "GenericError", "")),
    (REFUSED, b'{"return": 7}\n', Answer(2, 7)),
    (REFUSED, IDS_REFUSED, ErrorReply(2, "GenericError", "QMP input member 'id' is unexpected")),
]


@pytest.mark.parametrize(("make", "line", "expected"), ANSWERS)
def test_takes_an_answer(make: Make, line: bytes, expected: Heard) -> None:
    heard, framing = heard_however_cut(make, line)
    assert heard == [expected]
    assert framing.state is State.IDLE
    assert framing.abandon() == []


STRAYS = [
    (asked_first, b'{"return": {}, "id": 2}\n', NOT_OURS),
    (asked_first, b'{"return": {}, "id": "1"}\n', NOT_OURS),
    (asked_first, b'{"return": {}, "id": 1.0}\n', NOT_OURS),
    (asked_first, b'{"return": {}, "id": true}\n', NOT_OURS),
    (asked_first, b'{"return": {}, "id": null}\n', NOT_OURS),
    (asked_first, b'{"return": {}, "id": {"1": 1}}\n', NOT_OURS),
    (asked_first, b'{"error": {}, "id": -1}\n', NOT_OURS),
    (asked_first, b'\xff{"return": 1}\n', OTHER_SYNC),
    (asked_first, b'\xff{"return": {}, "id": 1}\n', OTHER_SYNC),
    (asked_first, b"\xffno JSON\n", OTHER_SYNC),
    (asked_first, b'{"event": "RESUME", "data": {}}\n', EVENT),
    (asked_first, b'{"event": "RESUME", "return": {}, "id": 1}\n', EVENT),
    (ECHOED, b'{"return": {}}\n', NO_ID),
    (ECHOED, b'{"error": {"class": "GenericError", "desc": "JSON parse error"}}\n', NO_ID),
    (ECHOED, IDS_REFUSED, NO_ID),
    (ECHOED, b'{"return": "late", "id": 1}\n', NOT_OURS),
    (IGNORED, b'{"return": {}, "id": 2}\n', NOT_OURS),
    (REFUSED, b'{"return": {}, "id": 2}\n', NOT_OURS),
    (with_ids, b'{"return": {}}\n', UNASKED),
    (with_ids, b'{"return": {}, "id": 1}\n', UNASKED),
    (with_ids, b'{"error": {}, "id": 7}\n', UNASKED),
    (with_ids, b'\xff{"return": 1}\n', OTHER_SYNC),
    (with_ids, b'{"event": "RESUME"}\n', EVENT),
    (synced, b'{"event": "RESUME"}\n', EVENT),
    (without_ids, b'\xff{"return": 1}\n', OTHER_SYNC),
]


@pytest.mark.parametrize(("make", "line", "reason"), STRAYS)
def test_throws_away_what_answers_nobody(make: Make, line: bytes, reason: str) -> None:
    state = make().state
    heard, framing = heard_however_cut(make, line)
    assert heard == [Discarded(reason, len(line))]
    # And goes on as if nothing had been.
    assert framing.state is state


@pytest.mark.parametrize("make", [synced, without_ids, with_ids_refused])
def test_is_out_of_sync_when_only_the_order_tells_and_is_broken(make: Make) -> None:
    heard, framing = heard_however_cut(make, b'{"return": {}}\n')
    assert heard == [Discarded(UNASKED, 15)]
    assert framing.state is State.OUT_OF_SYNC


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
def test_refuses_what_no_agent_sends(line: bytes, expected: Violation) -> None:
    heard, framing = heard_however_cut(asked_first, line)
    assert heard == [expected]
    assert framing.state is State.OUT_OF_SYNC
    # Nothing is an answer any more, not even a right one.
    right = b'{"return": {}, "id": 1}\n'
    assert hear(framing, [right]) == [Discarded("nothing was asked since the channel went out of sync", len(right))]


def test_does_not_see_an_answer_that_an_ff_cuts() -> None:
    heard, framing = heard_however_cut(asked_first, b'{"return": "cut sh\xff{"return": 1}\n')
    assert heard == [Discarded(OTHER_SYNC, 15)]
    assert framing.state is State.WAITING


def test_matches_by_id_and_not_by_order() -> None:
    def make() -> Session:
        framing = with_ids()
        for dummy in range(3):
            ask(framing)
        return framing

    heard, framing = heard_however_cut(
        make, b'{"return": "c", "id": 4}\n{"error": {}, "id": 2}\n{"return": "b", "id": 3}\n{"return": 0, "id": 3}\n'
    )
    assert heard == [Answer(4, "c"), ErrorReply(2, "GenericError", ""), Answer(3, "b"), Discarded(UNASKED, 23)]
    assert framing.state is State.IDLE


@pytest.mark.parametrize("make", [new_framing, syncing, synced, with_ids, asked_first, ECHOED, IGNORED])
def test_is_closed_by_the_end_of_the_channel(make: Make) -> None:
    assert heard_however_cut(make, b"", ended=True)[0] == [Closed(0)]
    heard, framing = heard_however_cut(make, b'{"return": {}, "i', ended=True)
    assert heard == [Closed(17)]
    assert framing.state is State.CLOSED
    assert framing.next_event() is None
    framing.abandon()
    assert framing.state is State.CLOSED
    with pytest.raises(StateError, match="while closed"):
        framing.send(framing.prepare("guest-ping"))


def test_takes_an_answer_that_came_before_the_end() -> None:
    assert heard_however_cut(ECHOED, b'{"return": 1, "id": 2}\n', ended=True)[0] == [Answer(2, 1), Closed(0)]


def test_tells_which_requests_stay_unanswered() -> None:
    framing = with_ids()
    requests = [framing.prepare("guest-shutdown", success_response=False), framing.prepare("guest-ping")]
    for request in requests:
        framing.send(request)
    assert hear(framing, [b'{"return": {}, "id": 3}\n']) == [Answer(3, {})]
    # That of the silent one may mean success; only its error would have been an answer.
    assert framing.state is State.WAITING
    assert framing.abandon() == [requests[0]]


@pytest.mark.parametrize("make", [asked_first, ECHOED, IGNORED])
def test_never_takes_a_late_answer(make: Make) -> None:
    framing = make()
    framing.abandon()
    late = b'{"return": "late", "id": 2}\n{"return": "late"}\n'
    assert [type(event) for event in hear(framing, [late])] == [Discarded, Discarded]
    sync = framing.sync()
    sync_id = int(sync[sync.rindex(b":") + 1 : sync.index(b"}")])
    assert hear(framing, [late + b'\xff{"return": %d}\n' % sync_id])
    request = ask(framing)
    answer = b'{"return": "in time", "id": %d}\n' % request.number
    assert hear(framing, [answer]) == [Answer(request.number, "in time")]


@pytest.mark.parametrize("make", [without_ids, with_ids_refused])
def test_does_not_take_what_came_before_the_request(make: Make) -> None:
    # Without ids a second reply to one request would pass for the reply to the next.
    framing = make()
    ask(framing)
    framing.receive_data(b'{"return": "first"}\n{"return": "second"}\n')
    assert framing.next_event() == Answer(2, "first")
    request = framing.prepare("guest-ping")
    assert not framing.has_room(request)
    assert hear(framing, [b""]) == [Discarded(UNASKED, 21)]
    assert framing.state is State.OUT_OF_SYNC
