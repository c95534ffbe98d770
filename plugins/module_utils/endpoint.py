# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turns what a user writes as an endpoint into the channel that leads there."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils.channel import Channel
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest
from ansible_collections.netless.qga.plugins.module_utils.framed_channel import FramedChannel
from ansible_collections.netless.qga.plugins.module_utils.libvirt_channel import LibvirtChannel
from ansible_collections.netless.qga.plugins.module_utils.transports.exec import ExecEndpoint
from ansible_collections.netless.qga.plugins.module_utils.transports.transport import Endpoint
from ansible_collections.netless.qga.plugins.module_utils.transports.unix import UnixEndpoint

_BYTE_STREAMS: dict[str, t.Callable[[str], Endpoint]] = {"unix": UnixEndpoint, "exec": ExecEndpoint}


def parse_endpoint(text: str) -> Endpoint:
    """The endpoint of a byte stream that a user wrote.

    :param text: ``unix:PATH`` or ``exec:COMMAND``.
    :raises InvalidRequest: it is none of these.
    """
    kind, rest = text.partition(":")[::2]
    if kind not in _BYTE_STREAMS or not rest.strip():
        raise InvalidRequest(
            f"'{text}' is not an endpoint of a guest agent: use libvirt for the agent of one of libvirt's domains, "
            f"unix:PATH for a socket, or exec:COMMAND for a program whose standard input and output lead to the agent"
        )
    return _BYTE_STREAMS[kind](rest)


def make_channel(
    text: str,
    *,
    domain: str,
    uri: str,
    connect_timeout: float,
    reply_timeout: float,
    chunk: int | None,
    log: t.Callable[[str], None],
) -> Channel:
    """The channel to the agent at the endpoint that a user wrote. It is opened when it is first used.

    :param text: ``libvirt``, ``unix:PATH`` or ``exec:COMMAND``.
    :param domain: the domain's name or UUID; only libvirt needs it, and the next.
    :param uri: libvirt's, of the hypervisor.
    :param connect_timeout: seconds until the agent has to have answered for the first time.
    :param reply_timeout: seconds that the agent may take for one reply.
    :param chunk: how many bytes of a file go into one request or reply, if not what suits the endpoint.
    :param log: takes lines of names, sizes and times.
    :raises InvalidRequest: it is no endpoint.
    """
    if text == "libvirt":
        return LibvirtChannel(
            domain, uri, connect_timeout=connect_timeout, reply_timeout=reply_timeout, chunk=chunk, log=log
        )
    return FramedChannel(
        parse_endpoint(text), connect_timeout=connect_timeout, reply_timeout=reply_timeout, chunk=chunk, log=log
    )
