# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets of a play are in no journal, no file and no argument list of a guest that runs systemd."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.tests.guests.connection_processes import wait_until
from ansible_collections.netless.qga.tests.guests.planted_secrets import PlantedSecrets, Watcher, argument_lists
from ansible_collections.netless.qga.tests.guests.play_controller import Controller, Task
from ansible_collections.netless.qga.tests.guests.trees import SUDO_PASSWORD_USER
from ansible_collections.netless.qga.tests.integration.targets.vm_resilience.faulty_guest import NAME, Guest
from ansible_collections.netless.qga.tests.lab.libvirt_daemons import URI

SECRETS = PlantedSecrets("copy", "stdin", "exec", "password", "file", "environment", "error")

# Notes the arguments of all processes until the file disappears.
_WATCH = """\
cd /root; : >watching
while [ -e watching ]; do cat /proc/[0-9]*/cmdline 2>&-; echo; sleep 0.05; done >arguments
"""
_COLLECT = """\
rm /root/watching
journalctl --output=export --since=@{start}
cat /root/arguments
find /run /dev/shm /tmp /var/log /var/tmp -xdev -type f -exec cat {{}} + 2>&1
"""


def tasks() -> list[Task]:
    """Return tasks that use each secret, also in vain."""
    become = {
        "ansible_become_user": SUDO_PASSWORD_USER,
        "ansible_become_method": "ansible.builtin.su",
        "ansible_become_password": SECRETS["password"],
    }
    written: list[Task] = [
        {"netless.qga.user_password": {"user": SUDO_PASSWORD_USER, "password": SECRETS["password"]}},
        {"ansible.builtin.raw": "id -un", "become": True, "vars": become},
        {"ansible.builtin.copy": {"content": SECRETS["copy"], "dest": "/root/copied", "mode": "0600"}},
        {"ansible.builtin.command": {"cmd": "cat", "stdin": SECRETS["stdin"]}},
        {"netless.qga.exec": {"argv": ["cat"], "stdin": SECRETS["exec"]}},
        {"netless.qga.exec": {"argv": ["env"], "env": {"SECRET": SECRETS["environment"]}}},
        {"netless.qga.file": {"path": "/root/written", "content": SECRETS["file"]}},
        {"netless.qga.file_content_info": {"path": "/root/written"}},
        {"ansible.builtin.slurp": {"src": "/root/copied"}},
        {"netless.qga.exec": {"argv": ["false"], "stdin": SECRETS["error"]}, "ignore_errors": True},
        {"ansible.builtin.copy": {"content": SECRETS["error"], "dest": "/nowhere/copied"}, "ignore_errors": True},
    ]
    return [{**task, "no_log": True} for task in written]


def read_everything(guest: Guest, start: str) -> bytes:
    """Return the journal since a time, the arguments of processes, and what is in files that others may read."""
    agent = Target(Address(guest.helper)).agent(native_calls=False, validate_replies=False)
    runner = ProgramRunner(agent, Files(agent))
    try:
        result = runner.run(["sh", "-c", _COLLECT.format(start=start)], deadline=Deadline.after(120))
    finally:
        runner.close()
        agent.close()
    assert b"__REALTIME_TIMESTAMP" in result.stdout and b"qemu-ga" in result.stdout
    return result.stdout


@pytest.mark.by_hand
@pytest.mark.parametrize("warm", [False, True])
def test_secrets_are_nowhere_in_the_guest(guest: Guest, tmp_path: pathlib.Path, warm: bool) -> None:
    start = guest.shell("date +%s").strip()
    guest.shell(f"setsid sh -c '{_WATCH}' >/dev/null 2>&1 &")
    variables: dict[str, t.Any] = {"ansible_host": NAME, "ansible_libvirt_uri": URI, "ansible_qga_warm": warm}
    controller = Controller(tmp_path, "libvirt")
    with Watcher(SECRETS, argument_lists) as arguments:
        output = controller.run(*tasks(), verbosity=5, ansible_qga_persist=2, **variables)
    assert arguments.seen and not arguments.leaked
    assert "guest-file-write" in output
    assert SECRETS.leaked(bytes(output, "utf-8")) == []
    # The interpreter that was kept ends soon after the play, and with it the results that only its user can read.
    wait_until(lambda: not guest.shell("ls -d /*/netless-qga.*.warm /dev/shm/netless-qga.*.warm 2>&- || :"))
    found = read_everything(guest, start)
    assert SECRETS.leaked(found) == [], len(found)
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "play.json"]
    assert [path for path in left if SECRETS.leaked(path.read_bytes())] == []
