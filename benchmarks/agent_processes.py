# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of the guest's agents, seen through another agent on the guest's serial line, so that looking at one
does not keep it busy."""

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
    """An agent.

    :param observer: endpoint of the one that looks.
    :param pid: in the guest.
    """

    observer: str
    pid: int

    def cpu_seconds(self) -> float:
        """The processor time of its own that it has used, without the programs it has run."""
        handle = agents.ask(self.observer, "guest-file-open", {"path": f"/proc/{self.pid}/stat"})
        read = agents.ask(self.observer, "guest-file-read", {"handle": handle})
        agents.ask(self.observer, "guest-file-close", {"handle": handle})
        # proc(5): utime and stime are the 14th and 15th; what follows the name in parentheses begins with the 3rd.
        fields = base64.b64decode(read["buf-b64"]).rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND


def find(observer: str, units: Iterable[str]) -> dict[str, int]:
    """The process ids of these units of systemd's."""
    command = "systemctl show --property=MainPID --value"
    return {unit: int(agents.run(observer, [*command.split(), unit], "")) for unit in units}


def environment(observer: str, pids: dict[str, int]) -> dict[str, str]:
    """What tells :func:`of` in another process.

    :param pids: of the agents, by the inventory hosts that they are reached as.
    """
    return {"BENCHMARK_AGENTS": json.dumps({"observer": observer, "pids": pids})}


@functools.cache
def of(host: str) -> AgentProcess | None:
    """The agent that an inventory host is reached by, if it is."""
    known = json.loads(os.environ["BENCHMARK_AGENTS"])
    return AgentProcess(known["observer"], known["pids"][host]) if host in known["pids"] else None
