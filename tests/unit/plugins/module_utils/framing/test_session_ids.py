# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What syncs show about ids, and how long a session remembers it."""

from __future__ import annotations

import pytest

from ansible_collections.netless.qga.plugins.module_utils.framing.events import IdsRefused, Synced
from ansible_collections.netless.qga.tests.unit.plugins.module_utils.framing.sessions import (
    IDS_REFUSED,
    NOT_FOUND,
    SYNC_ID,
    receive,
    send_request,
    syncing,
    with_ids_refused,
)

RIGHT = b'\xff{"return": %d, "id": %d}\n' % (SYNC_ID, SYNC_ID)
NEXT_WITHOUT_ID = b'\xff{"return": %d}\n' % (SYNC_ID + 1)


def test_sync_has_no_id_after_ids_are_refused() -> None:
    session = syncing()
    receive(session, [IDS_REFUSED])
    assert session.sync() == b'\xff{"execute":"guest-sync-delimited","arguments":{"id":%d}}\n' % (SYNC_ID + 1)


@pytest.mark.parametrize("refusals", [[IDS_REFUSED, NOT_FOUND], [NOT_FOUND, IDS_REFUSED]])
def test_sync_is_plain_and_has_no_id_after_both_are_refused(refusals: list[bytes]) -> None:
    session = syncing()
    for refusal in refusals:
        assert len(receive(session, [refusal])) == 1
        sync = session.sync()
    assert sync == b'\xff{"execute":"guest-sync","arguments":{"id":%d}}\n' % (SYNC_ID + 2)
    # The same refusals of other clients mean nothing now.
    assert receive(session, refusals) == []
    (event,) = receive(session, [b'{"return": %d}\n' % (SYNC_ID + 2)])
    assert event == Synced(SYNC_ID + 2, 2 * sum(map(len, refusals)), delimited=False, echoes_ids=False)


def test_sync_learns_again_whether_ids_come_back() -> None:
    # The agent may have been replaced by a newer or an older one in the meantime.
    session = with_ids_refused()
    assert b'"id"' not in send_request(session).data
    session.abandon()
    session.sync()
    (event,) = receive(session, [b'\xff{"return": %d, "id": %d}\n' % (SYNC_ID + 2, SYNC_ID + 2)])
    assert isinstance(event, Synced) and event.echoes_ids
    assert b'"id"' in send_request(session).data
    session.sync()
    assert receive(session, [IDS_REFUSED]) == [IdsRefused()]
    session.sync()
    assert receive(session, [b'\xff{"return": %d}\n' % (SYNC_ID + 4)])
    assert b'"id"' not in send_request(session).data


def test_refused_ids_are_remembered_until_the_session_is_abandoned() -> None:
    session = with_ids_refused()
    assert b',"id":' not in session.sync()
    assert b',"id":' not in session.sync()
    session.abandon()
    assert b',"id":' in session.sync()


@pytest.mark.parametrize("together", [False, True])
def test_refusal_for_another_client_does_not_hide_that_ids_come_back(together: bool) -> None:
    session = syncing()
    session.receive_data(IDS_REFUSED + RIGHT * together)
    assert session.next_event() == IdsRefused()
    assert b',"id":' not in session.sync()
    assert receive(session, [RIGHT * (not together) + NEXT_WITHOUT_ID]) == [
        Synced(SYNC_ID + 1, len(IDS_REFUSED + RIGHT), delimited=True, echoes_ids=True)
    ]
    assert b'"id"' in send_request(session).data
    # The next sync carries an id again.
    assert b',"id":' in session.sync()
