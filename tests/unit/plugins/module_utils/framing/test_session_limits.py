# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every limit is met exactly, and one byte more is refused, however the bytes are cut."""

from __future__ import annotations

import functools

import pytest

from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer, Discarded
from ansible_collections.netless.qga.plugins.module_utils.framing.limits import Limits
from ansible_collections.netless.qga.plugins.module_utils.framing.session import Session
from ansible_collections.netless.qga.plugins.module_utils.framing.state import State
from ansible_collections.netless.qga.tests.unit.plugins.module_utils.framing.sessions import (
    MakeSession,
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
)

LINE = b'{"return": "at least as long as the reply to a sync", "id": 1}'
TOO_LONG = Violation(f"a reply of more than {len(LINE)} bytes")
TOO_MUCH = Violation("more than 100 bytes that answer none of our requests")
OUT_OF_SYNC = "no request was sent since the channel went out of sync"


def test_line_as_long_as_the_limit_is_accepted() -> None:
    make = functools.partial(waiting(synced), Limits(line=len(LINE)))
    assert receive_however_cut(make, LINE + b"\n")[0] == [Answer(1, "at least as long as the reply to a sync")]


@pytest.mark.parametrize("make", [synced, waiting(synced), waiting(with_ids)])
@pytest.mark.parametrize("before", [b"", b"\xff", b"x\xff"])
@pytest.mark.parametrize("after", [b"", b"\n", b"\xff", b'\xff{"return": 1}\n', b"and more\n"])
def test_longer_line_is_refused_before_its_end(make: MakeSession, before: bytes, after: bytes) -> None:
    limited = functools.partial(make, Limits(line=len(LINE)))
    events, session = receive_however_cut(limited, before + b" " + LINE + after)
    assert events == [TOO_LONG]
    assert session.state is State.OUT_OF_SYNC


def test_long_line_after_abandon_is_discarded() -> None:
    # A late reply answers no request. Only the limit for discarded bytes applies to it.
    def make() -> Session:
        session = syncing(Limits(line=80, discard=100))
        session.abandon()
        return session

    assert receive_however_cut(make, b"x" * 99 + b"\n")[0] == [Discarded(OUT_OF_SYNC, 100)]
    assert receive_however_cut(make, b"x" * 101)[0] == [TOO_MUCH]


def test_line_before_the_first_sync_is_discarded() -> None:
    make = functools.partial(new_session, Limits(discard=100))
    assert receive_however_cut(make, b"x" * 99 + b"\n")[0] == [Discarded(OUT_OF_SYNC, 100)]
    assert receive_however_cut(make, b"x" * 100 + b"\n")[0] == [TOO_MUCH]


def test_line_without_a_request_is_not_long() -> None:
    limits = Limits(line=200, text=100)
    line = b'{"return": "%s", "id": 1}\n' % (b"x" * 100)
    assert receive_however_cut(functools.partial(synced, limits), line)[0] == [
        Violation("a reply of more than 100 bytes")
    ]
    assert receive_however_cut(functools.partial(waiting(synced), limits), line)[0] == [Answer(1, "x" * 100)]


def test_longer_line_during_a_sync_is_discarded() -> None:
    session = syncing(Limits(line=30))
    too_long = b'\xff{"return": 1, "id": "%s"}\n' % (b"x" * 30)
    assert receive(session, [too_long]) == []
    assert session.state is State.SYNCING


@pytest.mark.parametrize(("make", "number"), [(synced, 1), (with_ids, 2)])
def test_too_many_bytes_between_two_answers_are_refused(make: MakeSession, number: int) -> None:
    stray = b'{"event": "RESUME"}\n'
    limited = functools.partial(waiting(waiting(make)), Limits(discard=5 * len(stray)))
    answer = b'{"return": 1, "id": %d}\n' % number
    strays = [Discarded("an event, which no agent sends", len(stray))] * 5
    assert receive_however_cut(limited, stray * 5 + answer + stray * 5)[0] == [*strays, Answer(number, 1), *strays]
    assert receive_however_cut(limited, stray * 5 + b"x")[0] == strays
    assert receive_however_cut(limited, stray * 6)[0] == [*strays, TOO_MUCH]


