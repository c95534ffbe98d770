# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where forwards lead: as the user names it, and as the controller connects to it."""

from __future__ import annotations

import functools
import re
import socket
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.routes import Listener, Route, authority
from ansible_collections.netless.qga.plugins.module_utils._local.background_call import BackgroundCall
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest

# PORT:HOST:HOSTPORT, as ssh -R has it without a bind address.
_FORWARD = re.compile(r"(?P<port>\d{1,5}):(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]/]+):(?P<host_port>\d{1,5})\Z")

# How long a destination may take to answer, in seconds.
_CONNECT_TIMEOUT = 15.0


@dataclass(frozen=True)
class Forward:
    """A port of the guest, and where it leads.

    :param port: the port on the guest's loopback interface.
    :param host: the host to connect to from the controller, a name or an address.
    :param host_port: the host's port.
    """

    port: int
    host: str
    host_port: int

    def __str__(self) -> str:
        """Return both ends, for messages."""
        return f"127.0.0.1:{self.port} to {authority(self.host, self.host_port)}"

    def route(self) -> Route:
        """Return the way of a new stream, which is the same for all."""
        return self

    @property
    def is_known(self) -> bool:
        """Always true."""
        return True

    @property
    def greeting(self) -> bytes:
        """Nothing: the guest gets what the destination sends."""
        return b""

    def receive(self, data: bytes) -> int:
        """Read nothing: the destination gets what the guest sends."""
        return 0

    def refusal(self, error: OSError) -> bytes:
        """Return nothing, so that the guest sees a reset."""
        return b""

    def connect(self) -> BackgroundCall[socket.socket]:
        """Begin to resolve the name and to connect, which can take long, in a thread of its own."""
        address = (self.host, self.host_port)
        return BackgroundCall(functools.partial(socket.create_connection, address, timeout=_CONNECT_TIMEOUT))


def parse_forwards(texts: t.Sequence[str]) -> list[Forward]:
    """Return the forwards that a user names as ``PORT:HOST:HOSTPORT``.

    :raises InvalidRequest: one has another form, or two have the same port.
    """
    forwards: dict[int, Forward] = {}
    for text in texts:
        match = _FORWARD.match(text)
        ports = (int(match["port"]), int(match["host_port"])) if match else (0, 0)
        if match is None or not all(0 < port < 2**16 for port in ports):
            raise InvalidRequest(
                f"remote_forwards: {text!r} is not PORT:HOST:HOSTPORT, like 3128:proxy.example.com:3128. Write IPv6 "
                f"addresses in brackets"
            )
        if ports[0] in forwards:
            raise InvalidRequest(f"remote_forwards: the guest's port {ports[0]} can lead to one place only")
        forwards[ports[0]] = Forward(ports[0], match["host"].strip("[]"), ports[1])
    return list(forwards.values())


def parse_listeners(forwards: t.Sequence[str], proxy_allow: t.Sequence[str], proxy_port: int) -> list[Listener]:
    """Return the ports for the connection's options.

    :param forwards: as :func:`parse_forwards` takes them.
    :param proxy_allow: the places that the proxy leads to; without any there is no proxy.
    :param proxy_port: the proxy's port on the guest's loopback interface.
    :raises InvalidRequest: the value of an option is not allowed.
    :raises LibraryMissing: a library for the proxy is missing.
    """
    listeners: list[Listener] = [*parse_forwards(forwards)]
    if not proxy_allow:
        return listeners
    if not 0 < proxy_port < 2**16:
        raise InvalidRequest(f"proxy_port: {proxy_port} is no port")
    if any(listener.port == proxy_port for listener in listeners):
        raise InvalidRequest(f"proxy_port: {proxy_port} is also a port of remote_forwards. Choose another one")
    # Most tasks do not need it, and Ansible compiles what a task imports in each task.
    from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.allow_list import AllowList
    from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.http_proxy import HttpProxy

    return [*listeners, HttpProxy(proxy_port, AllowList(proxy_allow))]
