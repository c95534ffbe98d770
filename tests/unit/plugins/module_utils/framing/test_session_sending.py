# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests on their way out: what their bytes are, and when they may be sent."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest, StateError
from ansible_collections.netless.qga.plugins.module_utils.framing.state import State
from ansible_collections.netless.qga.tests.unit.plugins.module_utils.framing.conversation import (
    Make,
    ask,
    hear,
    new_framing,
    synced,
    syncing,
    waiting,
    with_ids,
    with_ids_refused,
    without_ids,
)


def test_asks_one_at_a_time_until_an_id_has_come_back() -> None:
    for make in (synced, without_ids, with_ids_refused):
        framing = make()
        ask(framing)
        second = framing.prepare("guest-ping")
        assert not framing.has_room(second)
        with pytest.raises(StateError, match="no room"):
            framing.send(second)


def test_sends_one_request_of_any_size_alone() -> None:
    framing = with_ids()
    large = framing.prepare("guest-file-write", {"buf-b64": "A" * 100_000})
    small = framing.prepare("guest-ping")
    assert framing.has_room(large)
    framing.send(small)
    assert not framing.has_room(large)
    hear(framing, [b'{"return": {}, "id": 3}\n'])
    assert framing.send(large) == large.data
    assert not framing.has_room(small)


def test_makes_requests() -> None:
    framing = synced()
    request = framing.prepare("guest-file-open", {"path": '/é "\\\n😀', "mode": "r"}, success_response=False)
    assert request.data == (
        b'{"execute":"guest-file-open","arguments":{"path":"/\\u00e9 \\"\\\\\\n\\ud83d\\ude00","mode":"r"},"id":1}\n'
    )
    assert framing.prepare("guest-exec", {"arg": ["-n", ""], "count": 2**63 - 1, "x": (None, True)}).data == (
        b'{"execute":"guest-exec","arguments":{"arg":["-n",""],"count":9223372036854775807,"x":[null,true]},"id":2}\n'
    )
    assert (request.number, request.success_response) == (1, False)
    assert framing.prepare("guest-ping").data == b'{"execute":"guest-ping","id":3}\n'
    assert with_ids_refused().prepare("guest-ping", {}).data == b'{"execute":"guest-ping"}\n'


@pytest.mark.parametrize(
    "value",
    ["a\0b", ["a", ["\0"]], {"env": ("A=\0",)}, "\ud800", {"x": ["\udcff"]}, float("nan"), float("inf"), b"", object()],
)
def test_refuses_arguments_that_an_agent_cannot_take(value: t.Any) -> None:
    framing = synced()
    with pytest.raises(InvalidRequest):
        framing.prepare("guest-exec", {"path": value})
    assert framing.state is State.IDLE
    assert hear(framing, []) == []


@pytest.mark.parametrize("make", [new_framing, syncing])
def test_sends_nothing_before_a_sync(make: Make) -> None:
    framing = make()
    request = framing.prepare("guest-ping")
    assert not framing.has_room(request)
    with pytest.raises(StateError, match=r"cannot send a request while (never synced|syncing)"):
        framing.send(request)


@pytest.mark.parametrize("make", [synced, with_ids, waiting(synced), waiting(with_ids)])
def test_sends_nothing_after_giving_up(make: Make) -> None:
    framing = make()
    framing.abandon()
    assert framing.state is State.OUT_OF_SYNC
    with pytest.raises(StateError, match="while out of sync"):
        framing.send(framing.prepare("guest-ping"))
