# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sync: what is sent, and which bytes end it. The tables of bytes are also fed cut at every position."""

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
from ansible_collections.netless.qga.tests.unit.plugins.module_utils.framing.sessions import (
    IDS_REFUSED,
    NOT_FOUND,
    STRAY_FF,
    SYNC_ID,
    MakeSession,
    Violation,
    new_session,
    receive,
    receive_however_cut,
    send_request,
    synced,
    syncing,
    syncing_plainly,
    syncing_without_id,
    with_ids,
    without_ids,
)

RIGHT = b'\xff{"return": %d, "id": %d}\n' % (SYNC_ID, SYNC_ID)
WITHOUT_ID = b'\xff{"return": %d}\n' % SYNC_ID
NEXT = b'\xff{"return": %d, "id": %d}\n' % (SYNC_ID + 1, SYNC_ID + 1)
NEXT_WITHOUT_ID = b'\xff{"return": %d}\n' % (SYNC_ID + 1)
PLAIN = NEXT[1:]
PLAIN_WITHOUT_ID = NEXT_WITHOUT_ID[1:]
NOT_FOUND_WITH_ID = NOT_FOUND[:-2] + b', "id": %d}\n' % SYNC_ID
REFUSED_WITH_ID = IDS_REFUSED[:-2] + b', "id": %d}\n' % SYNC_ID

# Bytes before the reply. The session discards and counts all of them, and none of them ends the sync.
DISCARDED = {
    "nothing": b"",
    "what the leading FF provokes": STRAY_FF,
    "several parse errors": STRAY_FF * 6,
    "the rest of a reply": b'nt": 12}}\n' + STRAY_FF,
    "a reply that was cut": b'{"return": {"count": 3, "buf-b64": "AA',
    "late replies, with and without ids": b'{"return": {"pid": 1}}\n{"return": {}, "id": 1}\n' + STRAY_FF,
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
    "our id and another one as the request's": b'\xff{"return": %d, "id": 1}\n' % SYNC_ID,
    "our id and text as the request's": b'\xff{"return": %d, "id": "%d"}\n' % (SYNC_ID, SYNC_ID),
    "our id and a float as the request's": b'\xff{"return": %d, "id": %d.0}\n' % (SYNC_ID, SYNC_ID),
    "our id and null as the request's": b'\xff{"return": %d, "id": null}\n' % SYNC_ID,
    "an unknown command of another client": NOT_FOUND[:-2] + b', "id": 1}\n',
    "another client's refused id, repeated": IDS_REFUSED[:-2] + b', "id": 1}\n',
    "the refused argument of another client": IDS_REFUSED.replace(b"QMP input member", b"QMP parameter"),
    "a refused id as the error": b'{"error": "QMP input member \'id\' is unexpected"}\n',
    "a refused id in a list": b'{"error": {"desc": ["QMP input member \'id\' is unexpected"]}}\n',
    "our id given twice": b'\xff{"return": 1, "return": %d}\n' % SYNC_ID,
    "our id after a NUL": b'\xff\0{"return": %d}\n' % SYNC_ID,
    "true": b'\xff{"return": true}\n',
    "invalid UTF-8": b'\xff{"return": "\xc3\x28"}\n',
    "nesting without end": b"\xff" + b"[" * 500 + b"\n",
    "control characters": b"\x00\x01\x04\x1b\x7f\r\n\t",
}


@pytest.mark.parametrize("before", DISCARDED.values(), ids=DISCARDED)
def test_everything_before_the_sync_reply_is_discarded(before: bytes) -> None:
    events, session = receive_however_cut(syncing, before + RIGHT)
    assert events == [Synced(SYNC_ID, len(before), delimited=True, echoes_ids=True)]
    assert session.state is State.IDLE


@pytest.mark.parametrize("before", DISCARDED.values(), ids=DISCARDED)
def test_other_lines_do_not_end_the_sync(before: bytes) -> None:
    events, session = receive_however_cut(syncing, before)
    assert events == []
    assert session.state is State.SYNCING


