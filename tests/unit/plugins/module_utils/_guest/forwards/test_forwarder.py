# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Forwards into a guest that is this machine: connections, destinations that fail, and what is left."""

from __future__ import annotations

import ast
import collections
import contextlib
import os
import pathlib
import signal
import socket
import threading
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards import forwarder as forwarders
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards import guest_end
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards import session as sessions
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.destinations import Forward
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.forwarder import Forwarder
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.python_program import python_program
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES
from ansible_collections.netless.qga.plugins.module_utils.errors import ForwardError

from ..local_guest import LocalGuest


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Echo:
    """A server that returns what it receives, in capitals."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = int(self.server.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self.server.accept()[0]
                threading.Thread(target=self._answer, args=[connection], daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(100_000):
                connection.sendall(data.upper())


@pytest.fixture(name="echo")
def fixture_echo() -> t.Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.server.close()


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Let the guest's end go soon, and keep the records apart."""
    monkeypatch.setattr(guest_end, "LIMITS", {**guest_end.LIMITS, "idle": 1.0, "lease": 10.0})
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


class Forwarding:
    """A forward, and programs that use it."""

    def __init__(self, agent: Agent, files: Files) -> None:
        self.agent = agent
        self._files = files
        self.port = free_port()
        self.lines: list[str] = []

    def to(self, port: int) -> Forwarder:
        forward = Forward(self.port, "127.0.0.1", port)
        return Forwarder("guest", self.agent, self._files, [forward], log=self.lines.append, warn=self.lines.append)

    def use(self, program: t.Callable[[], t.Any]) -> t.Any:
        """Run something that a program in the guest would do, while the controller waits for it."""
        results: list[t.Any] = []

        def run() -> None:
            try:
                results.append(program())
            except OSError as exc:
                results.append(exc)

        thread = threading.Thread(target=run)
        thread.start()
        deadline = Deadline.after(30)
        while thread.is_alive() and not deadline.passed:
            self.agent.pause(0.02, deadline)
        thread.join(0)
        return results[0]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self, text: bytes) -> bytes:
        with self.connect() as connection:
            connection.sendall(text)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(100_000), b""))

    def directories(self) -> list[pathlib.Path]:
        return [path for base in BASES for path in pathlib.Path(base).glob("netless-qga.*.forwards")]


@pytest.fixture(name="forwarding")
def fixture_forwarding(agent: Agent, files: Files) -> t.Iterator[Forwarding]:
    """Provide a forward, and check that nothing is left of it at the end."""
    forwarding = Forwarding(agent, files)
    before = set(forwarding.directories())
    yield forwarding
    end = time.monotonic() + 15
    while set(forwarding.directories()) - before:
        assert time.monotonic() < end, "the guest's end does not go"
        time.sleep(0.1)


def test_connection_reaches_its_destination(forwarding: Forwarding, echo: Echo) -> None:
    with forwarding.to(echo.port).running(Deadline.after(30)):
        assert forwarding.use(lambda: forwarding.ask(b"hello")) == b"HELLO"
        content = os.urandom(200_000).hex().encode()
        assert forwarding.use(lambda: forwarding.ask(content)) == content.upper()
    shown = f"FORWARD 127.0.0.1:{forwarding.port} to 127.0.0.1:{echo.port}: 5 bytes from the guest, 5 bytes to it"
    assert any(line.startswith(shown) for line in forwarding.lines)
    assert not any("HELLO" in line or "hello" in line for line in forwarding.lines)


def test_port_refuses_before_and_after(forwarding: Forwarding, echo: Echo) -> None:
    forwarder = forwarding.to(echo.port)
    with pytest.raises(ConnectionRefusedError):
        forwarding.connect()
    for dummy in range(2):
        with forwarder.running(Deadline.after(30)):
            assert forwarding.use(lambda: forwarding.ask(b"x")) == b"X"
        with pytest.raises(ConnectionRefusedError):
            forwarding.connect()


def test_program_in_the_guest_is_used_again(forwarding: Forwarding, echo: Echo, guest: LocalGuest) -> None:
    for dummy in range(3):
        with forwarding.to(echo.port).running(Deadline.after(30)):
            assert forwarding.use(lambda: forwarding.ask(b"x")) == b"X"
    assert len(guest.calls("guest-exec")) == 1


def test_program_that_has_gone_is_started_again(forwarding: Forwarding, echo: Echo) -> None:
    for dummy in range(2):
        with forwarding.to(echo.port).running(Deadline.after(30)):
            assert forwarding.use(lambda: forwarding.ask(b"x")) == b"X"
        end = time.monotonic() + 10
        while forwarding.directories():
            assert time.monotonic() < end
            time.sleep(0.1)


def test_program_that_was_killed_is_replaced(
    forwarding: Forwarding, echo: Echo, guest: LocalGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarders, "_KEPT_TIMEOUT", 0.5)
    before = set(forwarding.directories())
    with forwarding.to(echo.port).running(Deadline.after(30)):
        assert forwarding.use(lambda: forwarding.ask(b"x")) == b"X"
    (directory,) = set(forwarding.directories()) - before
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if any(os.readlink(entry.path) == f"{directory}/in" for entry in os.scandir(f"/proc/{pid}/fd")):
                os.kill(int(pid), signal.SIGKILL)
    with forwarding.to(echo.port).running(Deadline.after(30)):
        assert forwarding.use(lambda: forwarding.ask(b"x")) == b"X"
    assert not directory.exists()


