# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel reports about one Unix socket of this process (sock_diag(7)).

/proc/net/unix cannot replace it: it lists a connection in the queue of a server only by the path that the server was
bound to, which may be relative, or belong to a container, and which many servers have in common.
"""

from __future__ import annotations

import os
import socket
import struct
import typing as t

# From linux/netlink.h, linux/sock_diag.h and linux/unix_diag.h.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_UDIAG_SHOW_PEER = 4
_UNIX_DIAG_PEER = 2
_NO_COOKIE = 0xFFFFFFFF

# struct nlmsghdr: length, type, flags, sequence number, port.
_HEADER = struct.Struct("=IHHII")
# struct unix_diag_req: family, protocol, padding, states, inode, what to show, cookie.
_REQUEST = struct.Struct("=BBHIIIII")
# struct unix_diag_msg: family, type, state, padding, inode, cookie.
_MESSAGE = struct.Struct("=BBBBIII")
# struct nlattr: length, type.
_ATTRIBUTE = struct.Struct("=HH")
_INODE = struct.Struct("=I")

_MAX_REPLY = 8192


def waits_in_queue(channel: socket.socket) -> bool:
    """Return whether the server has not accepted this connection yet.

    :param channel: a Unix socket that is connected.
    :returns: False also if the kernel does not report it, because it is not Linux, or a sandbox prevents the question.
    """
    try:
        reply = _query(channel)
    except (OSError, AttributeError):
        return False
    # The other end has an inode once the server has accepted it.
    return dict(_attributes(reply)).get(_UNIX_DIAG_PEER) == _INODE.pack(0)


def _query(channel: socket.socket) -> bytes:
    """Return the kernel's reply to the question which socket is the other end of this one."""
    inode = os.fstat(channel.fileno()).st_ino & 0xFFFFFFFF
    request = _REQUEST.pack(socket.AF_UNIX, 0, 0, 0xFFFFFFFF, inode, _UDIAG_SHOW_PEER, _NO_COOKIE, _NO_COOKIE)
    header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as netlink:
        netlink.send(header + request)
        # The kernel replies before send() returns.
        return netlink.recv(_MAX_REPLY, socket.MSG_DONTWAIT)


def _attributes(reply: bytes) -> t.Iterator[tuple[int, bytes]]:
    """Yield the type and the value of each attribute of a reply; nothing if it is an error."""
    if len(reply) < _HEADER.size or _HEADER.unpack_from(reply)[1] != _SOCK_DIAG_BY_FAMILY:
        return
    start = _HEADER.size + _MESSAGE.size
    while start + _ATTRIBUTE.size <= len(reply):
        length, kind = _ATTRIBUTE.unpack_from(reply, start)
        if length < _ATTRIBUTE.size:
            return
        yield kind, reply[start + _ATTRIBUTE.size : start + length]
        start += (length + 3) // 4 * 4
