# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plays that end with SIGKILL, with all of their processes but the one that keeps the channel open."""

from __future__ import annotations

import os
import pathlib
import signal

import pytest

from ansible_collections.netless.qga.tests.guests.connection_processes import wait_until
from ansible_collections.netless.qga.tests.guests.play_controller import Controller, Task
from ansible_collections.netless.qga.tests.integration.targets.vm_resilience.faulty_guest import NAME, Guest
from ansible_collections.netless.qga.tests.integration.targets.vm_resilience.observed_task import ObservedTask
from ansible_collections.netless.qga.tests.lab.libvirt_daemons import URI

PHASES: dict[str, str] = {
    "connecting": "TASK [",
    "starting": "guest-exec: ",
    "running": "guest-exec-status: ",
    "copying": "guest-file-write: ",
}
"""What Ansible logs in each phase."""


def kill_all_of(play: int) -> None:
    """Kill a play and its workers, each of which has a session of its own.

    :param play: the process ID of the play.
    """
    os.kill(play, signal.SIGSTOP)
    workers = pathlib.Path(f"/proc/{play}/task/{play}/children").read_text(encoding="ascii").split()
    for pid in (play, *map(int, workers)):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.by_hand
@pytest.mark.parametrize("logged", PHASES.values(), ids=PHASES)
def test_killed(guest: Guest, task: ObservedTask, tmp_path: pathlib.Path, logged: str) -> None:
    controller = Controller(tmp_path, "libvirt")
    tasks: list[Task] = [
        {"ansible.builtin.copy": {"content": "x" * 1_000_000, "dest": "/root/copied", "mode": "0600"}}
        if logged.startswith("guest-file")
        else {"ansible.builtin.raw": f"echo run >>/root/{tmp_path.name}; sleep 5"}
    ]
    log = tmp_path / "log"
    variables = {"ansible_host": NAME, "ansible_libvirt_uri": URI}
    with controller.start(*tasks, verbosity=5, ansible_qga_persist=2, **variables) as play:
        wait_until(lambda: log.exists() and logged in log.read_text(encoding="utf-8"), 120)
        kill_all_of(play.pid)
        play.communicate(timeout=60)
    assert play.returncode == -signal.SIGKILL
    wait_until(lambda: not controller.processes(), 60)
    task.check(task.run_program())
    assert guest.shell(f"cat /root/{tmp_path.name} || :").split() in ([], ["run"])
