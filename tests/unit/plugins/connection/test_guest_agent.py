# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection's options, as its own agent and the action plugin use them."""

from __future__ import annotations

import multiprocessing
import os
import pathlib
import subprocess
import sys
import types
import typing as t

import pytest
from ansible.errors import AnsibleError

from ansible_collections.netless.qga.plugins.connection import guest_agent
from ansible_collections.netless.qga.plugins.connection.guest_agent import Connection
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

ROOT = pathlib.Path(guest_agent.__file__).parents[5]
CONNECTORS = ("exec", "libvirt_stream", "serial", "tcp", "unix", "vsock")
UTILS = "ansible_collections.netless.qga.plugins.module_utils."

OPTIONS: dict[str, t.Any] = {
    "become_success_timeout": 10,
    "endpoint": "unix:/run/vms/web1.sock",
    "exec_timeout": 60.0,
    "libvirt_uri": "qemu:///session",
    "persist": 0.0,
    "remote_addr": "web1",
    "proxy_allow": [],
    "remote_forwards": [],
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


def test_task_over_a_connection_process_imports_nothing_that_talks_to_an_agent() -> None:
    program = IMPORT_AND_LIST.replace("'persist': 0.0", "'persist': None")
    assert program != IMPORT_AND_LIST
    output = subprocess.run(
        [sys.executable, "-c", program, "libvirt"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    ours = {name[len(UTILS) :] for name in output.split() if name.startswith(UTILS)}
    assert "_connection_process.persistent_channel" in ours
    forbidden = ("_transports.", "_libvirt", "_channels.libvirt", "_channels.stream", "framing.session", "framing.sync")
    assert not [name for name in ours if name.startswith((*forbidden, "_connection_process.server"))]


@pytest.mark.parametrize("persist", [-1.0, float("nan"), float("inf")])
def test_persist_is_zero_or_a_number_of_seconds(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, persist: float
) -> None:
    options = {**OPTIONS, "persist": persist}
    monkeypatch.setattr(Connection, "get_option", lambda self, name: options[name])
    with pytest.raises(AnsibleError, match=r"^persist is .*: it has to be a number of seconds, or 0$"):
        connection.target.as_dict()


def test_owner_of_the_channel_is_the_process_that_runs_the_play(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert connection.target.owner == os.getpid()
    # As in a worker.
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: types.SimpleNamespace(pid=4711))
    assert connection.target.owner == 4711


class Runs:
    """Records which way a command is run, in the place of both runners.

    :param warm: what a kept interpreter returns; None if it leaves the command to a new one.
    """

    def __init__(self, warm: CompletedProcess | None) -> None:
        self._warm = warm
        self.ways: list[str] = []
        self.options: dict[str, t.Any] = {}

    def run(self, argv: list[str], program: bytes = b"", **options: t.Any) -> CompletedProcess | None:
        """Run a command in one of both ways: only a cold one gets its program as standard input."""
        assert argv == ["/bin/sh", "-c", "/usr/bin/python3"]
        self.ways.append("cold" if "stdin" in options else "warm")
        self.options = options
        return CompletedProcess(0, b"cold", b"") if "stdin" in options else self._warm


WARM = CompletedProcess(3, b"warm", b"")


@pytest.mark.parametrize(
    ("warm", "program", "result", "ways", "output"),
    [
        (True, b"program", WARM, ["warm"], b"warm"),
        (True, b"program", None, ["warm", "cold"], b"cold"),
        (False, b"program", WARM, ["cold"], b"cold"),
        (True, None, WARM, ["cold"], b"cold"),
    ],
)
def test_module_runs_in_a_kept_interpreter_unless_that_is_off_or_impossible(
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    warm: bool,
    program: bytes | None,
    result: CompletedProcess | None,
    ways: list[str],
    output: bytes,
) -> None:
    options = {**OPTIONS, "warm": warm, "executable": "/bin/sh", "remote_user": None}
    monkeypatch.setattr(Connection, "get_option", lambda self, name: options[name])
    monkeypatch.setattr(Connection, "_connect", lambda self: self)
    runs = Runs(result)
    vars(connection).update(_runner=runs, _warm_runner=runs, _user_checked=False, become=None)
    assert connection.exec_command("/usr/bin/python3", in_data=program)[1] == output
    assert runs.ways == ways
