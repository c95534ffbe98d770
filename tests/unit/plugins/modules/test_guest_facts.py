# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module guest_facts: what an agent reports about its guest, as facts of the host."""

from __future__ import annotations

import pytest

from .conftest import RunModule, silence_of
from .reporting_agent import SUBSETS, reporting_agent


@pytest.mark.parametrize("check_mode", [False, True])
def test_selected_subsets_become_facts(run_module: RunModule, check_mode: bool) -> None:
    result = run_module("guest_facts", reporting_agent(), subset=["os"], check_mode=check_mode)
    assert result["ansible_facts"] == {"qga": {"os": {"id": "debian", "pretty_name": "Debian GNU/Linux 12 (bookworm)"}}}
    assert result == {"changed": False, "ansible_facts": result["ansible_facts"], "unavailable": {}}


def test_all_subsets_become_facts_by_default(run_module: RunModule) -> None:
    agent = reporting_agent()
    facts = run_module("guest_facts", agent)["ansible_facts"]["qga"]
    assert set(facts) == SUBSETS and facts == run_module("guest_info", agent)["qga"]


def test_missing_commands_are_unavailable(run_module: RunModule) -> None:
    agent = reporting_agent()
    del agent.handlers["guest-get-load"]
    result = run_module("guest_facts", agent, subset=["load", "os"])
    assert set(result["ansible_facts"]["qga"]) == {"os"}
    assert result["unavailable"]["load"]["reason"] == "command_missing"


@pytest.mark.parametrize(("profile", "error"), [("silence", "agent_silent"), ("garbage", "protocol_violation")])
def test_failure_returns_no_facts(run_module: RunModule, profile: str, error: str) -> None:
    result = run_module("guest_facts", reporting_agent(profile), silence=silence_of(profile))
    assert result["failed"] and result["error"] == error and "ansible_facts" not in result


def test_unknown_subset_fails(run_module: RunModule) -> None:
    result = run_module("guest_facts", reporting_agent(), subset=["disk"])
    assert result["failed"] and result["error"] == "invalid_request" and "ansible_facts" not in result