@pytest.mark.parametrize("make", [with_ids, waiting(with_ids)])
@pytest.mark.parametrize("flood", [b"\xff", b"\n", b"x\xff", b"\r\n"])
@pytest.mark.parametrize("end", [b"", b'{"return": 1, "id": 2}\n'])
def test_flood_of_empty_lines_is_refused(make: MakeSession, flood: bytes, end: bytes) -> None:
    limited = functools.partial(make, Limits(discard=100))
    events, session = receive_however_cut(limited, flood * (102 // len(flood)) + end)
    assert events == [TOO_MUCH]
    assert session.state is State.OUT_OF_SYNC


def test_values_are_accepted_up_to_the_limits() -> None:
    limits = Limits(depth=4, values=10, digits=20)

    def answer_to(value: bytes) -> object:
        session = waiting(synced_without_ids)(limits)
        (event,) = receive(session, [b'{"return": %s}\n' % value])
        return event.value if isinstance(event, Answer) else event

    def refused(reason: str) -> Violation:
        return Violation(f"a reply that is unacceptable: {reason}")

    assert answer_to(b"[[[1]]]") == [[[1]]]
    assert answer_to(b"[[[[1]]]]") == refused("nested more than 4 deep")
    assert answer_to(b'"[[[[1]]]]"') == "[[[[1]]]]"
    assert answer_to(b"[1,2,3,4,5,6,7,8,9]") == list(range(1, 10))
    assert answer_to(b"[1,2,3,4,5,6,7,8,9,10]") == refused("more than 10 values")
    assert answer_to(b"1" * 20) == int("1" * 20)
    assert answer_to(b"-1.25") == -1.25
    assert answer_to(b"1" * 21) == refused("a number of more than 20 digits")
    assert answer_to(b"[1, 1.%se1]" % (b"0" * 17)) == refused("a number of more than 20 digits")


def test_each_reply_has_the_limit_of_its_request() -> None:
    def waiting_for_two() -> Session:
        session = with_ids()
        for size in (len(LINE), 1000):
            session.send(session.prepare("guest-info", limits=Limits(line=size)))
        return session

    at_limit = LINE.replace(b'"id": 1', b'"id": 2')
    longer = at_limit.replace(b"at least", b"at      least")
    events = receive_however_cut(waiting_for_two, longer.replace(b"2}", b"3}") + b"\n" + at_limit + b"\n")[0]
    assert [event.number for event in events if isinstance(event, Answer)] == [3, 2]
    one_more = at_limit.replace(b"at least", b"at  least")
    assert receive_however_cut(waiting_for_two, one_more + b"\n")[0] == [TOO_LONG]


def test_replies_to_several_requests_have_the_loosest_of_their_limits() -> None:
    def make() -> Session:
        session = with_ids()
        for limits in (Limits(line=50, values=20), Limits(line=100, values=10)):
            session.send(session.prepare("guest-info", limits=limits))
        return session

    # The longer one is refused although it has not ended.
    assert receive_however_cut(make, b"x" * 100)[0] == []
    assert receive_however_cut(make, b"x" * 101)[0] == [Violation("a reply of more than 100 bytes")]
    values = b'{"return": [%s0], "id": 2}\n'
    assert receive_however_cut(make, values % (b"0," * 10))[0] == [Answer(2, [0] * 11)]
    assert receive_however_cut(make, values % (b"0," * 20))[0] == [
        Violation("a reply that is unacceptable: more than 20 values")
    ]


def test_requests_are_sent_up_to_the_limit() -> None:
    session = with_ids(Limits(in_flight=96))
    for dummy in range(3):
        assert len(send_request(session).data) == 32
    assert not session.has_room(session.prepare("guest-ping"))
    assert receive(session, [b'{"return": {}, "id": 2}\n']) == [Answer(2, {})]
    assert session.has_room(session.prepare("guest-ping"))
    assert not session.has_room(session.prepare("guest-pings"))


def test_default_limits_accept_what_agents_send() -> None:
    limits = Limits()
    # guest-file-read returns at most 48 MiB, in base64, and 1024 bytes are more than enough for the rest of the line.
    assert limits.line >= 48 * 1024 * 1024 * 4 // 3 + 1024
    assert limits.discard > limits.line
    assert limits.digits >= len(str(-(2**63)))
    assert limits.in_flight == 4096
