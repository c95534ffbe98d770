# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a guest may cost: every limit is met exactly, and refused one further, whatever the pieces."""

from __future__ import annotations

import functools

import pytest

from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer, Discarded
from ansible_collections.netless.qga.plugins.module_utils.framing.limits import Limits
from ansible_collections.netless.qga.plugins.module_utils.framing.session import Session
from ansible_collections.netless.qga.plugins.module_utils.framing.state import State
from ansible_collections.netless.qga.tests.unit.plugins.module_utils.framing.conversation import (
    Make,
    Violation,
    ask,
    hear,
    heard_however_cut,
    synced,
    syncing,
    waiting,
    with_ids,
)

LINE = b'{"return": "as long as the reply to a sync", "id": 1}'
TOO_LONG = Violation(f"a reply of more than {len(LINE)} bytes")
TOO_MUCH = Violation("more than 100 bytes that answer none of our requests")


def test_takes_a_line_of_the_limit() -> None:
    make = functools.partial(waiting(synced), Limits(line=len(LINE)))
    assert heard_however_cut(make, LINE + b"\n")[0] == [Answer(1, "as long as the reply to a sync")]


@pytest.mark.parametrize("make", [synced, waiting(synced), waiting(with_ids)])
@pytest.mark.parametrize("before", [b"", b"\xff", b"x\xff"])
@pytest.mark.parametrize("after", [b"", b"\n", b"\xff", b'\xff{"return": 1}\n', b"and more\n"])
def test_refuses_a_line_beyond_the_limit_without_waiting_for_its_end(make: Make, before: bytes, after: bytes) -> None:
    limited = functools.partial(make, Limits(line=len(LINE)))
    heard, framing = heard_however_cut(limited, before + b" " + LINE + after)
    assert heard == [TOO_LONG]
    assert framing.state is State.OUT_OF_SYNC


def test_does_not_mind_a_long_line_after_giving_up() -> None:
    # A late reply is nobody's, and may be as long as it likes, within what is thrown away at all.
    def make() -> Session:
        framing = syncing(Limits(line=80, discard=300))
        framing.abandon()
        return framing

    nobody = "nothing was asked since the channel went out of sync"
    assert heard_however_cut(make, b"x" * 299 + b"\n")[0] == [Discarded(nobody, 300)]
    assert heard_however_cut(make, b"x" * 301)[0] == [Violation("more than 300 bytes that answer none of our requests")]


def test_throws_away_a_line_beyond_the_limit_during_a_sync() -> None:
    framing = syncing(Limits(line=30))
    too_long = b'\xff{"return": 1, "id": "%s"}\n' % (b"x" * 30)
    assert hear(framing, [too_long]) == []
    assert framing.state is State.SYNCING


def test_refuses_more_than_is_allowed_between_two_answers() -> None:
    stray = b'{"event": "X"}\n'
    make = functools.partial(waiting(waiting(with_ids)), Limits(discard=100))
    answer = b'{"return": 1, "id": 2}\n'
    strays = [Discarded("an event, which no agent sends", len(stray))] * 6
    assert heard_however_cut(make, stray * 6 + answer + stray * 6)[0] == [*strays, Answer(2, 1), *strays]
    assert heard_however_cut(make, stray * 7)[0] == [*strays, TOO_MUCH]


@pytest.mark.parametrize("make", [with_ids, waiting(with_ids)])
@pytest.mark.parametrize("flood", [b"\xff", b"\n", b"x\xff", b"\r\n"])
@pytest.mark.parametrize("end", [b"", b'{"return": 1, "id": 2}\n'])
def test_refuses_a_flood_of_nothing(make: Make, flood: bytes, end: bytes) -> None:
    limited = functools.partial(make, Limits(discard=100))
    heard, framing = heard_however_cut(limited, flood * (102 // len(flood)) + end)
    assert heard == [TOO_MUCH]
    assert framing.state is State.OUT_OF_SYNC


def test_takes_values_up_to_the_limits() -> None:
    limits = Limits(depth=4, values=10, digits=20)

    def answer_to(value: bytes) -> object:
        framing = waiting(synced)(limits)
        (event,) = hear(framing, [b'{"return": %s}\n' % value])
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


def test_sends_requests_up_to_the_limit() -> None:
    framing = with_ids(Limits(in_flight=96))
    for dummy in range(3):
        assert len(ask(framing).data) == 32
    assert not framing.has_room(framing.prepare("guest-ping"))
    assert hear(framing, [b'{"return": {}, "id": 2}\n']) == [Answer(2, {})]
    assert framing.has_room(framing.prepare("guest-ping"))
    assert not framing.has_room(framing.prepare("guest-pings"))


def test_has_limits_that_let_through_what_agents_are_known_to_send() -> None:
    limits = Limits()
    # guest-file-read returns at most 48 MiB, in base64, and 1024 bytes are more than enough for the rest of the line.
    assert limits.line >= 48 * 1024 * 1024 * 4 // 3 + 1024
    assert limits.discard > limits.line
    assert limits.digits >= len(str(-(2**63)))
    assert limits.in_flight == 4096
