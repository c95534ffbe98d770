# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way of the guest's streams to their destinations: a stream begins with the port that the guest accepted it on."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program.multiplexer import Multiplexer
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program.relay import Connection, Relay
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.routes import (
    Listener,
    Route,
    connected_socket,
)
from ansible_collections.netless.qga.plugins.module_utils._local.background_call import BackgroundCall
from ansible_collections.netless.qga.plugins.module_utils.errors import excerpt

if t.TYPE_CHECKING:
    import socket

# How many destinations are connected to at a time. The other streams wait.
_MAX_CONNECTING = 32

# How many bytes name the port.
_PORT_SIZE = 2


@dataclass
class _Use:
    """A connection and its way, for the log."""

    route: Route
    started: float
    failure: str = ""


class Dialer:
    """The connections of one session, from the guest's streams to their destinations.

    :param multiplexer: the session's streams.
    :param listeners: the ports and where they lead.
    :param log: takes lines that have no contents.
    """

    def __init__(self, multiplexer: Multiplexer, listeners: t.Iterable[Listener], log: t.Callable[[str], None]) -> None:
        self._multiplexer = multiplexer
        self._listeners = {listener.port: listener for listener in listeners}
        self._log = log
        # Streams that have not named their port, whose destination is not known, that wait to be connected, that are
        # being connected, and that had to be refused.
        self._new: dict[int, Connection] = {}
        self._asking: dict[int, tuple[Connection, Route]] = {}
        self._waiting: dict[int, tuple[Connection, Route]] = {}
        self._connecting: list[tuple[Connection, Route, BackgroundCall[socket.socket]]] = []
        self._refused: dict[int, Connection] = {}
        self._uses: dict[int, _Use] = {}
        #: The sockets to the destinations.
        self.relay = Relay(multiplexer, self._opened, self._closed)

    @property
    def is_connecting(self) -> bool:
        """Whether any stream waits for its destination."""
        return bool(self._connecting or self._waiting)

    def connect(self) -> bool:
        """Connect new streams to their destinations, and return whether any has become connected, or cannot be."""
        for connection in list(self._new.values()):
            if len(connection.unsent) >= _PORT_SIZE:
                self._find_listener(connection)
        for connection, route in list(self._asking.values()):
            self._find_destination(connection, route)
        while self._waiting and len(self._connecting) < _MAX_CONNECTING:
            connection, route = self._waiting.pop(next(iter(self._waiting)))
            self._connecting.append((connection, route, route.connect()))
        finished = [entry for entry in self._connecting if entry[2].finished]
        for entry in finished:
            self._connecting.remove(entry)
            self._attach(*entry)
        for connection in list(self._refused.values()):
            self._take(connection)
            if connection.remote_ended:
                self.relay.forget(connection)
        return bool(finished)

    def _opened(self, connection: Connection) -> None:
        self._new[connection.stream] = connection

    def _take(self, connection: Connection, size: int | None = None) -> bytes:
        """Return the first bytes that a stream has received, or all."""
        data = bytes(connection.unsent[:size])
        del connection.unsent[:size]
        self._multiplexer.consumed(connection.stream, len(data))
        return data

    def _find_listener(self, connection: Connection) -> None:
        del self._new[connection.stream]
        port = int.from_bytes(self._take(connection, _PORT_SIZE), "big")
        listener = self._listeners.get(port)
        if listener is None:
            self._log(f"FORWARD refused: the guest asks for port {port}, which is not one of the forwards")
            self.relay.drop(connection)
            return
        route = listener.route()
        self._uses[connection.stream] = _Use(route, time.monotonic())
        self._asking[connection.stream] = (connection, route)

    def _find_destination(self, connection: Connection, route: Route) -> None:
        """Have a stream wait to be connected if it is known where it leads."""
        try:
            if not route.is_known and connection.unsent:
                connection.sent += len(self._take(connection, route.receive(bytes(connection.unsent))))
        except OSError as exc:
            del self._asking[connection.stream]
            self._refuse(connection, route, exc)
            return
        if route.is_known:
            self._waiting[connection.stream] = self._asking.pop(connection.stream)
        elif connection.remote_ended:
            self.relay.drop(connection)

    def _attach(self, connection: Connection, route: Route, call: BackgroundCall[socket.socket]) -> None:
        try:
            connected = connected_socket(call)
        except OSError as exc:
            self._refuse(connection, route, exc)
            return
        if connection.stream not in self._uses:
            # The guest has reset the stream.
            connected.close()
            return
        if route.greeting:
            self._multiplexer.send(connection.stream, route.greeting)
        self.relay.attach(connection.stream, connected)

    def _refuse(self, connection: Connection, route: Route, error: OSError) -> None:
        """Answer a stream that cannot be connected, or reset it."""
        use = self._uses.get(connection.stream)
        if use is None:
            return
        use.failure = excerpt(error.strerror or str(error) or type(error).__name__)
        answer = route.refusal(error)
        if not answer:
            self.relay.drop(connection)
            return
        self._multiplexer.send(connection.stream, answer)
        self._multiplexer.end(connection.stream)
        self._refused[connection.stream] = connection

    def _closed(self, connection: Connection) -> None:
        for streams in (self._new, self._asking, self._waiting, self._refused):
            streams.pop(connection.stream, None)
        use = self._uses.pop(connection.stream, None)
        if use is None:
            return
        if use.failure:
            self._log(f"FORWARD {use.route}: not connected: {use.failure}")
        else:
            self._log(
                f"FORWARD {use.route}: {connection.sent} bytes from the guest, {connection.received} bytes to it, "
                f"{time.monotonic() - use.started:.3f} s"
            )
