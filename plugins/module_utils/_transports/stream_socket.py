# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stream sockets: the transport over a connected one of any family, and how network families connect."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._transports import descriptor
from ansible_collections.netless.qga.plugins.module_utils.errors import ChannelClosed, Unreachable, UnreachableReason

# More than a socket holds. A limit, because a guest may never stop sending.
_MAX_DRAIN_READS = 64
_DRAIN_SIZE = 64 * 1024


class StreamSocket:
    """A connected stream socket.

    :param endpoint: the endpoint as the user wrote it, for messages.
    :param channel: the socket, which does not block.
    :param no_reply_error: returns the error to raise when the socket is connected and no agent answers on it.
    """

    def __init__(self, endpoint: str, channel: socket.socket, no_reply_error: t.Callable[[], Unreachable]) -> None:
        self._endpoint = endpoint
        self._socket = channel
        self._no_reply_error = no_reply_error

    def send(self, data: bytes, deadline: Deadline) -> None:
        descriptor.send(self._socket.fileno(), data, deadline)

    def receive(self, deadline: Deadline) -> bytes:
        return descriptor.receive(self._socket.fileno(), deadline)

    def no_reply_error(self) -> Unreachable:
        return self._no_reply_error()

    def closed_error(self) -> Unreachable:
        return ChannelClosed(
            f"{self._endpoint}: the other side closed the socket. Did the VM or its agent stop?",
            reason=UnreachableReason.CLOSED,
        )

    def close(self) -> None:
        # Shut down explicitly: a process forked meanwhile has the socket too, and the agent would go on serving it.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
            # An agent that listens itself ends for good when its client leaves data unread.
            for dummy in range(_MAX_DRAIN_READS):
                if not self._socket.recv(_DRAIN_SIZE):
                    break
        self._socket.close()


def connect(family: int, address: t.Any, deadline: Deadline) -> socket.socket:
    """Return a connected non-blocking socket.

    :param address: in the form that the family uses.
    :raises TimeoutError: there was no answer before the deadline.
    :raises OSError: the connection is refused, or the machine has no such family.
    """
    channel = socket.socket(family, socket.SOCK_STREAM)
    try:
        channel.setblocking(False)
        number = channel.connect_ex(address)
        if number == errno.EINPROGRESS:
            descriptor.wait_writable(channel.fileno(), deadline)
            number = channel.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))
    except BaseException:
        channel.close()
        raise
    return channel
