# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sockets and the streams that they belong to, with back pressure in both directions.

A socket is read only while its stream has credit and little else waits to be sent. What a socket does not take yet is
kept, and counts against the window of its stream until it is taken. asyncio would do the same with more code around it:
on the controller, everything happens between two polls of a program, so that nothing may run by itself.

Both ends use this file: it runs on Python 3.8 and imports the standard library only.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.program.multiplexer import (
    ENDED,
    OPENED,
    RECEIVED,
    RESET,
    Event,
    Multiplexer,
)

# How much is read from a socket at a time, in bytes, so that all sockets get their share.
_READ_SIZE = 256 * 1024

# Sockets are read only while fewer bytes than this wait to be sent.
_MAX_BACKLOG = 1024 * 1024

# Close a socket at once, and reset its connection (SO_LINGER in socket(7)).
_LINGER = struct.pack("ii", 1, 0)


class Connection:
    """A stream, and the socket at this end of it.

    :param stream: the stream.
    """

    def __init__(self, stream: int) -> None:
        self.stream = stream
        #: None until there is one, see :meth:`Relay.attach`.
        self.socket: socket.socket | None = None
        self.unsent = bytearray()
        #: How many bytes have come from the socket, and how many it has taken.
        self.received = 0
        self.sent = 0
        self.remote_ended = False
        self.local_ended = False


class Relay:
    """The sockets of one session.

    :param multiplexer: the session's streams.
    :param opened: takes each stream that the other side opens.
    :param closed: takes each connection that is over.
    """

    def __init__(
        self,
        multiplexer: Multiplexer,
        opened: t.Callable[[Connection], None] = lambda connection: None,
        closed: t.Callable[[Connection], None] = lambda connection: None,
    ) -> None:
        self._multiplexer = multiplexer
        self._opened = opened
        self._closed = closed
        self._connections: dict[int, Connection] = {}
        self._selector = selectors.DefaultSelector()

    @property
    def connections(self) -> t.Collection[Connection]:
        """The connections that are not over."""
        return self._connections.values()

    def watch(self, file: t.Any, ready: t.Callable[[], None]) -> None:
        """Call a function whenever there is something to read."""
        self._selector.register(file, selectors.EVENT_READ, ready)

    def unwatch(self, file: t.Any) -> None:
        """End what :meth:`watch` began."""
        self._selector.unregister(file)

    def attach(self, stream: int, connected: socket.socket) -> Connection:
        """Give a stream its socket."""
        connected.setblocking(False)
        connection = self._connections.setdefault(stream, Connection(stream))
        connection.socket = connected
        self._send(connection)
        return connection

    def drop(self, connection: Connection) -> None:
        """Reset a connection on both sides."""
        self._multiplexer.reset(connection.stream)
        self._close(connection, abort=True)

    def forget(self, connection: Connection) -> None:
        """Forget a connection that has no socket, and whose stream has ended in both directions."""
        self._close(connection)

    def handle(self, event: Event) -> None:
        """Do what an event of the multiplexer means for the sockets."""
        if event.kind == OPENED:
            connection = self._connections[event.stream] = Connection(event.stream)
            self._opened(connection)
            return
        found = self._connections.get(event.stream)
        if found is None:
            return
        if event.kind == RECEIVED:
            found.unsent += event.data
            self._send(found)
        elif event.kind == ENDED:
            found.remote_ended = True
            self._send(found)
        elif event.kind == RESET:
            self._close(found, abort=True)

    def run(self, seconds: float) -> bool:
        """Wait until a socket is ready, or some seconds, and return whether any was."""
        self._update()
        ready = self._selector.select(seconds)
        for key, events in ready:
            if not isinstance(key.data, Connection):
                key.data()
                continue
            if events & selectors.EVENT_WRITE:
                self._send(key.data)
            if events & selectors.EVENT_READ and key.data.stream in self._connections:
                self._receive(key.data)
        return bool(ready)

    def close(self) -> None:
        """Reset all connections."""
        for connection in list(self._connections.values()):
            self.drop(connection)
        self._selector.close()

    def _update(self) -> None:
        """Watch each socket for what can be done with it now."""
        has_room = self._multiplexer.backlog < _MAX_BACKLOG
        watched = self._selector.get_map()
        for connection in self._connections.values():
            if connection.socket is None:
                continue
            can_send = has_room and not connection.local_ended and self._multiplexer.credit(connection.stream) > 0
            events = (selectors.EVENT_READ if can_send else 0) | (selectors.EVENT_WRITE if connection.unsent else 0)
            is_watched = connection.socket in watched
            if not events:
                if is_watched:
                    self._selector.unregister(connection.socket)
            elif not is_watched:
                self._selector.register(connection.socket, events, connection)
            elif watched[connection.socket].events != events:
                self._selector.modify(connection.socket, events, connection)

    def _receive(self, connection: Connection) -> None:
        """Send what a socket has on its stream."""
        size = min(_READ_SIZE, self._multiplexer.credit(connection.stream))
        if connection.socket is None or not size:
            return
        try:
            data = connection.socket.recv(size)
        except BlockingIOError:
            return
        except OSError:
            self.drop(connection)
            return
        connection.received += len(data)
        if data:
            self._multiplexer.send(connection.stream, data)
        else:
            connection.local_ended = True
            self._multiplexer.end(connection.stream)
            self._close_ended(connection)

    def _send(self, connection: Connection) -> None:
        """Give a socket what its stream has for it, as far as it takes that now."""
        if connection.socket is None:
            return
        try:
            while connection.unsent:
                size = connection.socket.send(connection.unsent)
                del connection.unsent[:size]
                connection.sent += size
                self._multiplexer.consumed(connection.stream, size)
            if connection.remote_ended:
                connection.socket.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return
        except OSError:
            self.drop(connection)
            return
        self._close_ended(connection)

    def _close_ended(self, connection: Connection) -> None:
        if connection.local_ended and connection.remote_ended and not connection.unsent:
            self._close(connection)

    def _close(self, connection: Connection, *, abort: bool = False) -> None:
        if self._connections.pop(connection.stream, None) is None:
            return
        if connection.socket is not None:
            if connection.socket in self._selector.get_map():
                self._selector.unregister(connection.socket)
            if abort:
                with contextlib.suppress(OSError):
                    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
            connection.socket.close()
        # Something may still know the connection, for example what connects it.
        connection.unsent.clear()
        self._closed(connection)
