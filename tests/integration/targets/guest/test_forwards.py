# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Remote forwards into the guests of real agents: what programs get through them, and what becomes of failures."""

from __future__ import annotations

import contextlib
import hashlib
import pathlib
import re
import socket
import threading
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.address import parse_connector
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards import guest_end
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.destinations import Forward
from ansible_collections.netless.qga.plugins.module_utils._guest.forwards.forwarder import Forwarder
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.python_program import python_program
from ansible_collections.netless.qga.plugins.module_utils.errors import ForwardError, ProcessTimedOut
from ansible_collections.netless.qga.tests.guests.http_destination import content, serving
from ansible_collections.netless.qga.tests.guests.play_controller import Controller
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent
from ansible_collections.netless.qga.tests.guests.trees import SUITES, build

PORT = 3128
PYTHON = "/usr/bin/python3"
GET = "import sys,urllib.request as u;get=lambda path:u.urlopen('http://127.0.0.1:3128/'+path).read()\n"


class ForwardedGuest:
    """A guest, and programs in it that use a forward."""

    def __init__(self, sandbox: SandboxedAgent) -> None:
        self.sandbox = sandbox
        self.agent = Agent(StreamChannel(parse_connector(sandbox.endpoint)))
        self.files = Files(self.agent)
        self.programs = ProgramRunner(self.agent, self.files)
        self.lines: list[str] = []

    def forwarder(self, port: int) -> Forwarder:
        """Return the forward of the guest's port to one of the controller."""
        forwards = [Forward(PORT, "127.0.0.1", port)]
        return Forwarder(
            self.sandbox.endpoint, self.agent, self.files, forwards, log=self.lines.append, warn=self.lines.append
        )

    def run(self, *argv: str, seconds: float = 120) -> CompletedProcess:
        """Run a program in the guest."""
        return self.programs.run(argv, deadline=Deadline.after(seconds))

    def python(self, script: str, seconds: float = 120) -> str:
        """Run a script in the guest, and return what it wrote, also to standard error."""
        completed = self.run(PYTHON, "-c", GET + script, seconds=seconds)
        return (completed.stdout + completed.stderr).decode()

    def left(self) -> bytes:
        """Return what forwards have left in the guest."""
        script = (
            "ls -d /dev/shm/*.forwards /run/*.forwards /tmp/*.forwards 2>&-;grep -lx netless-qga /proc/[0-9]*/comm;:"
        )
        return self.run("/bin/sh", "-c", script).stdout


@pytest.fixture(name="sandbox", scope="module", params=(SUITES[0], SUITES[-1]))
def fixture_sandbox(request: pytest.FixtureRequest) -> t.Iterator[SandboxedAgent]:
    """Provide a guest of the oldest and of the newest suite."""
    with SandboxedAgent(build(request.param)) as sandbox:
        yield sandbox


