# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of the guest's agents.

They are observed through another agent, on the guest's serial line, so that observing one does not keep it busy.
"""

from __future__ import annotations

import base64
import functools
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass

from tests.lab import agents

_TICKS_A_SECOND = 100


@dataclass(frozen=True)
class AgentProcess:
    """The process of one agent.

    :param observer: endpoint of the agent that observes it.
    :param pid: the process id in the guest.
    """

    observer: str
    pid: int

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used, without that of programs it has run."""
        handle = agents.ask(self.observer, "guest-file-open", {"path": f"/proc/{self.pid}/stat"})
        read = agents.ask(self.observer, "guest-file-read", {"handle": handle})
        agents.ask(self.observer, "guest-file-close", {"handle": handle})
        # proc(5): utime and stime are fields 14 and 15. The name in parentheses is field 2, so field 3 is first here.
        fields = base64.b64decode(read["buf-b64"]).rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND


def find(observer: str, units: Iterable[str]) -> dict[str, int]:
    """Return the process ids of some systemd units."""
    command = "systemctl show --property=MainPID --value"
    return {unit: int(agents.run(observer, [*command.split(), unit], "")) for unit in units}


def environment(observer: str, pids: dict[str, int]) -> dict[str, str]:
    """Return environment variables from which :func:`of` knows the agents in another process.

    :param pids: process ids of the agents, by the inventory hosts that use them.
    """
    return {"BENCHMARK_AGENTS": json.dumps({"observer": observer, "pids": pids})}


@functools.cache
def of(host: str) -> AgentProcess | None:
    """Return the agent through which an inventory host is reached, if there is one."""
    known = json.loads(os.environ["BENCHMARK_AGENTS"])
    return AgentProcess(known["observer"], known["pids"][host]) if host in known["pids"] else None
