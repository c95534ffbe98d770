# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sessions in every state, with predictable ids, and functions that feed them bytes cut in every way."""

from __future__ import annotations

import itertools
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils.errors import ProtocolViolation
from ansible_collections.netless.qga.plugins.module_utils.framing.events import (
    Answer,
    Event,
    IdsRefused,
    Request,
    Synced,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.limits import Limits
from ansible_collections.netless.qga.plugins.module_utils.framing.session import Session

#: The id of the first sync; the next has the next integer.
SYNC_ID = 0x1122334455667788

#: What qemu-ga answers to the 0xFF that starts a sync.
STRAY_FF = b"""{"error": {"class": "GenericError", "desc": "JSON parse error, stray '\\uFFFD'"}}\n"""

NOT_FOUND = b'{"error": {"class": "CommandNotFound", "desc": "The command guest-sync-delimited has not been found"}}\n'
IDS_REFUSED = b'{"error": {"class": "GenericError", "desc": "QMP input member \'id\' is unexpected"}}\n'


USUAL = Limits()


@dataclass(frozen=True)
class Violation:
    """A ProtocolViolation in a list of events.

    :param text: its message.
    """

    text: str


Received = t.Union[Event, Violation]
MakeSession = t.Callable[..., Session]
"""A function that makes a session in a certain state; it takes Limits, or nothing."""


def new_session(limits: Limits = USUAL) -> Session:
    """Return a session that was never synced. The number of its first request is 1."""
    ids = itertools.chain([0], itertools.count(SYNC_ID))
    return Session(limits=limits, random_id=lambda: next(ids))


def syncing(limits: Limits = USUAL) -> Session:
    """Return a session that has sent its first sync."""
    session = new_session(limits)
    session.sync()
    return session


def syncing_plainly(limits: Limits = USUAL) -> Session:
    """Return a session whose agent lacks guest-sync-delimited. The id of its sync is :data:`SYNC_ID` + 1."""
    session = syncing(limits)
    receive(session, [NOT_FOUND])
    session.sync()
    return session


def syncing_without_id(limits: Limits = USUAL) -> Session:
    """Return a session whose agent refuses ids. The id of its sync is :data:`SYNC_ID` + 1."""
    session = syncing(limits)
    assert receive(session, [IDS_REFUSED]) == [IdsRefused()]
    session.sync()
    return session


def synced(limits: Limits = USUAL) -> Session:
    """Return a session that has just been synced with an agent that repeats ids."""
    session = syncing(limits)
    (event,) = receive(session, [b'\xff{"return": %d, "id": %d}\n' % (SYNC_ID, SYNC_ID)])
    assert isinstance(event, Synced) and event.echoes_ids
    return session


def synced_without_ids(limits: Limits = USUAL) -> Session:
    """Return a session that has just been synced with an agent that ignores ids."""
    session = syncing(limits)
    (event,) = receive(session, [b'\xff{"return": %d}\n' % SYNC_ID])
    assert isinstance(event, Synced) and not event.echoes_ids
    return session


def with_ids(limits: Limits = USUAL) -> Session:
    """Return an idle session whose agent repeats ids. The number of its next request is 2."""
    session = synced(limits)
    send_request(session)
    assert receive(session, [b'{"return": {}, "id": 1}\n']) == [Answer(1, {})]
    return session


def without_ids(limits: Limits = USUAL) -> Session:
    """Return an idle session whose agent ignores ids. The number of its next request is 2."""
    session = synced_without_ids(limits)
    send_request(session)
    assert receive(session, [b'{"return": {}}\n']) == [Answer(1, {})]
    return session


def with_ids_refused(limits: Limits = USUAL) -> Session:
    """Return an idle session whose agent refuses ids. The number of its next request is 2."""
    session = syncing_without_id(limits)
    (event,) = receive(session, [b'\xff{"return": %d}\n' % (SYNC_ID + 1)])
    assert isinstance(event, Synced) and not event.echoes_ids
    send_request(session)
    assert receive(session, [b'{"return": {}}\n']) == [Answer(1, {})]
    return session


def waiting(make: MakeSession) -> MakeSession:
    """Return a function that makes the same session with one more unanswered request."""

    def made(limits: Limits = USUAL) -> Session:
        session = make(limits)
        send_request(session)
        return session

    return made


#: Functions for sessions in every state in which what is received matters.
MAKES: list[MakeSession] = [
    syncing,
    syncing_plainly,
    syncing_without_id,
    synced,
    waiting(synced),
    waiting(synced_without_ids),
    with_ids,
    waiting(with_ids),
    waiting(waiting(with_ids)),
    waiting(without_ids),
    waiting(with_ids_refused),
]


def send_request(session: Session, command: str = "guest-ping", **arguments: t.Any) -> Request:
    """Send one request."""
    request = session.prepare(command, arguments)
    session.send(request)
    return request


def receive(session: Session, pieces: t.Iterable[bytes], *, ended: bool = False) -> list[Received]:
    """Return the events of pieces that are received one after the other, up to a violation.

    :param ended: whether the channel ends after them.
    """
    events: list[Received] = []
    try:
        for piece in pieces:
            session.receive_data(piece)
            events += _events(session)
        if ended:
            session.receive_eof()
            events += _events(session)
    except ProtocolViolation as exc:
        events.append(Violation(str(exc)))
    return events


def _events(session: Session) -> t.Iterator[Event]:
    while True:
        event = session.next_event()
        if event is None:
            return
        yield event


def ways_to_cut(data: bytes) -> t.Iterator[list[bytes]]:
    """Yield the data whole, one byte at a time, and cut in two at every position."""
    yield [data]
    yield [data[index : index + 1] for index in range(len(data))]
    for index in range(1, len(data)):
        yield [data[:index], data[index:]]


def receive_however_cut(make: MakeSession, data: bytes, *, ended: bool = False) -> tuple[list[Received], Session]:
    """Check that the events do not depend on how the data is cut, and return them and the session."""
    session = make()
    expected = receive(session, [data], ended=ended)
    for pieces in ways_to_cut(data):
        other = make()
        assert receive(other, pieces, ended=ended) == expected, f"cut into {pieces}"
        assert other.state is session.state, f"cut into {pieces}"
    return expected, session
