# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bytes of requests, and when they may be sent."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest, StateError
from ansible_collections.netless.qga.plugins.module_utils.framing.session import Session
from ansible_collections.netless.qga.plugins.module_utils.framing.state import State
from ansible_collections.netless.qga.tests.unit.plugins.module_utils.framing.sessions import (
    MakeSession,
    new_session,
    receive,
    send_request,
    synced,
    synced_without_ids,
    syncing,
    waiting,
    with_ids,
    with_ids_refused,
    without_ids,
)


def test_one_request_at_a_time_without_ids() -> None:
    for make in (synced_without_ids, without_ids, with_ids_refused):
        session = make()
        send_request(session)
        second = session.prepare("guest-ping")
        assert not session.has_room(second)
        with pytest.raises(StateError) as caught:
            session.send(second)
        assert str(caught.value) == "no room for a request: others are unanswered, or received data is unread"


def test_one_request_of_any_size_is_sent_alone() -> None:
    session = with_ids()
    large = session.prepare("guest-file-write", {"buf-b64": "A" * 100_000})
    small = session.prepare("guest-ping")
    assert session.has_room(large)
    session.send(small)
    assert not session.has_room(large)
    receive(session, [b'{"return": {}, "id": 3}\n'])
    assert session.send(large) == large.data
    assert not session.has_room(small)


def test_request_is_one_line_of_json() -> None:
    session = synced()
    request = session.prepare("guest-file-open", {"path": '/é "\\\n😀', "mode": "r"}, success_response=False)
    assert request.data == (
        b'{"execute":"guest-file-open","arguments":{"path":"/\\u00e9 \\"\\\\\\n\\ud83d\\ude00","mode":"r"},"id":1}\n'
    )
    assert session.prepare("guest-exec", {"arg": ["-n", ""], "count": 2**63 - 1, "x": (None, True)}).data == (
        b'{"execute":"guest-exec","arguments":{"arg":["-n",""],"count":9223372036854775807,"x":[null,true]},"id":2}\n'
    )
    assert (request.number, request.success_response) == (1, False)
    assert session.prepare("guest-ping").data == b'{"execute":"guest-ping","id":3}\n'
    assert with_ids_refused().prepare("guest-ping", {}).data == b'{"execute":"guest-ping"}\n'


def test_request_is_answered_by_default() -> None:
    assert synced().prepare("guest-ping").success_response


@pytest.mark.parametrize("drawn", [1, 2**52 - 1, 2**63 - 1])
def test_numbers_of_requests_are_exact_as_doubles(drawn: int) -> None:
    session = Session(random_id=lambda: drawn)
    number = session.prepare("guest-ping").number
    assert number == drawn % 2**52 + 1
    assert int(float(number)) == number and number < 2**53


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("a\0b", "a NUL"),
        (["a", ["\0"]], "a NUL"),
        ({"env": ("A=\0",)}, "a NUL"),
        ("\ud800", "text that is not UTF-8"),
        ({"x": ["\udcff"]}, "text that is not UTF-8"),
        (float("nan"), "something that JSON does not have"),
        (float("inf"), "something that JSON does not have"),
        (b"", "something that JSON does not have"),
        (object(), "something that JSON does not have"),
    ],
)
def test_arguments_that_an_agent_cannot_take_are_refused(value: t.Any, reason: str) -> None:
    session = synced()
    with pytest.raises(InvalidRequest) as caught:
        session.prepare("guest-exec", {"path": value})
    assert str(caught.value) == f"guest-exec: its arguments cannot be sent: {reason}"
    assert session.state is State.IDLE
    assert receive(session, []) == []


@pytest.mark.parametrize("make", [new_session, syncing])
def test_request_before_a_sync_is_refused(make: MakeSession) -> None:
    session = make()
    request = session.prepare("guest-ping")
    assert not session.has_room(request)
    with pytest.raises(StateError, match=r"cannot send a request while (never synced|syncing)"):
        session.send(request)


@pytest.mark.parametrize("make", [new_session, syncing, with_ids])
def test_request_prepared_before_a_sync_is_refused_after_it(make: MakeSession) -> None:
    # Nobody knew then whether it needs an id.
    session = make()
    early = session.prepare("guest-ping")
    sync_id = json.loads(session.sync()[1:])["id"]
    assert receive(session, [b'\xff{"return": %d, "id": %d}\n' % (sync_id, sync_id)])
    with pytest.raises(StateError) as caught:
        session.send(early)
    assert str(caught.value) == "the request was prepared before the sync, so it may lack an id"
    assert send_request(session).number == early.number + 1


@pytest.mark.parametrize("make", [synced_without_ids, synced, with_ids, waiting(synced), waiting(with_ids)])
def test_request_after_abandon_is_refused(make: MakeSession) -> None:
    session = make()
    session.abandon()
    assert session.state is State.OUT_OF_SYNC
    with pytest.raises(StateError, match="while out of sync"):
        session.send(session.prepare("guest-ping"))
