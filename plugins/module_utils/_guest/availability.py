# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting until there is an agent that answers."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import SyncReport
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import ProtocolViolation, Unreachable

# Between two attempts to reach an agent, in seconds.
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class AgentUp:
    """An agent that has answered.

    :param report: of the sync that it answered.
    :param waited: seconds until then.
    :param attempts: how many it took.
    """

    report: SyncReport
    waited: float
    attempts: int


def wait_for_agent(agent: Agent, *, attempt_seconds: float, deadline: Deadline) -> AgentUp:
    """Sync with the agent, again and again until it answers.

    A guest that boots has at first no agent, and perhaps the boot's messages on the line that leads to it.

    :param attempt_seconds: for one attempt. There is one even if the deadline has passed.
    :raises Unreachable: as the last attempt did.
    :raises ProtocolViolation: likewise.
    """
    started = time.monotonic()
    attempts = 0
    while True:
        attempts += 1
        try:
            report = agent.sync(Deadline.after(attempt_seconds))
            return AgentUp(report, waited=time.monotonic() - started, attempts=attempts)
        except (Unreachable, ProtocolViolation):
            if deadline.passed:
                raise
            agent.close()
            deadline.sleep(_PAUSE_SECONDS)
