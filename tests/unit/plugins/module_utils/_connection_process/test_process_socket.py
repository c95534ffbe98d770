# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sockets of connection processes, and how the processes start."""

from __future__ import annotations

import os
import pathlib
import stat
import subprocess
import sys
import threading
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._connection_process import process_socket
from ansible_collections.netless.qga.plugins.module_utils._connection_process.process_socket import ProcessSocket
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointUnavailable
from ansible_collections.netless.qga.tests.guests.connection_processes import end_all

from .conftest import Share


def path_of(*parameters: str) -> str:
    return ProcessSocket(Address(*parameters)).path


def test_address_has_a_socket_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [
        path_of("libvirt", "web1", "qemu:///system"),
        path_of("libvirt", "web2", "qemu:///system"),
        path_of("libvirt", "web1", "qemu:///session"),
        path_of("libvirt:other", "web1", "qemu:///system"),
        path_of("unix:/run/a"),
        path_of("exec:socat - UNIX:/run/a"),
    ]
    assert len(set(paths)) == len(paths)
    assert path_of("unix:/run/a", "web1") == path_of("unix:/run/a", "web2")
    monkeypatch.setattr(sys, "executable", "/other/python")
    assert path_of("unix:/run/a") != paths[4]


@pytest.mark.parametrize(
    ("parameters", "differs"),
    [
        (("unix:/run/a",), False),
        (("tcp:localhost:1",), False),
        (("exec:relay",), True),
        (("libvirt", "web1"), True),
    ],
)
def test_environment_matters_to_programs_and_libvirt(
    monkeypatch: pytest.MonkeyPatch, parameters: tuple[str, ...], differs: bool
) -> None:
    before = path_of(*parameters)
    monkeypatch.setenv("SHLVL", "7")
    assert path_of(*parameters) == before
    monkeypatch.setenv("SSH_AUTH_SOCK", "/tmp/other")
    assert (path_of(*parameters) != before) is differs


@pytest.mark.parametrize(
    ("parameters", "stays"),
    [
        (("unix:/run/a",), False),
        (("unix:run/a",), True),
        (("serial:ttyS0",), True),
        (("exec:relay",), True),
        (("libvirt", "web1", "qemu:///system"), False),
        (("libvirt", "web1", "qemu+ssh://hv/system?keyfile=key"), True),
    ],
)
def test_current_directory_matters_to_relative_paths(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, parameters: tuple[str, ...], stays: bool
) -> None:
    before = path_of(*parameters)
    monkeypatch.chdir(tmp_path)
    assert ProcessSocket(Address(*parameters)).cwd == (str(tmp_path) if stays else "/")
    assert (path_of(*parameters) != before) is stays


def test_only_the_user_can_reach_the_socket(
    share: Share, path: str, sockets: t.Callable[[], list[pathlib.Path]]
) -> None:
    share(path).sync(Deadline.after(10))
    (found,) = sockets()
    assert stat.S_IMODE(found.stat().st_mode) == 0o600
    assert stat.S_IMODE(found.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("length", [1, 80])
def test_path_of_the_runtime_directory_may_be_long(
    share: Share, path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, length: int
) -> None:
    runtime = tmp_path / ("d" * length) / ("e" * length)
    runtime.mkdir(parents=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    for dummy in range(2):
        channel = share(path)
        channel.sync(Deadline.after(10))
        channel.close()
    assert len(list(runtime.glob("netless-qga-*/*.sock"))) == 1
    end_all(runtime)


def test_many_tasks_start_one_process(share: Share, path: str, processes: t.Callable[[], list[int]]) -> None:
    channels = [share(path) for dummy in range(8)]
    threads = [threading.Thread(target=channel.sync, args=[Deadline.after(20)]) for channel in channels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(processes()) == 1


def test_process_has_a_session_of_its_own_and_no_files_of_the_task(
    share: Share, path: str, processes: t.Callable[[], list[int]]
) -> None:
    reading, writing = os.pipe()
    try:
        os.set_inheritable(writing, True)
        share(path).sync(Deadline.after(10))
    finally:
        os.close(writing)
    (pid,) = processes()
    assert os.getsid(pid) != os.getsid(0)
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert {os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1, 2)} == {"/dev/null"}
    # Nobody else has the pipe open.
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_program_that_cannot_start_is_unreachable(
    share: Share, path: str, monkeypatch: pytest.MonkeyPatch, sockets: t.Callable[[], list[pathlib.Path]]
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(EndpointUnavailable, match=r"cannot start the connection process: No such file.*persist to 0"):
        share(path).sync(Deadline.after(5))
    assert sockets() == []


def test_program_that_ends_at_once_is_unreachable(share: Share, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(EndpointUnavailable, match="ends as soon as it is started"):
        share(path).sync(Deadline.after(5))


def test_process_of_another_user_is_refused(share: Share, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    share(path).sync(Deadline.after(10))
    # The directory is checked, too; here it is the process that must be refused.
    directory = next(pathlib.Path(os.environ["XDG_RUNTIME_DIR"]).glob("netless-qga-*"))
    monkeypatch.setattr(process_socket, "runtime_directory", lambda: str(directory))
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(EndpointUnavailable, match="runs as the user"):
        share(path).sync(Deadline.after(5))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_task_of_another_user_gets_no_answer(
    share: Share, path: str, sockets: t.Callable[[], list[pathlib.Path]]
) -> None:
    channel = share(path)
    channel.sync(Deadline.after(10))
    (found,) = sockets()
    # The socket as another user can reach it once somebody has changed the modes.
    found.parent.chmod(0o711)
    found.chmod(0o666)
    program = (
        "import os, socket, sys\n"
        "os.chdir(sys.argv[1]); os.seteuid(65534)\n"
        "connection = socket.socket(socket.AF_UNIX)\n"
        "connection.connect(sys.argv[2])\n"
        "print(connection.recv(100))\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", program, str(found.parent), found.name],
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
    ).stdout
    assert output == "b''\n"
    channel.sync(Deadline.after(10))
