# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a port of the guest leads to: the same place for all streams, or what each stream asks a proxy for."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._local.background_call import BackgroundCall

if t.TYPE_CHECKING:
    import socket


class Route(t.Protocol):
    """The way of one stream to its destination. Its text has both ends, for messages."""

    @property
    def is_known(self) -> bool:
        """Whether it is known where the stream leads, so that :meth:`connect` can be called."""

    @property
    def greeting(self) -> bytes:
        """What the guest gets first when the connection is there."""

    def receive(self, data: bytes) -> int:
        """Read what the stream begins with, as long as it is not known where it leads.

        :returns: how many bytes are not for the destination.
        :raises OSError: it leads nowhere.
        """

    def connect(self) -> BackgroundCall[socket.socket]:
        """Begin to resolve the name and to connect, which can take long, in a thread of its own."""

    def refusal(self, error: OSError) -> bytes:
        """Return what the guest gets instead of a connection; nothing resets the stream."""


class Listener(t.Protocol):
    """A port of the guest that the guest's end listens on. Its text has both ends, for messages."""

    @property
    def port(self) -> int:
        """The port on the guest's loopback interface."""

    def route(self) -> Route:
        """Return the way of a new stream."""


def authority(host: str, port: int) -> str:
    """Return a host and a port as URLs have them, with brackets around IPv6 addresses."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def connected_socket(call: BackgroundCall[socket.socket]) -> socket.socket:
    """Return the socket of :meth:`Route.connect`, once the call has finished.

    :raises OSError: the name has no address, or nobody answers there.
    """
    try:
        return call.result(Deadline.after(0))
    except UnicodeError as exc:
        # From the encoding of names for DNS.
        raise OSError(f"no host has this name: {exc}") from exc