def test_many_connections_at_once(forwarding: Forwarding, echo: Echo) -> None:
    def ask_all() -> list[bytes]:
        connections = [forwarding.connect() for dummy in range(50)]
        for number, connection in enumerate(connections):
            connection.sendall(b"a%d" % number)
        received = [connection.recv(100) for connection in connections]
        for connection in connections:
            connection.close()
        return received

    with forwarding.to(echo.port).running(Deadline.after(30)):
        assert forwarding.use(ask_all) == [b"A%d" % number for number in range(50)]


def test_destination_that_refuses_resets_the_connection(forwarding: Forwarding) -> None:
    with forwarding.to(free_port()).running(Deadline.after(30)):
        assert isinstance(forwarding.use(lambda: forwarding.ask(b"x")), ConnectionResetError)
    assert any("not connected: Connection refused" in line for line in forwarding.lines)


def test_destination_that_never_answers_does_not_hold_up_others(
    forwarding: Forwarding, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = threading.Event()
    connects: list[t.Any] = [lambda *dummy, **options: waits.wait(20)]
    usual = socket.create_connection

    def connect(address: tuple[str, int], **options: t.Any) -> t.Any:
        if address[1] == echo.port and connects:
            return connects.pop()()
        return usual(address, **options)

    with forwarding.to(echo.port).running(Deadline.after(30)):
        monkeypatch.setattr(socket, "create_connection", connect)
        with forwarding.connect() as stuck:
            forwarding.use(lambda: time.sleep(0.3))
            assert forwarding.use(lambda: forwarding.ask(b"x")) == b"X"
            stuck.setblocking(False)
            with pytest.raises(BlockingIOError):
                stuck.recv(1)
    waits.set()


def test_port_in_use_is_an_error_before_anything_runs(forwarding: Forwarding, echo: Echo) -> None:
    with (
        socket.create_server(("127.0.0.1", forwarding.port)),
        pytest.raises(ForwardError, match=f"cannot listen on 127.0.0.1:{forwarding.port}: Address already in use"),
        forwarding.to(echo.port).running(Deadline.after(30)),
    ):
        pytest.fail("the command was run")
    assert forwarding.agent.while_waiting is None


def test_guest_without_python_is_an_error(forwarding: Forwarding, echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    script = guest_end._START.replace("python3", "no-such-python")  # pylint: disable=protected-access
    monkeypatch.setattr(guest_end, "_START", script.replace("/usr/libexec/platform-python", ""))
    with (
        pytest.raises(ForwardError, match=r"need Python .* in the guest, and the guest has none"),
        forwarding.to(echo.port).running(Deadline.after(30)),
    ):
        pytest.fail("the command was run")


def test_forward_stays_while_a_long_file_is_copied(
    forwarding: Forwarding, echo: Echo, files: Files, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest_end, "LIMITS", {**guest_end.LIMITS, "lease": 2.0})
    monkeypatch.setattr(sessions, "_KEEPALIVE_INTERVAL", 0.2)
    with forwarding.to(echo.port).running(Deadline.after(30)):
        end = time.monotonic() + 4
        while time.monotonic() < end:
            files.write_bytes(str(tmp_path / "copied"), b"x", deadline=Deadline.after(30))
            time.sleep(0.05)
        assert forwarding.use(lambda: forwarding.ask(b"x")) == b"X"
    assert not any("interrupted" in line for line in forwarding.lines)


def test_older_python_leaves_the_program_to_the_next_one(
    forwarding: Forwarding, echo: Echo, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\nexit 9\n", encoding="ascii")
    old.chmod(0o700)
    # pylint: disable-next=protected-access
    monkeypatch.setattr(guest_end, "_START", guest_end._START.replace("for p in", f"for p in {old}"))
    with forwarding.to(echo.port).running(Deadline.after(30)):
        assert forwarding.use(lambda: forwarding.ask(b"x")) == b"X"


def test_lost_session_ends_its_connections_and_another_one_begins(
    forwarding: Forwarding, echo: Echo, guest: LocalGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarders, "_RETRY_AFTER", 0.1)

    def lose_files() -> None:
        """Forget the open files, as a restarted agent does."""
        for handle in list(guest.handles):
            os.close(guest.handles.pop(handle))

    def ask_until_answered() -> bytes:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                return forwarding.ask(b"x")
            time.sleep(0.1)
        return b""

    with forwarding.to(echo.port).running(Deadline.after(30)), forwarding.connect() as connection:
        forwarding.use(lambda: time.sleep(0.3))
        lose_files()
        # The program in the guest resets its connections when its directory is gone.
        ended = forwarding.use(lambda: connection.recv(1))
        assert ended == b"" or isinstance(ended, ConnectionResetError)
        assert forwarding.use(ask_until_answered) == b"X"
    assert sum("were interrupted" in line for line in forwarding.lines) == 1


def test_agent_waits_as_usual_without_forwards(agent: Agent) -> None:
    assert agent.while_waiting is None
    start = time.monotonic()
    agent.pause(0.05, Deadline.after(10))
    assert time.monotonic() - start >= 0.05


def _program() -> ast.Module:
    # pylint: disable-next=protected-access
    return ast.parse(python_program(guest_end._PACKAGE, guest_end._FILES), feature_version=(3, 8))


def test_files_of_the_program_define_no_name_twice() -> None:
    names = [node.name for node in _program().body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    for node in _program().body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                names += [name.id for name in ast.walk(target) if isinstance(name, ast.Name)]
    assert [name for name, count in collections.Counter(names).items() if count > 1] == []


def test_program_fits_into_a_pipe() -> None:
    # pylint: disable-next=protected-access
    assert len(python_program(guest_end._PACKAGE, guest_end._FILES)) < 32 * 1024
