# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Closing sockets, also while a forked process has them open."""

from __future__ import annotations

import os
import socket

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._transports.stream_socket import StreamSocket
from ansible_collections.netless.qga.plugins.module_utils.errors import AgentSilent, UnreachableReason


def transport_over(channel: socket.socket) -> StreamSocket:
    return StreamSocket("unix:/anywhere", channel, AgentSilent)


def test_close_ends_the_connection_although_a_copy_is_open() -> None:
    ours, theirs = socket.socketpair()
    copy = os.dup(ours.fileno())
    transport = transport_over(ours)
    theirs.settimeout(30)
    transport.send(b"the last", Deadline.after(30))
    transport.close()
    # What was sent still arrives.
    assert theirs.recv(100) == b"the last"
    assert theirs.recv(100) == b""
    transport.close()
    os.close(copy)
    theirs.close()


def test_close_reads_what_is_left() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.sendall(bytes(100_000))
    transport_over(ours).close()
    # Otherwise the other side would get a reset, and an agent would end.
    assert theirs.recv(100) == b""
    theirs.close()


def test_close_after_the_other_side_closed() -> None:
    ours, theirs = socket.socketpair()
    transport = transport_over(ours)
    theirs.close()
    error = transport.closed_error()
    assert str(error).startswith("unix:/anywhere: the other side closed the socket")
    assert error.reason is UnreachableReason.CLOSED
    transport.close()
    assert ours.fileno() == -1
