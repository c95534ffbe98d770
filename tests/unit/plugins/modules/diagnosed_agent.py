# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An agent to diagnose, and assertions about every diagnosis."""

from __future__ import annotations

import base64
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._schema.commands import COMMANDS
from ansible_collections.netless.qga.tests.guests.agent_profiles import PROFILES
from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

HEALTHY = """\
uid 0
user root
spool /dev/shm
gzip yes
setsid yes
python 3.13 python3.13
end yes
"""


def agent_with(*profiles: str, output: str | bytes = HEALTHY, rc: int = 0) -> ScriptedAgent:
    """Return an agent that has all commands, changed by profiles.

    :param output: what its programs write to standard output.
    :param rc: their exit status.
    """
    out = base64.b64encode(output if isinstance(output, bytes) else output.encode("utf-8")).decode("ascii")
    agent = ScriptedAgent()
    for name in COMMANDS:
        agent.handlers.setdefault(name, lambda arguments: {})
    agent.handlers["guest-exec-status"] = lambda arguments: {"exited": True, "exitcode": rc, "out-data": out}
    agent.handlers["guest-get-osinfo"] = lambda arguments: {"id": "almalinux", "pretty-name": "AlmaLinux 9.4"}
    for profile in profiles:
        PROFILES[profile](agent)
    return agent


def assert_well_formed(result: dict[str, t.Any]) -> None:
    """Assert what is true of every diagnosis."""
    assert "failed" not in result and result["changed"] is False
    statuses = {finding["status"] for finding in result["findings"]}
    assert statuses <= {"ok", "warning", "problem", "unknown"}
    assert result["ok"] is ("problem" not in statuses)
    assert result["summary"] and result["findings"]
    checks = [finding["check"] for finding in result["findings"]]
    assert len(set(checks)) == len(checks)
    for finding in result["findings"]:
        assert finding["message"] and isinstance(finding["advice"], str)
        assert finding["advice"] or finding["status"] not in ("warning", "problem")


def findings_by_check(result: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the findings by the names of their checks, and the whole result as ``result``."""
    assert_well_formed(result)
    return {"result": result, **{finding["check"]: finding for finding in result["findings"]}}


def requested(agent: ScriptedAgent) -> list[str]:
    """Return the commands that the agent was sent."""
    return [request["execute"] for request in agent.requests]
