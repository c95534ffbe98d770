# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection's options, as its own agent and the action plugin use them."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import typing as t

import pytest
from ansible.errors import AnsibleError

from ansible_collections.netless.qga.plugins.connection import guest_agent
from ansible_collections.netless.qga.plugins.connection.guest_agent import Connection
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

ROOT = pathlib.Path(guest_agent.__file__).parents[5]
CONNECTORS = ("exec", "libvirt_stream", "serial", "tcp", "unix", "vsock")
UTILS = "ansible_collections.netless.qga.plugins.module_utils."

OPTIONS: dict[str, t.Any] = {
    "become_success_timeout": 10,
    "endpoint": "unix:/run/vms/web1.sock",
    "exec_timeout": 60.0,
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


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("timeout", 0.0, "timeout is 0: it has to be a number of seconds greater than 0"),
        ("timeout", float("nan"), "timeout is nan: it has to be a number of seconds greater than 0"),
        ("reply_timeout", -1.0, "reply_timeout is -1: it has to be a number of seconds greater than 0"),
        ("exec_timeout", -1.0, "exec_timeout is -1: it has to be a number of seconds greater than 0"),
        ("exec_timeout", float("inf"), "exec_timeout is inf: it has to be a number of seconds greater than 0"),
        ("become_success_timeout", 0, "become_success_timeout is 0: it has to be a number of seconds greater than 0"),
        ("transfer_chunk", 0, "transfer_chunk is 0: it has to be a number of bytes greater than 0"),
    ],
)
def test_number_that_is_not_positive_is_refused_before_anything_is_sent(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, option: str, value: float, message: str
) -> None:
    agent = ScriptedAgent()
    with agent.listening() as path:
        options = {**OPTIONS, "endpoint": f"unix:{path}", option: value}
        monkeypatch.setattr(Connection, "get_option", lambda self, name: options[name])
        connection._connected, connection._agent = False, None  # pylint: disable=protected-access
        for use in (lambda: connection.exec_command("true"), lambda: connection.transport_test(5)):
            with pytest.raises(AnsibleError) as caught:
                use()
            assert str(caught.value) == message
    assert not agent.received


def test_transfer_chunk_need_not_be_set(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {**OPTIONS, "transfer_chunk": None}
    monkeypatch.setattr(Connection, "get_option", lambda self, name: options[name])
    assert connection.target.chunk is None


IMPORT_AND_LIST = f"""
import sys
from ansible_collections.netless.qga.plugins.connection.guest_agent import Connection
Connection.get_option = lambda self, option: {{**{OPTIONS!r}, "endpoint": sys.argv[1]}}[option]
Connection.__new__(Connection)._make_agent()
print(*sys.modules)
"""


@pytest.mark.parametrize(
    ("endpoint", "connectors"),
    [
        ("unix:/run/vms/web1.sock", {"unix"}),
        ("exec:ssh hv1 socat - UNIX:/run/s", {"exec"}),
        ("libvirt", set()),
        ("libvirt:io.netless.agent.0", {"libvirt_stream"}),
    ],
)
def test_endpoint_imports_only_what_it_needs(endpoint: str, connectors: set[str]) -> None:
    # Every task is a new process, which pays for each import.
    output = subprocess.run(
        [sys.executable, "-c", IMPORT_AND_LIST, endpoint],
        # ansible-core may be on the path of this process only, and not be installed.
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    modules = set(output.split())
    ours = {name[len(UTILS) :] for name in modules if name.startswith(UTILS)}
    assert {name for name in CONNECTORS if f"_transports.{name}" in ours} == connectors
    assert any(name.startswith("_libvirt") for name in ours) is endpoint.startswith("libvirt")
    assert not [name for name in ours if name.startswith(("_schema", "_task", "_guest.fsfreeze"))]
    assert "jsonschema" not in modules and not [name for name in modules if "netless.qga.plugins.modules." in name]
