# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting until an agent answers."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import SyncReport
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import ProtocolViolation, Unreachable

# Seconds between two attempts to reach an agent.
_RETRY_DELAY = 1.0


@dataclass(frozen=True)
class AgentUp:
    """An agent that has answered a sync.

    :param report: what the sync found.
    :param waited: seconds until the agent answered.
    :param attempts: how many attempts it took.
    """

    report: SyncReport
    waited: float
    attempts: int

    def as_result(self) -> dict[str, t.Any]:
        """Return it as a module's result."""
        return {
            "sync_id": self.report.sync_id,
            "discarded": self.report.discarded,
            "delimited": self.report.delimited,
            "round_trip": self.report.seconds,
            "waited": self.waited,
            "attempts": self.attempts,
        }


def wait_for_agent(agent: Agent, *, attempt_timeout: float, deadline: Deadline) -> AgentUp:
    """Sync with the agent, again and again until it answers.

    A guest that boots has no agent at first, and its boot messages may be on the line that leads to the agent.

    :param attempt_timeout: seconds for one attempt. There is one even if the deadline has passed.
    :raises Unreachable: the last attempt raised it.
    :raises ProtocolViolation: the last attempt raised it.
    """
    started = time.monotonic()
    attempts = 0
    while True:
        attempts += 1
        try:
            report = agent.sync(Deadline.after(attempt_timeout))
            return AgentUp(report, waited=time.monotonic() - started, attempts=attempts)
        except (Unreachable, ProtocolViolation):
            if deadline.passed:
                raise
            agent.close()
            deadline.sleep(_RETRY_DELAY)
