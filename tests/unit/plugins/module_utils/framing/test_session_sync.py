# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sync: what is sent, and which bytes end it, as tables of bytes that are also fed cut at every position."""

from __future__ import annotations

import secrets

import pytest

from ansible_collections.netless.qga.plugins.module_utils.errors import StateError
from ansible_collections.netless.qga.plugins.module_utils.framing.events import (
    Closed,
    DelimitedSyncMissing,
    Event,
    IdsRefused,
    Synced,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.limits import Limits
from ansible_collections.netless.qga.plugins.module_utils.framing.session import Session
from ansible_collections.netless.qga.plugins.module_utils.framing.state import State
from ansible_collections.netless.qga.tests.unit.plugins.module_utils.framing.conversation import (
    IDS_REFUSED,
    NOT_FOUND,
    STRAY_FF,
    SYNC_ID,
    Make,
    Violation,
    ask,
    hear,
    heard_however_cut,
    new_framing,
    synced,
    syncing,
    syncing_plainly,
    with_ids,
    with_ids_refused,
    without_ids,
)

RIGHT = b'\xff{"return": %d}\n' % SYNC_ID
PLAIN = b'{"return": %d}\n' % (SYNC_ID + 1)

# Before the reply. All of it is thrown away and counted, and none of it ends the sync.
THROWN_AWAY = {
    "nothing": b"",
    "what the leading FF provokes": STRAY_FF,
    "several parse errors": STRAY_FF * 6,
    "the rest of a reply": b'nt": 12}}\n' + STRAY_FF,
    "a reply that was cut": b'{"return": {"count": 3, "buf-b64": "AA',
    "replies of before, with and without ids": b'{"return": {"pid": 1}}\n{"return": {}, "id": 1}\n' + STRAY_FF,
    "an answer that names the command": b'{"return": {"supported_commands": [{"name": "guest-sync-delimited"}]}}\n',
    "an older client's sync": b'\xff{"return": 1}\n' + STRAY_FF,
    "older syncs, one cut": b'\xff{"return": 1}\n\xff{"return": 11\xff{"return": 2}\n',
    "a reply cut by an FF": b'\xff{"return": 12',
    "FF alone": b"\xff\xff\xff",
    "FF and blank lines": b"\xff\n\n\xff\r\n",
    "our id cut short": b'\xff{"return": %d}\n' % (SYNC_ID // 10),
    "our id in an error": b'\xff{"error": {"class": "GenericError", "desc": "stray \'%d\'"}}\n' % SYNC_ID,
    "our id as the error": b'\xff{"error": %d}\n' % SYNC_ID,
    "our id as text": b'\xff{"return": "%d"}\n' % SYNC_ID,
    "our id as a float": b'\xff{"return": %d.0}\n' % SYNC_ID,
    "our id further in": b'\xff{"return": {"return": %d}}\n' % SYNC_ID,
    "our id alone": b"\xff%d\n" % SYNC_ID,
    "our id in a list": b'\xff[{"return": %d}]\n' % SYNC_ID,
    "our id as the request's": b'\xff{"return": {}, "id": %d}\n' % SYNC_ID,
    "our id given twice": b'\xff{"return": 1, "return": %d}\n' % SYNC_ID,
    "our id after a NUL": b'\xff\0{"return": %d}\n' % SYNC_ID,
    "true": b'\xff{"return": true}\n',
    "invalid UTF-8": b'\xff{"return": "\xc3\x28"}\n',
    "nesting without end": b"\xff" + b"[" * 500 + b"\n",
    "control characters": b"\x00\x01\x04\x1b\x7f\r\n\t",
}


@pytest.mark.parametrize("before", THROWN_AWAY.values(), ids=THROWN_AWAY)
def test_throws_away_everything_before_the_reply(before: bytes) -> None:
    heard, framing = heard_however_cut(syncing, before + RIGHT)
    assert heard == [Synced(SYNC_ID, len(before), delimited=True)]
    assert framing.state is State.IDLE


@pytest.mark.parametrize("before", THROWN_AWAY.values(), ids=THROWN_AWAY)
def test_is_not_ended_by_anything_else(before: bytes) -> None:
    heard, framing = heard_however_cut(syncing, before)
    assert heard == []
    assert framing.state is State.SYNCING


def test_throws_away_lines_that_are_too_long_for_a_sync() -> None:
    long = b'\xff{"return": %d, "and": "%s"}\n' % (SYNC_ID, b"A" * 5000)
    assert hear(syncing(), [long, RIGHT]) == [Synced(SYNC_ID, len(long), delimited=True)]


def test_takes_the_longest_reply_again_when_it_is_over() -> None:
    framing = synced()
    ask(framing)
    framing.receive_data(b'{"return": "%s", "id": 1}\n' % (b"A" * 100_000))
    assert framing.next_event() is not None
    assert framing.state is State.IDLE


@pytest.mark.parametrize(
    ("make", "received", "expected", "state"),
    [
        pytest.param(syncing, RIGHT[1:], Synced(SYNC_ID, 0, delimited=False), State.IDLE, id="the sentinel is lost"),
        pytest.param(syncing, NOT_FOUND, DelimitedSyncMissing(), State.SYNCING, id="unknown"),
        pytest.param(
            syncing,
            b'{"error": {"class": "CommandNotFound", "desc": "Command guest-sync-delimited has been disabled"}}\n',
            DelimitedSyncMissing(),
            State.SYNCING,
            id="disabled",
        ),
        pytest.param(
            syncing_plainly,
            STRAY_FF + PLAIN,
            Synced(SYNC_ID + 1, len(STRAY_FF), delimited=False),
            State.IDLE,
            id="plain",
        ),
        pytest.param(
            syncing_plainly,
            b'{"return": 5}\n{"return": %d}\n' % SYNC_ID + PLAIN,
            Synced(SYNC_ID + 1, 14 + 32, delimited=False),
            State.IDLE,
            id="plain, after integers that other commands returned",
        ),
        pytest.param(
            syncing_plainly,
            NOT_FOUND + PLAIN,
            Synced(SYNC_ID + 1, len(NOT_FOUND), False),
            State.IDLE,
            id="plain already",
        ),
        pytest.param(
            syncing,
            b'{"QMP": {"version": {}, "capabilities": []}}\n',
            Violation("this is a QEMU monitor (QMP), not a guest agent: give the agent's channel instead"),
            State.OUT_OF_SYNC,
            id="a monitor",
        ),
    ],
)
def test_ends_in_another_way(make: Make, received: bytes, expected: Event | Violation, state: State) -> None:
    heard, framing = heard_however_cut(make, received)
    assert heard == [expected]
    assert framing.state is state


def test_ends_with_the_channel() -> None:
    assert heard_however_cut(syncing, STRAY_FF, ended=True)[0] == [Closed(0)]
    heard, framing = heard_however_cut(syncing, STRAY_FF + b'\xff{"ret', ended=True)
    assert heard == [Closed(6)]
    assert framing.state is State.CLOSED
    with pytest.raises(StateError, match="cannot sync while closed"):
        framing.sync()


def test_sends_the_sentinel_and_the_command() -> None:
    assert new_framing().sync() == (b'\xff{"execute":"guest-sync-delimited","arguments":{"id":%d}}\n' % SYNC_ID)


def test_sends_the_plain_command_to_an_agent_that_lacks_the_other() -> None:
    framing = syncing()
    hear(framing, [NOT_FOUND])
    assert framing.sync() == b'\xff{"execute":"guest-sync","arguments":{"id":%d}}\n' % (SYNC_ID + 1)


@pytest.mark.parametrize(("drawn", "sync_id"), [(0, 1), (2**63 - 2, 2**63 - 1)])
def test_draws_ids_that_every_agent_takes(drawn: int, sync_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def randbelow(bound: int) -> int:
        assert bound == 2**63 - 1
        return drawn

    monkeypatch.setattr(secrets, "randbelow", randbelow)
    assert b'"id":%d}' % sync_id in Session().sync()


def test_draws_another_id_each_time() -> None:
    framing = Session()
    assert len({framing.sync() for dummy in range(100)}) == 100


@pytest.mark.parametrize("make", [new_framing, syncing, synced, with_ids, without_ids])
def test_begins_from_every_state_but_closed(make: Make) -> None:
    framing = make()
    framing.sync()
    assert framing.state is State.SYNCING


def test_forgets_the_requests_and_counts_what_came_for_them() -> None:
    framing = with_ids()
    ask(framing)
    late = b'{"return": "late", "id": 2}\n'
    framing.receive_data(late + b'{"return": "cut sh')
    framing.sync()
    assert framing.abandon() == []
    framing.sync()
    received = b'{"return": "late", "id": 2}\n' + STRAY_FF + b'\xff{"return": %d}\n' % (SYNC_ID + 2)
    assert hear(framing, [received]) == [Synced(SYNC_ID + 2, len(late + STRAY_FF), delimited=True)]


def test_is_not_ended_by_the_reply_to_the_sync_before() -> None:
    framing = syncing()
    framing.abandon()
    framing.sync()
    assert hear(framing, [RIGHT]) == []
    assert hear(framing, [b'\xff{"return": %d}\n' % (SYNC_ID + 1)]) == [Synced(SYNC_ID + 1, len(RIGHT), delimited=True)]


def test_counts_what_was_received_before_it() -> None:
    framing = synced()
    framing.receive_data(b"left over\nand cut")
    framing.sync()
    assert hear(framing, [b'\xff{"return": %d}\n' % (SYNC_ID + 1)]) == [Synced(SYNC_ID + 1, 17, delimited=True)]


def test_asks_anew_whether_ids_come_back() -> None:
    # The agent may have been replaced by a newer or an older one while nobody looked.
    framing = with_ids_refused()
    assert b'"id"' not in ask(framing).data
    framing.sync()
    hear(framing, [b'\xff{"return": %d}\n' % (SYNC_ID + 1)])
    assert b'"id"' in ask(framing).data
    assert hear(framing, [IDS_REFUSED]) == [IdsRefused(3)]


@pytest.mark.parametrize("extra", [0, 1])
def test_gives_up_after_as_many_bytes_as_are_allowed(extra: int) -> None:
    # All bytes count up to the end of the reply.
    limits = Limits(discard=len(STRAY_FF + RIGHT) + 100)
    heard, framing = heard_however_cut(lambda: syncing(limits), STRAY_FF + b"x" * (100 + extra) + RIGHT)
    if extra:
        assert heard == [Violation(f"more than {limits.discard} bytes that answer none of our requests")]
        assert framing.state is State.OUT_OF_SYNC
    else:
        assert heard == [Synced(SYNC_ID, len(STRAY_FF) + 100, delimited=True)]


@pytest.mark.parametrize("flood", [b"x", b"\n", b"\xff", b"x\n", b"x\xff", b'{"return": 1}\n'])
def test_gives_up_in_a_flood(flood: bytes) -> None:
    limits = Limits(discard=100)
    heard, framing = heard_however_cut(lambda: syncing(limits), (flood * 101)[:101])
    assert heard == [Violation("more than 100 bytes that answer none of our requests")]
    assert framing.state is State.OUT_OF_SYNC
