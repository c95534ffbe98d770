# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The endpoints other than Unix sockets, each with a real agent: relays turn its socket into a TCP port, a serial line
and an ssh login.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shlex
import signal
import subprocess
import tempfile
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.address import parse_connector
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.destinations import Forward
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.forwarder import Forwarder
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    ChannelClosed,
    EndpointBusy,
    EndpointUnavailable,
    OutcomeUnknown,
)
from ansible_collections.netless.qga.tests.guests.http_destination import serving
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent
from ansible_collections.netless.qga.tests.guests.sshd import Sshd
from ansible_collections.netless.qga.tests.guests.trees import build

_START_TIMEOUT = 20.0


@pytest.fixture(scope="module")
def guest() -> t.Iterator[SandboxedAgent]:
    """Run one guest for all tests, since only the endpoints differ."""
    with SandboxedAgent(build("bookworm")) as sandbox:
        yield sandbox


@pytest.fixture
def directory() -> t.Iterator[pathlib.Path]:
    """Create a directory with a short path, for this user only."""
    with tempfile.TemporaryDirectory(prefix="qga-", dir="/tmp") as path:
        yield pathlib.Path(path)


@contextlib.contextmanager
def running(*command: str, log: pathlib.Path) -> t.Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(_START_TIMEOUT)


def until(found: t.Callable[[], t.Any], log: pathlib.Path) -> t.Any:
    """Wait until a program that was just started has an effect.

    :param found: returns the effect, or something false.
    :param log: the output of the program, which is shown if it fails.
    """
    deadline = Deadline.after(_START_TIMEOUT)
    while not (result := found()):
        assert not deadline.passed, log.read_text(encoding="utf-8", errors="replace")
        time.sleep(0.02)
    return result


@pytest.fixture
def tcp(guest: SandboxedAgent, directory: pathlib.Path) -> t.Iterator[str]:
    """Relay the agent to a TCP port of the loopback."""
    log = directory / "socat.log"
    listen = "TCP-LISTEN:0,bind=127.0.0.1,fork"
    with running("socat", "-dd", listen, f"UNIX-CONNECT:{guest.socket_path}", log=log):
        port = until(lambda: re.search(rb"listening on .*:(\d+)", log.read_bytes()), log).group(1).decode()
        yield f"tcp:127.0.0.1:{port}"


@pytest.fixture
def serial(guest: SandboxedAgent, directory: pathlib.Path) -> t.Iterator[str]:
    """Relay the agent to a terminal in its usual mode, in which it would echo and translate."""
    log, link = directory / "socat.log", directory / "line"
    with running("socat", f"PTY,link={link}", f"UNIX-CONNECT:{guest.socket_path}", log=log):
        until(link.exists, log)
        # Unlike QEMU, socat ends when the last program closes the terminal.
        held = os.open(link, os.O_RDWR | os.O_NOCTTY)
        try:
            yield f"serial:{link}"
        finally:
            os.close(held)


@pytest.fixture
def sshd(directory: pathlib.Path) -> t.Iterator[Sshd]:
    """Run an ssh server on the loopback."""
    with Sshd(directory) as server:
        yield server


def relay_by(sshd: Sshd, *command: str) -> str:
    """Return the endpoint of a program on the server's side."""
    return f"exec:{shlex.join([*sshd.login, *command])}"


@pytest.fixture(params=["tcp", "serial", "ssh"])
def endpoint(request: pytest.FixtureRequest, guest: SandboxedAgent) -> str:
    """Return each kind of endpoint."""
    if request.param == "ssh":
        return relay_by(request.getfixturevalue("sshd"), "socat", "-", f"UNIX-CONNECT:{guest.socket_path}")
    return str(request.getfixturevalue(request.param))


@contextlib.contextmanager
def agent_at(endpoint: str, **options: t.Any) -> t.Iterator[Agent]:
    agent = Agent(StreamChannel(parse_connector(endpoint), **options))
    try:
        yield agent
    finally:
        agent.close()


def test_programs_and_files_at_every_endpoint(endpoint: str, deadline: Deadline, directory: pathlib.Path) -> None:
    source, target = directory / "source", directory / "target"
    source.write_bytes(os.urandom(300_000))
    # Twice: the first session must leave nothing behind that disturbs the second.
    for dummy in range(2):
        with agent_at(endpoint) as agent:
            assert agent.call("guest-ping", deadline=deadline) == {}
            files = Files(agent)
            with contextlib.closing(ProgramRunner(agent, files)) as runner:
                result = runner.run(["cat"], stdin=source.read_bytes(), deadline=deadline)
            assert (result.rc, result.stdout) == (0, source.read_bytes())
            files.put(str(source), "/tmp/copy", deadline=deadline)
            files.get("/tmp/copy", str(target), deadline=deadline)
            assert target.read_bytes() == source.read_bytes()


