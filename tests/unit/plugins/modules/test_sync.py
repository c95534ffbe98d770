# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of the module that syncs with an agent."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

from .conftest import RunModule, silence_of


def test_returns_what_the_sync_found(run_module: RunModule) -> None:
    result = run_module("sync", ScriptedAgent("stale"))
    assert not result["changed"]
    assert 0 < result["sync_id"] < 2**63
    assert result["discarded"] > 100 and result["delimited"] and result["attempts"] == 1
    assert 0 < result["round_trip"] <= result["waited"] < 2
    assert result["agent_version"] == "9.2.0"


def test_agent_without_delimited_sync(run_module: RunModule) -> None:
    assert run_module("sync", ScriptedAgent("no_delimited"))["delimited"] is False


def test_works_in_check_mode_and_while_frozen(run_module: RunModule) -> None:
    assert "failed" not in run_module("sync", ScriptedAgent("frozen"), check_mode=True)


def test_waits_for_an_agent(run_module: RunModule) -> None:
    agent = ScriptedAgent("silence")

    def sync(arguments: dict[str, t.Any]) -> t.Any:
        # The first sync is not answered.
        agent.silent = not agent.requests[1:]
        return arguments["id"]

    agent.handlers.update({"guest-sync": sync, "guest-sync-delimited": sync})
    result = run_module("sync", agent, timeout=0.5, wait_timeout=60)
    assert result["attempts"] > 1 and 0.9 < result["waited"] < 60


def test_gives_up_after_wait_timeout(run_module: RunModule) -> None:
    result = run_module("sync", ScriptedAgent("silence"), silence=0.2, wait_timeout=0.5)
    assert result["failed"] and result["error"] == "agent_silent" and "unix:" in result["msg"]


@pytest.mark.parametrize(
    ("profile", "error"),
    [
        ("never", "outcome_unknown"),
        ("garbage", "protocol_violation"),
        ("hangs_up", "outcome_unknown"),
        ("wrong_types", "protocol_violation"),
    ],
)
def test_errors_after_the_sync_have_a_class(run_module: RunModule, profile: str, error: str) -> None:
    """All these agents answer the sync itself."""
    result = run_module("sync", ScriptedAgent(profile), silence=silence_of(profile))
    assert result["failed"] and result["error"] == error


def test_there_is_always_one_attempt(run_module: RunModule, tmp_path: t.Any) -> None:
    result = run_module("sync", f"unix:{tmp_path}/nothing")
    assert result["failed"] and result["error"] == "endpoint_unavailable"
