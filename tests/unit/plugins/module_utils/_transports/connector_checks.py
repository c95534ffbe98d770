# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks that apply to the connectors of all endpoints."""

from __future__ import annotations

import socket

import pytest

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._transports.connector import Connector
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentSilent,
    ChannelClosed,
    EndpointUnavailable,
    UnreachableReason,
)


def failure_message(
    connector: Connector, seconds: float = 30, *, reason: UnreachableReason | None = UnreachableReason.UNKNOWN
) -> str:
    """Return the message for an endpoint that cannot be connected to.

    :param reason: what the error has to prove about the other end; None if that depends on the machine.
    """
    with pytest.raises(EndpointUnavailable) as caught:
        connector.connect(Deadline.after(seconds))
    assert reason is None or caught.value.reason is reason
    text = str(caught.value)
    assert text.startswith(f"{connector.name}: ")
    return text


def check_both_ways(connector: Connector, listener: socket.socket) -> None:
    """Check that bytes pass both ways between an endpoint and a listening socket, until that side closes."""
    transport = connector.connect(Deadline.after(30))
    server, dummy = listener.accept()
    with server:
        transport.send(b"there", Deadline.after(30))
        assert server.recv(100) == b"there"
        server.sendall(b"back")
        assert transport.receive(Deadline.after(30)) == b"back"
        assert isinstance(transport.no_reply_error(), AgentSilent)
    assert transport.receive(Deadline.after(30)) == b""
    error = transport.closed_error()
    assert isinstance(error, ChannelClosed) and error.reason is UnreachableReason.CLOSED
    transport.close()
    transport.close()
