# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a diagnosis looks at, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._libvirt.domain import AGENT_CHANNEL, LibvirtDomain

OK = "ok"
#: Most things work, and some do not.
WARNING = "warning"
#: The agent, or tasks over it, do not work.
PROBLEM = "problem"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    :param check: its name.
    :param status: one of those above.
    :param message: what is so.
    :param advice: what to do about it.
    :param ends: whether what comes after it cannot be looked at.
    """

    check: str
    status: str
    message: str
    advice: str = ""
    ends: bool = False

    def as_result(self) -> dict[str, str]:
        """It as part of a module's result."""
        return {"check": self.check, "status": self.status, "message": self.message, "advice": self.advice}


@dataclass(frozen=True)
class Context:
    """A guest that is looked at.

    :param agent: its agent.
    :param domain: its domain, if libvirt can be asked about it.
    :param channel: the name of the domain's channel that leads to the agent.
    :param patience: seconds for each look.
    """

    agent: Agent
    domain: LibvirtDomain | None = None
    channel: str = AGENT_CHANNEL
    patience: float = 10.0

    def deadline(self) -> Deadline:
        """When a look that begins now is over."""
        return Deadline.after(self.patience)
