# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Ansible process whose tasks use a channel: the guest is tidied up when it has ended."""

from __future__ import annotations

import hashlib

#: A process ID, and when the process started, in ticks since the machine started. A later process can have the same ID.
Owner = tuple[int, int]

# A process that has ended, and whose parent does not know yet.
_ENDED = (b"Z", b"X", b"x")


def owner_of(pid: int) -> Owner:
    """Return the process that has the ID now."""
    return pid, _start_of(pid)


def name_of(owner: Owner) -> str:
    """Return a name that no other Ansible process has, on this controller or another one."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    return hashlib.sha256(f"{boot} {owner[0]} {owner[1]}".encode("ascii")).hexdigest()[:12]


def is_alive(owner: Owner) -> bool:
    """Return whether the process still runs."""
    return owner[1] >= 0 and owner == owner_of(owner[0])


def _start_of(pid: int) -> int:
    """Return when a process started; -1 if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The second field is the program's name, in which there may be blanks and brackets (proc(5)).
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return -1
    return -1 if fields[0] in _ENDED else int(fields[19])
