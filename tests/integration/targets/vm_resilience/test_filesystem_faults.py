# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest whose file systems are full or read-only while programs run and files are copied."""

from __future__ import annotations

import contextlib
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.plugins.module_utils.errors import GuestFileError, QgaError
from ansible_collections.netless.qga.tests.integration.targets.vm_resilience.faulty_guest import Guest
from ansible_collections.netless.qga.tests.integration.targets.vm_resilience.observed_task import ObservedTask

pytestmark = pytest.mark.by_hand

# What to do to the guest, and how to undo it.
FILL = "head -c 100G /dev/zero >{0}/fill 2>&- || :"
EMPTY = "rm -f {0}/fill"
# Most of a disk is filled without writing it. fallocate fails at the end, because its own records need room, too.
FILL_DISK = (
    "fallocate -l $(($(stat -f -c '%f * %S' /))) /fill 2>&- || :; head -c 100M /dev/zero >/fill2 2>&- || :; sync"
)
EMPTY_DISK = "rm -f /fill /fill2"


@contextlib.contextmanager
def changed(guest: Guest, change: str, undo: str) -> t.Iterator[None]:
    try:
        guest.shell(change)
        yield
    finally:
        guest.shell(undo)


def assert_refused(error: QgaError | None, reason: str) -> None:
    assert isinstance(error, GuestFileError) and reason in str(error), error


def test_disk_is_full(guest: Guest, task: ObservedTask) -> None:
    with changed(guest, FILL_DISK, EMPTY_DISK):
        assert_refused(task.transfer(), "No space left")
        result = task.run_program()
    # The program could not count its execution, and reports everything else.
    assert isinstance(result, CompletedProcess) and result.rc == 7 and result.stdout == task.right_result.stdout


def test_shared_memory_is_full(guest: Guest, task: ObservedTask) -> None:
    with changed(guest, FILL.format("/dev/shm"), EMPTY.format("/dev/shm")):
        assert task.run_program() == task.right_result


def test_run_is_full(guest: Guest, task: ObservedTask) -> None:
    with changed(guest, FILL.format("/run"), EMPTY.format("/run")):
        result = task.run_program()
    # The agent then opens no file in which it could read the output.
    assert isinstance(result, CompletedProcess) or "/run in the guest full" in str(result), result
    task.check(result)


def test_root_is_read_only(guest: Guest, task: ObservedTask) -> None:
    # The kernel also does this while files are open for writing, as after an error of the disk.
    guest.shell("echo u >/proc/sysrq-trigger; sleep 1")
    try:
        assert_refused(task.transfer(), "Read-only")
        result = task.run_program()
    finally:
        # The kernel may refuse to make it writable again: files that are deleted and still open are in the way.
        guest.virsh("destroy")
        guest.resume_saved_state()
    assert isinstance(result, CompletedProcess) and result.rc == 7 and result.stdout == task.right_result.stdout
