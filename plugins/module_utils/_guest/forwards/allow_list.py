# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The destinations that the HTTP proxy for a guest leads to. Everything else is refused.

Both the name that a program in the guest asks for and the address that the controller then connects to are checked. The
address is the one that was checked: the name is not resolved again.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.routes import authority
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest

# HOST:PORT. The host is a name, all names below one, an address, or a network. IPv6 is in brackets.
_ENTRY = re.compile(r"(?P<host>\[[0-9A-Fa-f:./]+\]|(?:\*\.)?[A-Za-z0-9_.-]+|[0-9.]+/[0-9]+):(?P<port>\d{1,5})\Z")

# IPv6 addresses that stand for IPv4 addresses (RFC 6052).
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

_Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
_Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


class NotAllowed(OSError):
    """The destination is not on the list."""


class AllowList:
    """Names, addresses and networks, each with a port.

    :param entries: as the user writes them: ``mirror.example.com:80``, ``*.example.org:443``, ``192.0.2.7:80``,
        ``10.0.0.0/8:80``, ``[2001:db8::/32]:80``.
    :raises InvalidRequest: an entry has another form.
    """

    def __init__(self, entries: t.Iterable[str]) -> None:
        self._names: set[tuple[str, int]] = set()
        self._networks: list[tuple[_Network, int]] = []
        for entry in entries:
            self._add(entry)

    def _add(self, entry: str) -> None:
        match = _ENTRY.match(entry)
        port = int(match["port"]) if match else 0
        if match is None or not 0 < port < 2**16:
            raise InvalidRequest(
                f"proxy_allow: {entry!r} is not HOST:PORT, like mirror.example.com:80, *.example.org:443 or "
                f"192.0.2.0/24:80. Write IPv6 addresses in brackets"
            )
        host = match["host"].strip("[]")
        try:
            self._networks.append((ipaddress.ip_network(host), port))
        except ValueError as exc:
            if "/" in host or ":" in host:
                raise InvalidRequest(f"proxy_allow: {entry!r} has no network: {exc}") from exc
            self._names.add((_normal(host), port))

    def resolve(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host that may be connected to.

        An address that is not public, for example one of the controller's own network, has to be on the list itself.

        :raises NotAllowed: the host is not on the list, or has no address that may be used.
        :raises OSError: the name cannot be resolved.
        """
        shown = authority(host, port)
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            pass
        else:
            if self._has_address(address, port):
                return [host]
            raise NotAllowed(f"{shown} is not in the connection's option proxy_allow")
        if not self._has_name(_normal(host), port):
            raise NotAllowed(f"{shown} is not in the connection's option proxy_allow")
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        usable = [address for address in found if self._may_be_used(address, port)]
        if not usable:
            raise NotAllowed(
                f"{shown} is {', '.join(found)} for the controller, which is not a public address. If guests may "
                f"connect to it, add it to the connection's option proxy_allow as well"
            )
        return usable

    def _has_name(self, host: str, port: int) -> bool:
        if (host, port) in self._names:
            return True
        labels = host.split(".")
        return any((".".join(["*", *labels[start:]]), port) in self._names for start in range(1, len(labels)))

    def _has_address(self, address: _Address, port: int) -> bool:
        return any(address in network for network, allowed_port in self._networks if allowed_port == port)

    def _may_be_used(self, text: str, port: int) -> bool:
        address = ipaddress.ip_address(text)
        return self._has_address(address, port) or all(map(_is_public, [address, *_inner_addresses(address)]))


def _normal(host: str) -> str:
    return host.lower().rstrip(".")


def _is_public(address: _Address) -> bool:
    return address.is_global and not address.is_multicast


def _inner_addresses(address: _Address) -> list[_Address]:
    """Return the IPv4 addresses that an IPv6 address leads to."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    inner: list[_Address | None] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        inner.append(ipaddress.IPv4Address(int(address) % 2**32))
    return [found for found in inner if found is not None]