@pytest.fixture(name="guest")
def fixture_guest(
    sandbox: SandboxedAgent, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> t.Iterator[ForwardedGuest]:
    """Provide the guest, and check that nothing is left in it at the end."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(guest_end, "LIMITS", {**guest_end.LIMITS, "idle": 1.0})
    guest = ForwardedGuest(sandbox)
    try:
        yield guest
        end = time.monotonic() + 45
        while left := guest.left():
            assert time.monotonic() < end, left
            time.sleep(0.2)
    finally:
        guest.programs.close()
        guest.agent.close()


@pytest.fixture(name="port", scope="module")
def fixture_port() -> t.Iterator[int]:
    """Provide the port of the server that forwards lead to."""
    with serving() as port:
        yield port


def test_large_file_arrives_in_both_directions(guest: ForwardedGuest, port: int) -> None:
    digest = hashlib.sha256(content(50_000_000)).hexdigest()
    with guest.forwarder(port).running(Deadline.after(60)):
        assert guest.python("import hashlib;print(hashlib.sha256(get('50000000')).hexdigest())") == f"{digest}\n"
        put = "d=get('100000')*100;r=u.Request('http://127.0.0.1:3128/',d,method='PUT');print(u.urlopen(r).read().decode())"
        assert guest.python(put) == f"{hashlib.sha256(content(100_000) * 100).hexdigest()}\n"


@pytest.mark.parametrize("chunk", [1_000_000, 3000])
def test_fifo_that_holds_little_is_never_full(
    guest: ForwardedGuest, port: int, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    def with_small_fifo(package: str, files: tuple[str, ...]) -> str:
        program = python_program(package, files)
        assert program.count("_PIPE_SIZE = 1024 * 1024") == 1
        return program.replace("_PIPE_SIZE = 1024 * 1024", "_PIPE_SIZE = 64 * 1024")

    monkeypatch.setattr(guest_end, "python_program", with_small_fifo)
    monkeypatch.setattr(type(guest.agent), "chunk", chunk)
    with guest.forwarder(port).running(Deadline.after(60)):
        digest = hashlib.sha256(content(4_000_000)).hexdigest()
        assert guest.python("import hashlib;print(hashlib.sha256(get('4000000')).hexdigest())") == f"{digest}\n"
        at_once = (
            "import concurrent.futures as c\nwith c.ThreadPoolExecutor(20) as p:\n"
            " print(sum(map(len,p.map(lambda n:get('20000'),range(20)))))"
        )
        assert guest.python(at_once) == "400000\n"
    assert not any("interrupted" in line for line in guest.lines)


def test_many_connections_one_after_another_and_at_once(guest: ForwardedGuest, port: int) -> None:
    with guest.forwarder(port).running(Deadline.after(60)):
        assert guest.python("print(sum(len(get('7')) for n in range(200)))") == "1400\n"
        at_once = (
            "import concurrent.futures as c\nwith c.ThreadPoolExecutor(50) as p:\n"
            " print(sum(map(len,p.map(lambda n:get('20000'),range(50)))))"
        )
        assert guest.python(at_once) == "1000000\n"
    assert sum("bytes from the guest" in line for line in guest.lines) == 250


def test_port_listens_only_while_a_command_runs(guest: ForwardedGuest, port: int) -> None:
    assert "Connection refused" in guest.python("get('1')")
    with guest.forwarder(port).running(Deadline.after(60)):
        assert guest.python("print(len(get('1')))") == "1\n"
        other = "import socket\nsocket.create_connection(('127.0.0.2',3128))"
        assert "Connection refused" in guest.python(other)
    assert "Connection refused" in guest.python("get('1')")


def test_destination_that_resets_or_refuses(guest: ForwardedGuest, port: int) -> None:
    with guest.forwarder(port).running(Deadline.after(60)):
        assert re.search("Connection reset|RemoteDisconnected", guest.python("get('reset')"))
        assert guest.python("print(len(get('1')))") == "1\n"
    with socket.create_server(("127.0.0.1", 0)) as server:
        refusing = int(server.getsockname()[1])
    with guest.forwarder(refusing).running(Deadline.after(60)):
        assert "Connection reset" in guest.python("get('1')")
    assert any("not connected: Connection refused" in line for line in guest.lines)


@pytest.mark.parametrize("path", ["hang", "forever"])
def test_program_that_is_killed_at_its_deadline_leaves_no_connection(
    guest: ForwardedGuest, port: int, path: str
) -> None:
    with guest.forwarder(port).running(Deadline.after(60)):
        with pytest.raises(ProcessTimedOut, match="was killed"):
            guest.python(f"get('{path}')", seconds=2)
        assert guest.python("print(len(get('1')))") == "1\n"
    assert "Connection refused" in guest.python("get('1')")


def test_slow_destination_does_not_hold_up_others(guest: ForwardedGuest, port: int) -> None:
    script = (
        "import threading\nfor n in range(5): threading.Thread(target=get,args=['hang'],daemon=True).start()\n"
        "print(len(get('1')))"
    )
    with guest.forwarder(port).running(Deadline.after(60)):
        assert guest.python(script) == "1\n"


def test_restart_of_the_agent_does_not_change_the_result(guest: ForwardedGuest, port: int) -> None:
    def restart() -> None:
        time.sleep(1.5)
        guest.sandbox.kill_agent()
        guest.sandbox.start_agent(is_shared=True)

    script = (
        "import time\nfailed=0\nuntil=time.time()+20\n"
        "while time.time()<until and failed<2:\n"
        " try: get('1000'); failed=2*(failed>0)\n except OSError: failed=1; time.sleep(.2)\n time.sleep(.05)\n"
        "print(failed)"
    )
    thread = threading.Thread(target=restart)
    thread.start()
    with guest.forwarder(port).running(Deadline.after(60)):
        # It got answers, then failed, and then got answers again.
        assert guest.python(script) == "2\n"
    thread.join()
    assert any("were interrupted" in line for line in guest.lines)


@pytest.mark.parametrize(
    "prefix", [("sudo", "-n", "-u", "nobody"), ("su", "-s", "/bin/sh", "nobody", "-c")], ids=["sudo", "su"]
)
def test_other_users_reach_the_port(guest: ForwardedGuest, port: int, prefix: tuple[str, ...]) -> None:
    words = [PYTHON, "-c", GET + "print(len(get('9')))"]
    if prefix[-1] == "-c":
        words = [f'{words[0]} -c "{words[2]}"']
    with guest.forwarder(port).running(Deadline.after(60)):
        completed = guest.run(*prefix, *words)
    assert completed.stdout == b"9\n", completed.stderr


def test_port_that_is_in_use_is_named(guest: ForwardedGuest, port: int) -> None:
    script = f"exec {PYTHON} -c 'import socket,time;s=socket.create_server((\"127.0.0.1\",{PORT}));time.sleep(30)'"
    guest.run("/bin/sh", "-c", f"({script}) </dev/null >/dev/null 2>&1 & sleep 1")
    try:
        with (
            pytest.raises(ForwardError, match=rf"127\.0\.0\.1:{PORT}: Address already in use"),
            guest.forwarder(port).running(Deadline.after(60)),
        ):
            pytest.fail("the command was run")
    finally:
        guest.run("/bin/sh", "-c", "kill $(grep -l 'time.sleep(30)' /proc/[0-9]*/cmdline|cut -d/ -f3);:")


def test_end_of_the_guests_program_is_noticed(guest: ForwardedGuest, port: int) -> None:
    with guest.forwarder(port).running(Deadline.after(60)):
        assert guest.python("print(len(get('1')))") == "1\n"
        guest.run("/bin/sh", "-c", "rm -rf /dev/shm/*.forwards")
        time.sleep(1)
        assert "Connection refused" in guest.python("get('1')")


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_module_downloads_through_the_forward_in_a_play(
    sandbox: SandboxedAgent, port: int, tmp_path: pathlib.Path, warm: bool
) -> None:
    controller = Controller(tmp_path, sandbox.endpoint)
    size = 3_000_000
    digest = hashlib.sha256(content(size)).hexdigest()
    get: dict[str, t.Any] = {
        "ansible.builtin.get_url": {
            "url": f"http://mirror.example.com/{size}",
            "dest": "/root/downloaded",
            "checksum": f"sha256:{digest}",
            "force": True,
        },
        "environment": {"http_proxy": f"http://127.0.0.1:{PORT}"},
        "vars": {"ansible_qga_remote_forwards": [f"{PORT}:127.0.0.1:{port}"], "ansible_qga_warm": warm},
    }
    alone = {"ansible.builtin.raw": f"! {PYTHON} -c 'import socket;socket.create_connection((\"127.0.0.1\",{PORT}))'"}
    # The first item uses the program that is there, and both share a connection.
    each = {
        **get,
        "environment": {"http_proxy": "http://127.0.0.1:{{ item }}"},
        "loop": [PORT, PORT + 1],
        "vars": {**get["vars"], "ansible_qga_remote_forwards": [f"{{{{ item }}}}:127.0.0.1:{port}"]},
    }
    output = controller.run(get, each, alone, verbosity=3)
    assert "changed=" in output and f"FORWARD 127.0.0.1:{PORT} to 127.0.0.1:{port}: " in output
    assert ("WARM " in output) is warm
    # What the play has left goes when the process that keeps the channel sees its end.
    guest = ForwardedGuest(sandbox)
    with contextlib.closing(guest.agent), contextlib.closing(guest.programs):
        end = time.monotonic() + 30
        while left := guest.left():
            assert time.monotonic() < end, left
            time.sleep(0.2)
