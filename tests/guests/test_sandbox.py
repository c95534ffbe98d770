# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the sandbox itself, ``pytest tests/guests``, with a client that shares no code with the collection.

Run them as root for all guests, and as an ordinary user for the machine's own system.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from . import guest_init, sandbox, trees

AS_ROOT = os.geteuid() == 0
GUESTS = ("machine", *trees.SUITES) if AS_ROOT else ("machine",)


class Client:
    """A connection to an agent."""

    def __init__(self, agent: sandbox.SandboxedAgent) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(agent.socket_path)
        self._replies = self._socket.makefile("rb")

    def call(self, command: str, **arguments: object) -> Any:
        """Return what the agent returned.

        :raises AssertionError: the agent refused; the message is its description.
        """
        self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        reply = json.loads(self._replies.readline())
        if "error" in reply:
            raise AssertionError(reply["error"]["desc"])
        return reply["return"]

    def run(self, *command: str, stdin: str = "") -> tuple[int, str]:
        """Run a program in the guest, and return its exit code and everything it printed."""
        data = base64.b64encode(stdin.encode()).decode()
        argument = {"path": command[0], "arg": command[1:], "input-data": data, "capture-output": True}
        pid = self.call("guest-exec", **argument)["pid"]
        while not (status := self.call("guest-exec-status", pid=pid))["exited"]:
            time.sleep(0.01)
        output = base64.b64decode(status.get("out-data", "")) + base64.b64decode(status.get("err-data", ""))
        return status["exitcode"], output.decode()

    def close(self) -> None:
        """Disconnect, so that the next client can connect."""
        self._replies.close()
        self._socket.close()


def tree_of(guest: str) -> pathlib.Path | None:
    """Return the tree to run for a name of :data:`GUESTS`."""
    return None if guest == "machine" else trees.build(guest)


@pytest.fixture(name="agent", params=GUESTS)
def fixture_agent(request: pytest.FixtureRequest) -> Iterator[sandbox.SandboxedAgent]:
    """Run an agent of each kind of guest."""
    with sandbox.SandboxedAgent(tree_of(request.param)) as running:
        yield running


@pytest.fixture(name="client")
def fixture_client(agent: sandbox.SandboxedAgent) -> Iterator[Client]:
    """Connect to the agent."""
    connected = Client(agent)
    yield connected
    connected.close()


def test_commands_that_would_affect_the_machine_are_blocked(client: Client) -> None:
    commands = {command["name"]: command["enabled"] for command in client.call("guest-info")["supported_commands"]}
    assert commands["guest-exec"] and commands["guest-file-open"] and commands["guest-fsfreeze-status"]
    assert not [name for name in guest_init.ALWAYS_BLOCKED if commands.get(name, False)]
    for name in ("guest-shutdown", "guest-fsfreeze-freeze", "guest-suspend-disk"):
        with pytest.raises(AssertionError, match=r"disabled|not allowed"):
            client.call(name)


def test_guest_has_no_network_and_its_own_name(client: Client) -> None:
    code, devices = client.run("cat", "/proc/net/dev")
    assert code == 0
    assert [line.partition(":")[0].strip() for line in devices.splitlines()[2:]] == ["lo"]
    assert client.run("cat", "/sys/class/net/lo/operstate") == (0, "unknown\n")
    assert client.call("guest-get-host-name") == {"host-name": guest_init.HOSTNAME}


def test_agent_writes_and_reads_files(client: Client) -> None:
    content = base64.b64encode(bytes(range(256))).decode()
    handle = client.call("guest-file-open", path="/root/file", mode="w+")
    assert client.call("guest-file-write", handle=handle, **{"buf-b64": content})["count"] == 256
    client.call("guest-file-flush", handle=handle)
    client.call("guest-file-seek", handle=handle, offset=0, whence="set")
    assert client.call("guest-file-read", handle=handle)["buf-b64"] == content
    client.call("guest-file-close", handle=handle)


def test_guest_changes_nothing_on_the_machine(client: Client, tmp_path: pathlib.Path) -> None:
    for directory in ("/etc", "/var", "/opt", "/tmp", "/run", "/root", "/dev/shm"):
        marker = f"{directory}/{tmp_path.name}-{os.getpid()}"
        assert client.run("touch", marker) == (0, "")
        assert not os.path.exists(marker)
    code, dummy = client.run("sh", "-c", "echo 0 > /proc/sys/kernel/sysrq")
    assert code != 0
    assert client.run("cat", "/etc/hostname") == (0, f"{guest_init.HOSTNAME}\n")


