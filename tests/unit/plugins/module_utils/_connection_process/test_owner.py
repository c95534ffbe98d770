# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The owner of a channel."""

from __future__ import annotations

import os
import subprocess

from ansible_collections.netless.qga.plugins.module_utils._connection_process.owner import is_alive, owner_of


def test_process_is_alive_until_it_ends() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        owner = owner_of(process.pid)
        assert is_alive(owner) and owner[1] > 0
        process.communicate()
    assert not is_alive(owner)


def test_zombie_is_not_alive() -> None:
    process = subprocess.Popen(["true"])  # pylint: disable=consider-using-with
    owner = owner_of(process.pid)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(owner)
    process.wait()


def test_later_process_with_the_same_id_is_another_one() -> None:
    pid, started = owner_of(os.getpid())
    assert is_alive((pid, started)) and not is_alive((pid, started - 1))


def test_owner_that_had_ended_before_it_was_named_is_not_alive() -> None:
    process = subprocess.Popen(["true"])  # pylint: disable=consider-using-with
    process.wait()
    assert not is_alive(owner_of(process.pid))
