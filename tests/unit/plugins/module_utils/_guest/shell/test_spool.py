# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The paths of the files that a run may leave in the guest."""

from __future__ import annotations

from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES, spool_paths


def test_spool_paths_cover_every_directory() -> None:
    assert spool_paths("n", has_stdin=False, may_prompt=False)[:4] == [
        "/dev/shm/n.room",
        "/dev/shm/n.state",
        "/dev/shm/n.out",
        "/dev/shm/n.err",
    ]
    paths = spool_paths("n", has_stdin=True, may_prompt=True)
    assert len(paths) == 7 * len(BASES) and {"/run/n.in", "/tmp/n.say", "/tmp/n.ask"} < set(paths)
