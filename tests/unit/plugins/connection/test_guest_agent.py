# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection's options, as its own agent and the action plugin use them."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netless.qga.plugins.connection.guest_agent import Connection
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address

OPTIONS: dict[str, t.Any] = {
    "endpoint": "unix:/run/vms/web1.sock",
    "libvirt_uri": "qemu:///session",
    "remote_addr": "web1",
    "reply_timeout": 50.0,
    "timeout": 5.0,
    "transfer_chunk": 4096,
}


@pytest.fixture(name="connection")
def fixture_connection(monkeypatch: pytest.MonkeyPatch) -> Connection:
    """Provide a connection that has these options and nothing else."""
    monkeypatch.setattr(Connection, "get_option", lambda self, option: OPTIONS[option], raising=True)
    return Connection.__new__(Connection)


def test_target_has_the_options_of_the_connection(connection: Connection) -> None:
    target = connection.target
    assert target.address == Address("unix:/run/vms/web1.sock", "web1", "qemu:///session")
    assert (target.connect_timeout, target.reply_timeout, target.limit) == (5.0, 50.0, None)
    assert target.agent().chunk == 4096


def test_own_agent_has_the_options_of_the_connection(connection: Connection) -> None:
    agent = connection._make_agent()  # pylint: disable=protected-access
    channel: t.Any = agent._channel  # pylint: disable=protected-access
    assert (agent.endpoint, agent.chunk) == ("unix:/run/vms/web1.sock", 4096)
    assert (channel.connect_timeout, channel.reply_timeout) == (5.0, 50.0)
