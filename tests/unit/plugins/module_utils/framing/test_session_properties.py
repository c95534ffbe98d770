# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""For any bytes, the events do not depend on the pieces, and only our own reply ends a sync."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.netless.qga.plugins.module_utils.framing.events import Answer, ErrorReply, Synced
from ansible_collections.netless.qga.plugins.module_utils.framing.limits import Limits
from ansible_collections.netless.qga.plugins.module_utils.framing.state import State
from ansible_collections.netless.qga.tests.unit.plugins.module_utils.framing.sessions import (
    IDS_REFUSED,
    MAKES,
    NOT_FOUND,
    STRAY_FF,
    SYNC_ID,
    MakeSession,
    Violation,
    receive,
    synced,
    synced_without_ids,
    syncing,
    syncing_plainly,
    syncing_without_id,
    waiting,
    with_ids,
)

LIMITS = Limits(line=100, discard=300, depth=3, values=20, digits=20)

RIGHT = b'\xff{"return": %d, "id": %d}\n' % (SYNC_ID, SYNC_ID)

#: Streams that are likely to reach many states: what agents send, whole or cut, and noise.
FRAGMENTS = st.sampled_from(
    [
        RIGHT,
        b'\xff{"return": %d}\n' % SYNC_ID,
        b'\xff{"return": %d}\n' % (SYNC_ID + 1),
        b'{"return": %d}\n' % (SYNC_ID + 1),
        NOT_FOUND,
        IDS_REFUSED,
        STRAY_FF,
        b'{"return": 1, "id": 1}\n',
        b'{"return": 2, "id": 2}\n',
        b'{"return": 3, "id": 3}\n',
        b'{"return": {}}\n',
        b'{"error": {}, "id": 2}\n',
        b'{"event": "X"}\n',
        b"\xff",
        b"\n",
        b"x" * 99,
        b"[[[[",
        b'{"return": "',
    ]
)
STREAMS = st.lists(st.one_of(FRAGMENTS, FRAGMENTS.map(lambda line: line[: len(line) // 2]), st.binary(max_size=20)))


@st.composite
def pieces_of(draw: st.DrawFn) -> list[bytes]:
    """Draw a stream in pieces."""
    stream = b"".join(draw(STREAMS))
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)])]


@pytest.mark.parametrize("make", MAKES)
@given(pieces=pieces_of())
def test_events_do_not_depend_on_the_pieces(make: MakeSession, pieces: list[bytes]) -> None:
    whole, cut = make(LIMITS), make(LIMITS)
    assert receive(cut, pieces, ended=True) == receive(whole, [b"".join(pieces)], ended=True)
    assert cut.state is whole.state


# receive() catches ProtocolViolation and nothing else.
@pytest.mark.parametrize("make", MAKES)
@given(pieces=st.lists(st.binary(max_size=80)))
def test_any_bytes_are_events_or_a_violation(make: MakeSession, pieces: list[bytes]) -> None:
    session = make()
    events = receive(session, pieces, ended=True)
    violated = any(isinstance(event, Violation) for event in events)
    assert session.state is (State.OUT_OF_SYNC if violated else State.CLOSED)


@pytest.mark.parametrize("make", [waiting(synced_without_ids), waiting(synced), waiting(with_ids)])
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    ),
    noise=st.binary(max_size=8),
)
def test_any_object_is_an_event_or_a_violation(make: MakeSession, value: t.Any, noise: bytes) -> None:
    import json

    for text in (json.dumps({"return": value}), json.dumps({"error": value, "id": 2}), json.dumps(value)):
        data = text.encode()
        middle = len(data) // 2
        receive(make(), [data[:middle] + noise + data[middle:] + b"\n"])


@given(garbage=st.one_of(st.binary(max_size=200), STREAMS.map(b"".join)))
@example(garbage=b'\xff{"return": 1}\n\xff{"return": %d')
def test_any_garbage_before_the_sentinel_is_discarded(garbage: bytes) -> None:
    # The id is random and cannot be in it by chance. The other two words end a sync in another way.
    garbage = garbage.replace(b"%d" % SYNC_ID, b"").replace(b"guest-sync-delimited", b"").replace(b"QMP", b"")
    events = receive(syncing(), [garbage, RIGHT])
    assert events == [Synced(SYNC_ID, len(garbage), delimited=True, echoes_ids=True)]


@pytest.mark.parametrize("make", [syncing, syncing_plainly, syncing_without_id])
@given(
    garbage=st.lists(
        st.one_of(st.binary(max_size=60), st.integers().map(lambda number: b'\xff{"return": %d}\n' % number))
    )
)
def test_no_garbage_ends_a_sync(make: MakeSession, garbage: list[bytes]) -> None:
    session = make()
    assert not [event for event in receive(session, garbage) if isinstance(event, Synced)]


@given(stream=STREAMS, number=st.integers(3))
def test_only_its_own_number_answers_a_request(stream: list[bytes], number: int) -> None:
    session = waiting(with_ids)()
    data = b"".join(stream).replace(b'"id": 2', b'"id": %d' % number)
    assert not [event for event in receive(session, [data]) if isinstance(event, (Answer, ErrorReply))]