def test_forward_at_every_endpoint(
    endpoint: str, deadline: Deadline, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    get = "import urllib.request as u;print(len(u.urlopen('http://127.0.0.1:3128/500000').read()))"
    with agent_at(endpoint) as agent, serving() as port:
        files = Files(agent)
        forwarder = Forwarder(endpoint, agent, files, [Forward(3128, "127.0.0.1", port)])
        with contextlib.closing(ProgramRunner(agent, files)) as runner, forwarder.running(deadline):
            result = runner.run(["/usr/bin/python3", "-c", get], deadline=deadline)
    assert result.stdout == b"500000\n", result.stderr


def test_listening_agent_outlives_a_client_that_leaves_a_reply_unread(
    guest: SandboxedAgent, deadline: Deadline
) -> None:
    for dummy in range(3):
        transport = parse_connector(guest.endpoint).connect(deadline)
        transport.send(b'{"execute": "guest-get-osinfo"}', deadline)
        time.sleep(0.2)
        transport.close()
        with agent_at(guest.endpoint) as agent:
            assert agent.call("guest-ping", deadline=deadline) == {}


def test_tcp_relay_that_ends_during_a_call(guest: SandboxedAgent, directory: pathlib.Path, deadline: Deadline) -> None:
    listen = "TCP-LISTEN:0,bind=127.0.0.1"
    log = directory / "socat.log"
    with running("socat", "-dd", listen, f"UNIX-CONNECT:{guest.socket_path}", log=log) as relay:
        port = until(lambda: re.search(rb"listening on .*:(\d+)", log.read_bytes()), log).group(1).decode()

        def end(line: str) -> None:
            if line.startswith("guest-exec: "):
                relay.kill()
                relay.wait()

        with agent_at(f"tcp:127.0.0.1:{port}", log=end) as agent:
            with pytest.raises(OutcomeUnknown, match="the answer to guest-exec is lost"):
                ProgramRunner(agent, Files(agent)).run(["true"], deadline=deadline)
            with pytest.raises(EndpointUnavailable, match="nobody listens on the port"):
                agent.call("guest-ping", deadline=deadline)


def test_serial_line_that_another_program_has_locked(serial: str, deadline: Deadline) -> None:
    device = serial.partition(":")[2]
    holder = subprocess.Popen(
        ["flock", device, "sh", "-c", "echo locked; read line"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"locked\n"
        with agent_at(serial) as agent, pytest.raises(EndpointBusy, match="another program has the device locked"):
            agent.sync(Deadline.after(0.5))
        holder.communicate(b"\n")
    with agent_at(serial) as agent:
        assert agent.call("guest-ping", deadline=deadline) == {}


def test_ssh_login_that_is_refused(sshd: Sshd, deadline: Deadline) -> None:
    # The server permits what this file has.
    sshd.key.with_suffix(".pub").write_text("", encoding="utf-8")
    with (
        agent_at(relay_by(sshd, "true")) as agent,
        pytest.raises(ChannelClosed, match=r"It reported: .*Permission denied"),
    ):
        agent.sync(deadline)


def test_ssh_host_without_the_socket(sshd: Sshd, directory: pathlib.Path, deadline: Deadline) -> None:
    relay = relay_by(sshd, "socat", "-", f"UNIX-CONNECT:{directory}/missing")
    with agent_at(relay) as agent, pytest.raises(ChannelClosed, match=r"status 1\. It reported: .*No such file"):
        agent.sync(deadline)


def test_ssh_login_that_ends_during_a_call(sshd: Sshd, guest: SandboxedAgent, deadline: Deadline) -> None:
    logins = pathlib.Path(f"/proc/{sshd.pid}/task/{sshd.pid}/children")

    def end(line: str) -> None:
        if line.startswith("guest-file-open: "):
            for pid in map(int, logins.read_text(encoding="ascii").split()):
                os.kill(pid, signal.SIGKILL)
            while logins.read_text(encoding="ascii"):
                assert not deadline.passed
                time.sleep(0.02)
            os.kill(guest.pid, signal.SIGCONT)

    relay = relay_by(sshd, "socat", "-", f"UNIX-CONNECT:{guest.socket_path}")
    with agent_at(relay, log=end) as agent:
        agent.sync(deadline)
        # A stopped agent does not answer before the login has ended.
        os.kill(guest.pid, signal.SIGSTOP)
        with pytest.raises(OutcomeUnknown, match=r"the answer to guest-file-open is lost.*ended with status 255"):
            Files(agent).open("/etc/hostname", "r", deadline)
        # The next call logs in again.
        assert agent.call("guest-ping", deadline=deadline) == {}
