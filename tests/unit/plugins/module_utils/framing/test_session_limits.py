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
        session = syncing(Limits(line=80, discard=300))
        session.abandon()
        return session

    reason = "no request was sent since the channel went out of sync"
    assert receive_however_cut(make, b"x" * 299 + b"\n")[0] == [Discarded(reason, 300)]
    assert receive_however_cut(make, b"x" * 301)[0] == [
        Violation("more than 300 bytes that answer none of our requests")
    ]


def test_longer_line_during_a_sync_is_discarded() -> None:
    session = syncing(Limits(line=30))
    too_long = b'\xff{"return": 1, "id": "%s"}\n' % (b"x" * 30)
    assert receive(session, [too_long]) == []
    assert session.state is State.SYNCING


def test_too_many_bytes_between_two_answers_are_refused() -> None:
    stray = b'{"event": "X"}\n'
    make = functools.partial(waiting(waiting(with_ids)), Limits(discard=100))
    answer = b'{"return": 1, "id": 2}\n'
    strays = [Discarded("an event, which no agent sends", len(stray))] * 6
    assert receive_however_cut(make, stray * 6 + answer + stray * 6)[0] == [*strays, Answer(2, 1), *strays]
    assert receive_however_cut(make, stray * 7)[0] == [*strays, TOO_MUCH]


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
    assert receive_however_cut(waiting_for_two, longer + b"\n")[0] == [TOO_LONG]


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
