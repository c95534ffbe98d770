# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Remote forwards: the streams of a hostile guest, and the requests of its programs to the proxy."""

from __future__ import annotations

import typing as t

import h11

from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.allow_list import AllowList
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.http_proxy import (
    BadRequest,
    HttpProxy,
    ProxyRequest,
)
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program.frames import (
    HEADER_SIZE,
    MAX_DATA,
    Violation,
)
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program.multiplexer import (
    ENDED,
    MAX_STREAMS,
    OPENED,
    RECEIVED,
    RESET,
    Event,
    Multiplexer,
)

from .pieces import cut, split_input


def streams(data: bytes) -> None:
    """Receive frames: the events do not depend on how they are cut, and follow the life of a stream."""
    (sizes,), received = split_input(data, 1)
    whole = _events(Multiplexer(is_client=True), [received])
    assert _events(Multiplexer(is_client=True), cut(received, sizes)) == whole


def _events(end: Multiplexer, pieces: t.Iterable[bytes]) -> list[Event]:
    """Return the events of an end that takes all data at once. The last one has no kind if a rule was broken."""
    events: list[Event] = []
    ended: dict[int, bool] = {}
    try:
        for piece in pieces:
            for event in end.receive_data(piece):
                events.append(event)
                if event.kind == OPENED:
                    assert event.stream not in ended and event.stream % 2 == 0
                    ended[event.stream] = False
                elif event.kind in (RECEIVED, ENDED, RESET):
                    assert event.kind == RESET or not ended[event.stream]
                    ended[event.stream] = ended[event.stream] or event.kind != RECEIVED
                end.consumed(event.stream, len(event.data))
            # pylint: disable=protected-access
            assert len(end._decoder._unread) <= HEADER_SIZE + MAX_DATA
            assert len(end.streams) <= MAX_STREAMS
    except Violation:
        events.append(Event(""))
    return events


def proxy_request(data: bytes) -> None:
    """Read a request: its destination does not depend on how it is cut, and gets one request for itself."""
    (sizes,), received = split_input(data, 1)
    whole = _read([received] if received else [])
    assert _read(cut(received, sizes)) == whole
    if isinstance(whole, tuple):
        shown, is_tunnel, head = whole
        assert shown.isascii() and shown.isprintable()
        if not is_tunnel:
            _check_head(head, shown.partition(" to ")[2])


def _read(pieces: t.Iterable[bytes]) -> tuple[str, bool, bytes] | str | None:
    """Return the destination of a request and what it gets, or the refusal, or None if the request is not complete."""
    request = HttpProxy(3128, AllowList(["a.test:80"])).route()
    assert isinstance(request, ProxyRequest)
    rest = b""
    for piece in pieces:
        if request.is_known:
            rest += piece
            continue
        try:
            rest += piece[request.receive(piece) :]
        except BadRequest as exc:
            assert request.refusal(exc).startswith(b"HTTP/1.1 4") or exc.status == 501
            return "refused"
    # pylint: disable-next=protected-access
    return (str(request), bool(request.greeting), request._head + rest) if request.is_known else None


def _check_head(head: bytes, destination: str) -> None:
    """Check that a destination gets a request that names only itself, and closes the connection."""
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(head)
    request = reader.next_event()
    assert isinstance(request, h11.Request) and request.target.startswith((b"/", b"?"))
    headers = [(name, value.decode("latin-1")) for name, value in request.headers]
    assert [value for name, value in headers if name == b"host"] == [destination.removesuffix(":80")]
    assert [value for name, value in headers if name == b"connection"] == ["close"]
    assert not any(name.startswith(b"proxy-") for name, dummy in headers)
