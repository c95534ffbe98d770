# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``tcp:HOST:PORT``: a QEMU chardev that listens on a TCP port, or a relay that does."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import re
import socket
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._local.background_call import BackgroundCall
from ansible_collections.netless.qga.plugins.module_utils._transports import stream_socket
from ansible_collections.netless.qga.plugins.module_utils._transports.os_error import unreachable_reason
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentSilent,
    EndpointUnavailable,
    InvalidRequest,
    Unreachable,
)

_HOST_AND_PORT = re.compile(r"(?:\[(?P<address>[^\[\]]+)\]|(?P<host>[^\[\]:,\s]+)):(?P<port>[0-9]{1,5})", re.ASCII)

# A peer that vanished without closing is noticed after half a minute; Linux's default is two hours.
_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}

_CURES = {
    errno.ECONNREFUSED: "nobody listens on the port. Is the VM running, and is this the port of its chardev?",
    errno.EHOSTUNREACH: "no route to the host. Is it up, or does a firewall on the way refuse?",
    errno.ENETUNREACH: "no route to its network from here",
    errno.ECONNRESET: "the connection was reset at once. Does a proxy or a firewall answer instead of QEMU?",
    errno.ETIMEDOUT: "nothing answers there. Is the host up, does a firewall drop packets, or do several clients wait "
    "for the port already?",
}

_Address = tuple[t.Any, ...]


@dataclass(frozen=True)
class TcpConnector:
    """A TCP port.

    :param host: a name, or an address without brackets.
    """

    host: str
    port: int
    chunk: int = 1024 * 1024

    @classmethod
    def parse(cls, text: str) -> TcpConnector:
        """Parse the endpoint of a user.

        :param text: ``HOST:PORT``, an IPv6 address in brackets.
        :raises InvalidRequest: it has another form.
        """
        parts = _HOST_AND_PORT.fullmatch(text)
        if not parts or not 0 < int(parts["port"]) < 65536:
            raise InvalidRequest(
                f"'tcp:{text}' is not tcp:HOST:PORT: the port is a number from 1 to 65535, and an IPv6 address is in "
                f"brackets, like tcp:[::1]:4444"
            )
        return cls(parts["address"] or parts["host"], int(parts["port"]))

    @property
    def name(self) -> str:
        return f"tcp:[{self.host}]:{self.port}" if ":" in self.host else f"tcp:{self.host}:{self.port}"

    @property
    def lock_key(self) -> str:
        """The same key for every notation of an address. A name is not resolved, since that could take long."""
        host = self.host.lower()
        with contextlib.suppress(ValueError):
            host = str(ipaddress.ip_address(host))
        return f"tcp:[{host}]:{self.port}"

    def connect(self, deadline: Deadline) -> stream_socket.StreamSocket:
        """Connect to the first address of the host that accepts."""
        causes = []
        failure: OSError | None = None
        addresses = self._addresses(deadline)
        for index, (family, address) in enumerate(addresses):
            # An address that does not answer must leave time for the others.
            share = deadline.within(deadline.remaining() / (len(addresses) - index))
            try:
                channel = stream_socket.connect(family, address, share)
            except OSError as exc:
                # A refusal proves something only if every address refused: another may not have been reached at all.
                if failure is None or exc.errno != errno.ECONNREFUSED:
                    failure = exc
                # The TimeoutError of our own deadline has no errno.
                cause = _CURES.get(exc.errno or errno.ETIMEDOUT, str(exc.strerror))
                if cause not in causes:
                    causes.append(cause)
            else:
                _set_options(channel)
                return stream_socket.StreamSocket(self.name, channel, self._no_reply_error)
        reason = unreachable_reason(failure)
        raise EndpointUnavailable(f"{self.name}: {'; '.join(causes)}", reason=reason) from failure

    def _no_reply_error(self) -> Unreachable:
        return AgentSilent(
            f"{self.name}: the port is open, but no guest agent answers. Is the guest up, and qemu-guest-agent running "
            f"in it on this channel? QEMU serves one client at a time: if another one is connected, it is served first"
        )

    def _addresses(self, deadline: Deadline) -> list[tuple[int, _Address]]:
        """Return the host's addresses with their families. A resolver that hangs is abandoned at the deadline."""
        query = BackgroundCall(lambda: socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM))
        try:
            return [(row[0], row[4]) for row in query.result(deadline)]
        except TimeoutError as exc:
            raise EndpointUnavailable(f"{self.name}: the name server did not answer in time") from exc
        except (OSError, UnicodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "not a valid host name"
            raise EndpointUnavailable(f"{self.name}: the host's name cannot be resolved: {reason}") from exc


def _set_options(channel: socket.socket) -> None:
    # A request is one small packet, and the next one waits for its reply.
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        if hasattr(socket, option):
            channel.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