def test_killed_agent_can_be_started_again(agent: sandbox.SandboxedAgent) -> None:
    for dummy in range(2):
        before = agent.pid
        agent.kill_agent()
        agent.start_agent()
        assert agent.pid != before
        again = Client(agent)
        assert again.run("echo", "again") == (0, "again\n")
        again.close()


def test_orphans_are_reaped(client: Client) -> None:
    client.run("sh", "-c", "sleep 0.1 >/dev/null 2>&1 &")
    time.sleep(0.3)
    assert client.run("sh", "-c", "grep -l '^State:.Z' /proc/[0-9]*/status")[1] == ""


@pytest.mark.skipif(not AS_ROOT, reason="only root can run a tree")
@pytest.mark.parametrize("suite", trees.SUITES)
def test_users_can_become_others(suite: str) -> None:
    password = trees.SUDO_PASSWORD_USER_PASSWORD
    with sandbox.SandboxedAgent(trees.build(suite), run_as=trees.SUDO_USER) as agent:
        client = Client(agent)
        assert client.run("id", "-un") == (0, "alice\n")
        assert client.run("sudo", "-n", "id", "-u") == (0, "0\n")
        assert client.run("su", "-c", "id -u", stdin=f"{trees.ROOT_PASSWORD}\n") == (0, "0\nPassword: ")
        assert client.run("su", "-c", "id -u", stdin="wrong\n")[0] == 1
        bob = ("su", "bob", "-c")
        assert client.run(*bob, "id -un", stdin=f"{password}\n") == (0, "bob\nPassword: ")
        sudo = "sudo -S -k -p 'password: ' id -u"
        code, output = client.run("sudo", "-n", "-u", "bob", "sh", "-c", sudo, stdin=f"{password}\n")
        # Some versions of sudo print a lecture between the two.
        assert code == 0 and output.startswith("0\n") and output.endswith("password: ")
        assert client.run("sudo", "-n", "-u", "bob", "sh", "-c", sudo, stdin="wrong\n")[0] == 1
        client.close()


@pytest.mark.skipif(not AS_ROOT, reason="only root can run a tree")
@pytest.mark.parametrize("suite", trees.SUITES)
def test_options_reach_the_agent(suite: str) -> None:
    options: dict[str, Any] = {"blocked": ["guest-exec"], "run_as": "bob", "environment": {"LANG": "C"}}
    with sandbox.SandboxedAgent(trees.build(suite), **options) as agent:
        client = Client(agent)
        with pytest.raises(AssertionError, match=r"disabled|not allowed"):
            client.run("true")
        client.close()
        environment = pathlib.Path(f"/proc/{agent.pid}/environ").read_bytes().split(b"\0")
        assert b"LANG=C" in environment and not [entry for entry in environment if entry.startswith(b"HOME=")]


def ends_clean(endpoint: str) -> bool:
    """Return whether nothing is left of the sandbox with an endpoint, within five seconds."""
    directory = endpoint.removeprefix("unix:").partition("/channel/")[0]

    def leftovers() -> Iterator[str]:
        # Process 1 and its parents have the directory among their arguments.
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if directory.encode() in (process / "cmdline").read_bytes():
                    yield str(process)
        if os.path.exists(directory):
            yield directory

    deadline = time.monotonic() + 5
    while (left := list(leftovers())) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not left


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_sandbox_ends_with_the_program(number: signal.Signals, tmp_path: pathlib.Path) -> None:
    command = [sys.executable, sandbox.__file__, "run", "--state", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        endpoint = program.stdout.readline()
        assert endpoint.startswith("unix:/tmp/")
        program.send_signal(number)
    assert ends_clean(endpoint)


def test_sandbox_runs_in_the_background(tmp_path: pathlib.Path) -> None:
    def program(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        whole = [sys.executable, sandbox.__file__, command, "--state", str(tmp_path), *arguments]
        return subprocess.run(whole, capture_output=True, text=True, check=False)

    assert program("stop").returncode == 0
    endpoint = program("start").stdout
    assert endpoint.startswith("unix:/tmp/")
    second = program("start")
    assert second.returncode == 1 and "already running" in second.stderr
    assert program("stop").returncode == program("stop").returncode == 0
    assert ends_clean(endpoint)
    failed = program("start", "--user", "no-such-user")
    assert failed.returncode == 1 and "no-such-user" in failed.stderr
    with subprocess.Popen(["sleep", "30"]) as other:
        endpoint = program("start", "--while-pid", str(other.pid)).stdout
        other.kill()
    assert ends_clean(endpoint)
