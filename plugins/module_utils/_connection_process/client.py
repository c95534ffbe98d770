# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A task that is connected to the connection process, as the process sees it."""

from __future__ import annotations

import socket

from ansible_collections.netless.qga.plugins.module_utils._connection_process.messages import (
    READ_SIZE,
    Message,
    MessageDecoder,
    encode,
)


class Client:
    """A task, which sends one request at a time. Nothing here waits for it.

    :param connection: the connected socket.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        #: The request that the task waits for, None if there is none.
        self.request: Message | None = None
        #: Whether it has not used the agent yet.
        self.is_new = True
        self._decoder = MessageDecoder()
        self._unsent = bytearray()

    @property
    def has_unsent(self) -> bool:
        """Whether the task has to read before the rest of an answer can be sent."""
        return bool(self._unsent)

    def make_progress(self) -> bool:
        """Send and receive what is possible without waiting.

        :returns: whether the task is still there.
        """
        try:
            self._send_unsent()
            data = self.socket.recv(READ_SIZE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._decoder.receive_data(data)
        self.request = self.request or self._decoder.next_message()
        return bool(data)

    def send(self, message: Message) -> bool:
        """Send a message, now or later.

        :returns: whether the task is still there.
        """
        self._unsent += encode(message)
        try:
            self._send_unsent()
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def _send_unsent(self) -> None:
        while self._unsent:
            del self._unsent[: self.socket.send(self._unsent)]
