# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the checks of a diagnosis receive, and what they return."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._libvirt.channels import AGENT_CHANNEL
from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import LibvirtDomain

OK = "ok"
#: Most things work, and some do not.
WARNING = "warning"
#: The agent, or tasks that use it, do not work.
PROBLEM = "problem"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """The finding of one check.

    :param check: the name of the check.
    :param status: one of the constants above.
    :param message: what the check found.
    :param advice: what to do about it.
    :param ends: whether the checks that come after it are impossible.
    """

    check: str
    status: str
    message: str
    advice: str = ""
    ends: bool = False

    def as_result(self) -> dict[str, str]:
        """Return it as a part of a module's result."""
        return {"check": self.check, "status": self.status, "message": self.message, "advice": self.advice}


@dataclass(frozen=True)
class Context:
    """The guest to diagnose.

    :param agent: the guest's agent.
    :param domain: the guest's domain, if libvirt can be asked about it.
    :param channel: the name of the domain's channel that leads to the agent.
    :param timeout: seconds that one check may take.
    """

    agent: Agent
    domain: LibvirtDomain | None = None
    channel: str = AGENT_CHANNEL
    timeout: float = 10.0

    def deadline(self) -> Deadline:
        """Return the deadline of a check that begins now."""
        return Deadline.after(self.timeout)
