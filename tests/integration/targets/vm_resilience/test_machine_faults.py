# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A virtual machine that is paused, saved and restored, reset and destroyed, and libvirtd, while a program runs."""

from __future__ import annotations

import threading
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.plugins.module_utils.errors import FilesystemsFrozen
from ansible_collections.netless.qga.tests.integration.targets.vm_resilience.faulty_guest import Guest
from ansible_collections.netless.qga.tests.integration.targets.vm_resilience.observed_task import ObservedTask


def paused(guest: Guest) -> None:
    guest.virsh("suspend")
    threading.Timer(3, guest.virsh, ["resume"]).start()


@pytest.mark.parametrize("number", [1, *(pytest.param(number, marks=pytest.mark.by_hand) for number in range(2, 13))])
def test_paused_for_a_while(guest: Guest, task: ObservedTask, number: int) -> None:
    task.after_answer(number, lambda: paused(guest))
    result = task.run_program()
    task.check(result)
    assert isinstance(result, CompletedProcess), result


def test_libvirtd_is_killed(guest: Guest, task: ObservedTask) -> None:
    if guest.libvirtd is None:
        pytest.skip("libvirtd is not the lab's own")
    task.after_answer(2, guest.kill_libvirtd)
    result = task.run_program(seconds=4)
    task.check(result)
    assert isinstance(result, CompletedProcess), result


@pytest.mark.by_hand
@pytest.mark.parametrize("number", range(1, 13))
@pytest.mark.parametrize("restart", [Guest.kill_libvirtd, Guest.restart_libvirtd])
def test_libvirtd_ends_in_each_phase(
    guest: Guest, task: ObservedTask, restart: t.Callable[[Guest], None], number: int
) -> None:
    if guest.libvirtd is None:
        pytest.skip("libvirtd is not the lab's own")
    task.after_answer(number, lambda: restart(guest))
    task.check(task.run_program(seconds=1))


def test_snapshot_of_a_running_program(guest: Guest, task: ObservedTask) -> None:
    task.after_answer(2, lambda: guest.monitor("savevm running"))
    result = task.run_program(seconds=4)
    assert result == task.right_result
    # In the snapshot the program still runs. Its end must not pass for the end of another one.
    guest.monitor("loadvm running")
    guest.monitor("delvm running")


def test_return_to_a_snapshot_without_the_program(guest: Guest, task: ObservedTask) -> None:
    guest.monitor("savevm before")
    task.after_answer(3, lambda: guest.monitor("loadvm before"))
    result = task.run_program(seconds=4)
    guest.monitor("delvm before")
    task.check_unknown(result)


def test_frozen_while_a_program_runs(guest: Guest, task: ObservedTask) -> None:
    task.after_answer(2, lambda: guest.virsh("domfsfreeze"))
    try:
        result = task.run_program(seconds=2)
    finally:
        guest.virsh("domfsthaw")
    assert isinstance(result, FilesystemsFrozen), result
    task.check(result)


def reset(guest: Guest) -> None:
    guest.virsh("reset")


def destroy(guest: Guest) -> None:
    guest.virsh("destroy")


@pytest.mark.parametrize("end", [reset, pytest.param(destroy, marks=pytest.mark.by_hand)])
def test_ended_while_a_program_runs(guest: Guest, task: ObservedTask, end: t.Callable[[Guest], None]) -> None:
    task.after_answer(3, lambda: end(guest))
    result = task.run_program(seconds=4)
    task.check_unknown(result)
    if end is reset:
        guest.virsh("destroy")
    guest.resume_saved_state()


@pytest.mark.by_hand
@pytest.mark.parametrize("command", ["reset", "reboot"])
def test_boots_while_a_program_runs(guest: Guest, task: ObservedTask, command: str) -> None:
    task.after_answer(3, lambda: guest.virsh(command))
    result = task.run_program(seconds=20)
    task.check_unknown(result)
    guest.wait_until_up()
