# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of a sandbox, as the machine that it runs on sees them in /proc."""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_IDLE_TIMEOUT = 30.0


class Processes:
    """The processes in the PID namespace of an agent.

    :param agent: the process ID of the agent.
    """

    def __init__(self, agent: int) -> None:
        self._namespace = os.readlink(f"/proc/{agent}/ns/pid")
        self._idle = len(self.pids())
        self.largest_server = 0
        """The most memory that a kept interpreter shared with no other process, in bytes."""

    def pids(self) -> list[int]:
        """Return the process IDs."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.readlink(entry / "ns/pid") == self._namespace:
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def cpu_seconds(self) -> float:
        """Return the processor time of these processes and of all that have ended, since their parents count it."""
        ticks = 0
        for pid in self.pids():
            # proc(5): utime, stime, cutime and cstime are fields 14 to 17. Field 3 is first after the name.
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])
        return ticks / _TICKS_A_SECOND

    def wait_until_idle(self) -> None:
        """Wait until there are as many processes as at first, and note the memory of kept interpreters until then.

        :raises TimeoutError: there are still more after 30 seconds.
        """
        deadline = time.monotonic() + _IDLE_TIMEOUT
        while len(pids := self.pids()) > self._idle:
            for pid in pids:
                self.largest_server = max(self.largest_server, _memory_of_server(pid))
            if time.monotonic() > deadline:
                raise TimeoutError(f"processes {pids} are left in the sandbox")
            time.sleep(0.05)


def _memory_of_server(pid: int) -> int:
    try:
        if Path(f"/proc/{pid}/comm").read_text(encoding="utf-8") != "netless-qga\n":
            return 0
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in rollup.splitlines() if "Private" in line) * 1024
