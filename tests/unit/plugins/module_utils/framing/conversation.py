# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Framings in every state, with ids that are known beforehand, and what they make of bytes however these are cut."""

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

#: What qemu-ga says to the 0xFF that begins a sync.
STRAY_FF = b"""{"error": {"class": "GenericError", "desc": "JSON parse error, stray '\\uFFFD'"}}\n"""

NOT_FOUND = b'{"error": {"class": "CommandNotFound", "desc": "The command guest-sync-delimited has not been found"}}\n'
IDS_REFUSED = b'{"error": {"class": "GenericError", "desc": "QMP input member \'id\' is unexpected"}}\n'


USUAL = Limits()


@dataclass(frozen=True)
class Violation:
    """A ProtocolViolation, among events.

    :param text: its message.
    """

    text: str


Heard = t.Union[Event, Violation]
Make = t.Callable[..., Session]
"""Makes a framing in a certain state; takes Limits, or nothing."""


def new_framing(limits: Limits = USUAL) -> Session:
    """One that was never synced. The number of its first request is 1."""
    ids = itertools.chain([0], itertools.count(SYNC_ID))
    return Session(limits=limits, random_id=lambda: next(ids))


def syncing(limits: Limits = USUAL) -> Session:
    """One that has sent its first sync."""
    framing = new_framing(limits)
    framing.sync()
    return framing


def syncing_plainly(limits: Limits = USUAL) -> Session:
    """One that has met an agent without guest-sync-delimited. The id of its sync is :data:`SYNC_ID` + 1."""
    framing = syncing(limits)
    hear(framing, [NOT_FOUND])
    framing.sync()
    return framing


def synced(limits: Limits = USUAL) -> Session:
    """One that has just been synced and does not know whether ids come back."""
    framing = syncing(limits)
    (event,) = hear(framing, [b'\xff{"return": %d}\n' % SYNC_ID])
    assert isinstance(event, Synced)
    return framing


def with_ids(limits: Limits = USUAL) -> Session:
    """One that is idle, and whose agent repeats ids. The number of its next request is 2."""
    framing = synced(limits)
    ask(framing)
    assert hear(framing, [b'{"return": {}, "id": 1}\n']) == [Answer(1, {})]
    return framing


def without_ids(limits: Limits = USUAL) -> Session:
    """One that is idle, and whose agent ignores ids. The number of its next request is 2."""
    framing = synced(limits)
    ask(framing)
    assert hear(framing, [b'{"return": {}}\n']) == [Answer(1, {})]
    return framing


def with_ids_refused(limits: Limits = USUAL) -> Session:
    """One that is idle, and whose agent refuses ids. The number of its next request is 2."""
    framing = synced(limits)
    ask(framing)
    assert hear(framing, [IDS_REFUSED]) == [IdsRefused(1)]
    return framing


def waiting(make: Make) -> Make:
    """The same with one more request under way."""

    def made(limits: Limits = USUAL) -> Session:
        framing = make(limits)
        ask(framing)
        return framing

    return made


def ask(framing: Session, command: str = "guest-ping", **arguments: t.Any) -> Request:
    """Send one request."""
    request = framing.prepare(command, arguments)
    framing.send(request)
    return request


def hear(framing: Session, pieces: t.Iterable[bytes], *, ended: bool = False) -> list[Heard]:
    """What happens when the pieces, and perhaps the end, are received one after the other, up to a violation."""
    heard: list[Heard] = []
    try:
        for piece in pieces:
            framing.receive_data(piece)
            heard += _events(framing)
        if ended:
            framing.receive_eof()
            heard += _events(framing)
    except ProtocolViolation as exc:
        heard.append(Violation(str(exc)))
    return heard


def _events(framing: Session) -> t.Iterator[Event]:
    while True:
        event = framing.next_event()
        if event is None:
            return
        yield event


def cuttings(data: bytes) -> t.Iterator[list[bytes]]:
    """The data whole, one byte at a time, and cut in two at every position."""
    yield [data]
    yield [data[index : index + 1] for index in range(len(data))]
    for index in range(1, len(data)):
        yield [data[:index], data[index:]]


def heard_however_cut(make: Make, data: bytes, *, ended: bool = False) -> tuple[list[Heard], Session]:
    """What a framing makes of the data, and the framing, after a check that every cutting gives the same."""
    framing = make()
    expected = hear(framing, [data], ended=ended)
    for pieces in cuttings(data):
        other = make()
        assert hear(other, pieces, ended=ended) == expected, f"cut into {pieces}"
        assert other.state is framing.state, f"cut into {pieces}"
    return expected, framing
