# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turn an endpoint, as users write it, into a channel to the agent."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest
from ansible_collections.netless.qga.plugins.module_utils.framing.limits import DEFAULT_LIMITS, Limits

if t.TYPE_CHECKING:
    from ansible_collections.netless.qga.plugins.module_utils._channels.channel import HeldChannel
    from ansible_collections.netless.qga.plugins.module_utils._libvirt.connection_pool import ConnectionPool
    from ansible_collections.netless.qga.plugins.module_utils._transports.connector import Connector

# Every task is a new process, so each endpoint imports its own transport only.


def _unix(path: str) -> Connector:
    from ansible_collections.netless.qga.plugins.module_utils._transports.unix import UnixConnector

    return UnixConnector(path)


def _tcp(rest: str) -> Connector:
    from ansible_collections.netless.qga.plugins.module_utils._transports.tcp import TcpConnector

    return TcpConnector.parse(rest)


def _vsock(rest: str) -> Connector:
    from ansible_collections.netless.qga.plugins.module_utils._transports.vsock import VsockConnector

    return VsockConnector.parse(rest)


def _serial(device: str) -> Connector:
    from ansible_collections.netless.qga.plugins.module_utils._transports.serial import SerialConnector

    return SerialConnector(device)


def _exec(command: str) -> Connector:
    from ansible_collections.netless.qga.plugins.module_utils._transports.exec import ExecConnector

    return ExecConnector(command)


def _libvirt_stream(name: str, address: Address) -> Connector:
    from ansible_collections.netless.qga.plugins.module_utils._transports.libvirt_stream import LibvirtStreamConnector

    return LibvirtStreamConnector(name, address.domain, address.uri)


_BYTE_STREAMS: dict[str, t.Callable[[str], Connector]] = {
    "unix": _unix,
    "tcp": _tcp,
    "vsock": _vsock,
    "serial": _serial,
    "exec": _exec,
}

# Their names are what the user wrote, so that a name takes no import of the transport.
_VERBATIM = ("unix", "serial", "exec")


def parse_connector(text: str) -> Connector:
    """Return what opens the byte stream of an endpoint.

    :param text: ``unix:PATH``, ``tcp:HOST:PORT``, ``vsock:CID:PORT``, ``serial:DEVICE`` or ``exec:COMMAND``.
    :raises InvalidRequest: it is none of these.
    """
    kind, rest = text.partition(":")[::2]
    if kind not in _BYTE_STREAMS or not rest.strip():
        raise InvalidRequest(
            f"'{text}' is not an endpoint of a guest agent: use libvirt for the agent of a libvirt domain, "
            f"libvirt:NAME for another agent of the domain on a virtio channel of its own, "
            f"unix:PATH or tcp:HOST:PORT for a socket of QEMU, vsock:CID:PORT for an agent that listens itself, "
            f"serial:DEVICE for a serial line, or exec:COMMAND for a program whose standard input and output lead to "
            f"the agent"
        )
    return _BYTE_STREAMS[kind](rest)


@dataclass(frozen=True)
class Address:
    """Where a guest's agent is, as users write it.

    :param endpoint: ``libvirt``, ``libvirt:NAME``, or what :func:`parse_connector` takes.
    :param domain: the domain's name or UUID. Only libvirt needs it.
    :param uri: the libvirt URI of the hypervisor. Only libvirt needs it.
    """

    endpoint: str = "libvirt"
    domain: str = ""
    uri: str = "qemu:///system"

    @property
    def uses_libvirt(self) -> bool:
        """Whether the address names a libvirt domain, so that libvirt can also report on the domain itself."""
        return self.endpoint.partition(":")[0] == "libvirt"

    @property
    def uses_libvirt_rpc(self) -> bool:
        """Whether libvirtd itself talks to the agent (virDomainQemuAgentCommand), and not this process."""
        return self.endpoint == "libvirt"

    def split(self) -> tuple[str, str]:
        """Return the kind of the endpoint, and what follows its colon.

        :raises InvalidRequest: the endpoint needs a domain, and none is given.
        """
        kind, rest = self.endpoint.partition(":")[::2]
        if kind == "libvirt" and not self.domain:
            raise InvalidRequest(
                f"the endpoint {self.endpoint} belongs to a libvirt domain, and no domain is given: set the option "
                f"domain, or use another endpoint"
            )
        return kind, rest

    @property
    def description(self) -> str:
        """The :attr:`Channel.endpoint` of the channel to the address.

        :raises InvalidRequest: the address is not valid.
        """
        kind, rest = self.split()
        if self.uses_libvirt_rpc:
            return f"libvirt domain {self.domain} on {self.uri}"
        if kind == "libvirt" and rest:
            return f"libvirt:{rest} of the domain {self.domain} on {self.uri}"
        if kind in _VERBATIM and rest.strip():
            return self.endpoint
        return parse_connector(self.endpoint).name


def make_channel(
    address: Address,
    *,
    connect_timeout: float,
    reply_timeout: float,
    chunk: int | None = None,
    native_calls: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    log: t.Callable[[str], None] = lambda line: None,
    pool: ConnectionPool | None = None,
) -> HeldChannel:
    """Return the channel to the agent at an address. It opens when it is first used.

    :param address: where the agent is.
    :param connect_timeout: seconds that the agent may take until its first answer.
    :param reply_timeout: seconds that the agent may take for one reply.
    :param chunk: how many bytes of a file go into one request or reply; by default as many as suit the endpoint.
    :param native_calls: see :class:`LibvirtChannel`.
    :param limits: bounds for what the guest may send.
    :param log: takes lines of names, sizes and times.
    :param pool: has the connections to the hypervisor of an address in libvirt, for calls to many domains.
    :raises InvalidRequest: the address is not valid.
    """
    kind, name = address.split()
    if address.uses_libvirt_rpc:
        from ansible_collections.netless.qga.plugins.module_utils._channels.libvirt_channel import LibvirtChannel

        return LibvirtChannel(
            address.domain,
            address.uri,
            connect_timeout=connect_timeout,
            reply_timeout=reply_timeout,
            chunk=chunk,
            native_calls=native_calls,
            limits=limits,
            log=log,
            **({"connect": pool.connect} if pool else {}),
        )
    from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel

    connector = _libvirt_stream(name, address) if kind == "libvirt" and name else parse_connector(address.endpoint)
    return StreamChannel(
        connector, connect_timeout=connect_timeout, reply_timeout=reply_timeout, chunk=chunk, limits=limits, log=log
    )
