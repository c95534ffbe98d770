# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets that tasks with no_log use: they are in no output, no log, no argument list, and no cache."""

from __future__ import annotations

import base64
import contextlib
import pathlib
import socket
import typing as t

import pytest

from ansible_collections.netless.qga.tests.guests.connection_processes import wait_until
from ansible_collections.netless.qga.tests.guests.planted_secrets import PlantedSecrets, Watcher, argument_lists
from ansible_collections.netless.qga.tests.guests.play_controller import Controller, Task
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent
from ansible_collections.netless.qga.tests.guests.trees import build

SECRETS = PlantedSecrets("copy", "stdin", "exec", "user", "file", "read", "error", "facts")


def tasks(directory: pathlib.Path) -> list[Task]:
    """Return tasks that send and receive each secret, also in vain."""
    written: list[Task] = [
        {"ansible.builtin.copy": {"content": SECRETS["copy"], "dest": "/root/copied", "mode": "0600"}},
        {"ansible.builtin.command": {"cmd": "cat", "stdin": SECRETS["stdin"]}},
        {"netless.qga.exec": {"argv": ["cat"], "stdin": SECRETS["exec"]}},
        {"netless.qga.file": {"path": "/root/written", "content": SECRETS["file"]}},
        {"ansible.builtin.fetch": {"src": "/root/read", "dest": f"{directory}/fetched/", "flat": True}},
        {"ansible.builtin.slurp": {"src": "/root/read"}},
        {"netless.qga.file_content_info": {"path": "/root/read"}},
        # The agent of a sandbox refuses this command.
        {"netless.qga.user_password": {"user": "root", "password": SECRETS["user"]}, "ignore_errors": True},
        {"ansible.builtin.copy": {"content": SECRETS["error"], "dest": "/nowhere/copied"}, "ignore_errors": True},
        {"netless.qga.file": {"path": "/nowhere/written", "content": SECRETS["error"]}, "ignore_errors": True},
        {"netless.qga.exec": {"argv": ["false"], "stdin": SECRETS["error"]}, "ignore_errors": True},
        {"ansible.builtin.setup": {"gather_subset": ["!all", "min"]}},
    ]
    return [{**task, "no_log": True} for task in written]


@contextlib.contextmanager
def system_log(guest: SandboxedAgent) -> t.Iterator[Watcher]:
    """Take what the agent and its programs write to the guest's system log."""
    path = pathlib.Path(f"/proc/{guest.pid}/root/dev/log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(path))
        path.chmod(0o666)
        log.setblocking(False)

        def messages() -> t.Iterator[bytes]:
            with contextlib.suppress(BlockingIOError):
                while True:
                    yield log.recv(1 << 20)

        try:
            with Watcher(SECRETS, messages) as watcher:
                yield watcher
        finally:
            path.unlink()


@pytest.fixture(name="guest", scope="module")
def fixture_guest() -> t.Iterator[SandboxedAgent]:
    with SandboxedAgent(build("bookworm")) as sandbox:
        pathlib.Path(f"/proc/{sandbox.pid}/root/root/read").write_text(SECRETS["read"], encoding="ascii")
        yield sandbox


@pytest.mark.parametrize("warm", [False, True])
def test_secrets_are_shown_nowhere(
    guest: SandboxedAgent, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, warm: bool
) -> None:
    controller = Controller(tmp_path, guest.endpoint)
    facts: Task = {"ansible.builtin.set_fact": {"secret": SECRETS["facts"]}, "no_log": True}
    with Watcher(SECRETS, argument_lists) as arguments, system_log(guest) as log:
        output = controller.run(*tasks(tmp_path), facts, ansible_qga_warm=warm, ansible_qga_persist=2, verbosity=5)
    assert arguments.seen and not arguments.leaked
    assert log.seen and not log.leaked
    assert "guest-file-write" in output
    assert SECRETS.leaked(bytes(output, "utf-8")) == []
    assert (tmp_path / "fetched" / "read").read_text(encoding="ascii") == SECRETS["read"]
    wait_until(lambda: not controller.processes(), 20)
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.name not in ("play.json", "read")]
    assert [path for path in left if SECRETS.leaked(path.read_bytes())] == []


def test_forms_are_found() -> None:
    secret = SECRETS["copy"]
    for around in ("", "a", "ab", "abc"):
        assert SECRETS.leaked(base64.b64encode(f"{around}{secret}{around}".encode())) == ["copy"]
    assert SECRETS.leaked(f"({secret})".encode()) == ["copy"]