def test_lines_too_long_for_a_sync_are_discarded() -> None:
    long = b'\xff{"return": %d, "and": "%s"}\n' % (SYNC_ID, b"A" * 5000)
    assert receive(syncing(), [long, RIGHT]) == [Synced(SYNC_ID, len(long), delimited=True, echoes_ids=True)]


def test_long_replies_are_accepted_again_after_the_sync() -> None:
    session = synced()
    send_request(session)
    session.receive_data(b'{"return": "%s", "id": 1}\n' % (b"A" * 100_000))
    assert session.next_event() is not None
    assert session.state is State.IDLE


@pytest.mark.parametrize(
    ("make", "received", "expected", "state"),
    [
        pytest.param(syncing, RIGHT[1:], Synced(SYNC_ID, 0, False, True), State.IDLE, id="the sentinel is lost"),
        pytest.param(syncing, WITHOUT_ID, Synced(SYNC_ID, 0, True, False), State.IDLE, id="ids are ignored"),
        pytest.param(syncing, NOT_FOUND, DelimitedSyncMissing(), State.SYNCING, id="unknown"),
        pytest.param(syncing, NOT_FOUND_WITH_ID, DelimitedSyncMissing(), State.SYNCING, id="unknown, with ids"),
        pytest.param(syncing, IDS_REFUSED, IdsRefused(), State.SYNCING, id="ids are refused"),
        pytest.param(
            syncing,
            IDS_REFUSED.replace(b"input member", b"input object member"),
            IdsRefused(),
            State.SYNCING,
            id="ids are refused, in older words",
        ),
        pytest.param(
            syncing,
            NOT_FOUND_WITH_ID.replace(b"has not been found", b"has not been found (QMP)"),
            DelimitedSyncMissing(),
            State.SYNCING,
            id="unknown, in other words",
        ),
        pytest.param(
            syncing,
            REFUSED_WITH_ID + RIGHT,
            Synced(SYNC_ID, len(REFUSED_WITH_ID), True, True),
            State.IDLE,
            id="a refusal that repeats the id",
        ),
        pytest.param(syncing_plainly, IDS_REFUSED, IdsRefused(), State.SYNCING, id="plain, ids are refused"),
        pytest.param(
            syncing_without_id, NOT_FOUND, DelimitedSyncMissing(), State.SYNCING, id="ids are refused, unknown"
        ),
        pytest.param(
            syncing_without_id,
            STRAY_FF + NEXT_WITHOUT_ID,
            Synced(SYNC_ID + 1, len(IDS_REFUSED + STRAY_FF), True, False),
            State.IDLE,
            id="without an id",
        ),
        pytest.param(
            syncing_without_id,
            IDS_REFUSED + WITHOUT_ID + NEXT + NEXT_WITHOUT_ID,
            Synced(SYNC_ID + 1, len(IDS_REFUSED + IDS_REFUSED + WITHOUT_ID + NEXT), True, False),
            State.IDLE,
            id="without an id, after another refusal and replies with ids that were not sent",
        ),
        pytest.param(
            syncing_without_id,
            RIGHT + NEXT_WITHOUT_ID,
            Synced(SYNC_ID + 1, len(IDS_REFUSED + RIGHT), True, True),
            State.IDLE,
            id="without an id, but the sync with an id is answered",
        ),
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
            Synced(SYNC_ID + 1, len(NOT_FOUND + STRAY_FF), delimited=False, echoes_ids=True),
            State.IDLE,
            id="plain",
        ),
        pytest.param(
            syncing_plainly,
            b'{"return": 5}\n{"return": %d}\n' % SYNC_ID + PLAIN_WITHOUT_ID,
            Synced(SYNC_ID + 1, len(NOT_FOUND) + 14 + 32, delimited=False, echoes_ids=False),
            State.IDLE,
            id="plain, after integers that other commands returned",
        ),
        pytest.param(
            syncing_plainly,
            NOT_FOUND + PLAIN,
            Synced(SYNC_ID + 1, len(NOT_FOUND + NOT_FOUND), False, True),
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
def test_sync_ends_with_other_events(
    make: MakeSession, received: bytes, expected: Event | Violation, state: State
) -> None:
    events, session = receive_however_cut(make, received)
    assert events == [expected]
    assert session.state is state


def test_end_of_the_channel_ends_the_sync() -> None:
    assert receive_however_cut(syncing, STRAY_FF, ended=True)[0] == [Closed(0)]
    events, session = receive_however_cut(syncing, STRAY_FF + b'\xff{"ret', ended=True)
    assert events == [Closed(6)]
    assert session.state is State.CLOSED
    with pytest.raises(StateError, match="cannot sync while closed"):
        session.sync()


def test_sync_is_the_sentinel_and_the_command() -> None:
    assert new_session().sync() == (
        b'\xff{"execute":"guest-sync-delimited","arguments":{"id":%d},"id":%d}\n' % (SYNC_ID, SYNC_ID)
    )


def test_sync_is_plain_after_delimited_sync_is_missing() -> None:
    session = syncing()
    receive(session, [NOT_FOUND])
    assert session.sync() == (
        b'\xff{"execute":"guest-sync","arguments":{"id":%d},"id":%d}\n' % (SYNC_ID + 1, SYNC_ID + 1)
    )


@pytest.mark.parametrize(("drawn", "sync_id"), [(0, 1), (2**63 - 2, 2**63 - 1)])
def test_sync_id_has_at_most_63_bits_and_is_not_zero(drawn: int, sync_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def randbelow(bound: int) -> int:
        assert bound == 2**63 - 1
        return drawn

    monkeypatch.setattr(secrets, "randbelow", randbelow)
    assert b'"id":%d}' % sync_id in Session().sync()


def test_every_sync_has_another_id() -> None:
    session = Session()
    assert len({session.sync() for dummy in range(100)}) == 100


@pytest.mark.parametrize("make", [new_session, syncing, synced, with_ids, without_ids])
def test_sync_starts_from_every_state_but_closed(make: MakeSession) -> None:
    session = make()
    session.sync()
    assert session.state is State.SYNCING


def test_sync_forgets_requests_and_counts_their_replies() -> None:
    session = with_ids()
    send_request(session)
    late = b'{"return": "late", "id": 2}\n'
    session.receive_data(late + b'{"return": "cut sh')
    session.sync()
    assert session.abandon() == []
    session.sync()
    received = late + STRAY_FF + b'\xff{"return": %d, "id": %d}\n' % (SYNC_ID + 2, SYNC_ID + 2)
    assert receive(session, [received]) == [Synced(SYNC_ID + 2, len(late + STRAY_FF), delimited=True, echoes_ids=True)]


def test_reply_to_the_previous_sync_is_discarded() -> None:
    session = syncing()
    session.abandon()
    session.sync()
    assert receive(session, [RIGHT]) == []
    assert receive(session, [NEXT]) == [Synced(SYNC_ID + 1, len(RIGHT), delimited=True, echoes_ids=True)]


def test_sync_counts_bytes_received_before_it() -> None:
    session = synced()
    session.receive_data(b"left over\nand cut")
    session.sync()
    assert receive(session, [NEXT]) == [Synced(SYNC_ID + 1, 17, delimited=True, echoes_ids=True)]


@pytest.mark.parametrize("extra", [0, 1])
def test_sync_stops_at_the_limit_of_discarded_bytes(extra: int) -> None:
    # All bytes count up to the end of the reply.
    limits = Limits(discard=len(STRAY_FF + RIGHT) + 100)
    events, session = receive_however_cut(lambda: syncing(limits), STRAY_FF + b"x" * (100 + extra) + RIGHT)
    if extra:
        assert events == [Violation(f"more than {limits.discard} bytes that answer none of our requests")]
        assert session.state is State.OUT_OF_SYNC
    else:
        assert events == [Synced(SYNC_ID, len(STRAY_FF) + 100, delimited=True, echoes_ids=True)]


@pytest.mark.parametrize("flood", [b"x", b"\n", b"\xff", b"x\n", b"x\xff", b'{"return": 1}\n'])
def test_sync_stops_in_a_flood(flood: bytes) -> None:
    limits = Limits(discard=100)
    events, session = receive_however_cut(lambda: syncing(limits), (flood * 101)[:101])
    assert events == [Violation("more than 100 bytes that answer none of our requests")]
    assert session.state is State.OUT_OF_SYNC
