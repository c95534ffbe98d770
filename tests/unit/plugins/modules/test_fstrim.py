# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module fstrim, against a scripted agent."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.netless.qga.tests.guests.scripted_agent import ScriptedAgent

from .conftest import RunModule, silence_of

ROOT = {"path": "/", "trimmed": 4096, "minimum": 0}
REFUSED = {"path": "/boot/efi", "error": "trim not supported\n" + "x" * 1000}


def guest(*paths: dict[str, t.Any]) -> ScriptedAgent:
    """Return a guest whose agent reports these filesystems after a trim."""
    agent = ScriptedAgent()
    agent.handlers["guest-fstrim"] = lambda arguments: {"paths": list(paths)}
    return agent


def test_returns_what_was_trimmed(run_module: RunModule) -> None:
    agent = guest(ROOT, {"path": "/srv", "trimmed": 1}, {"path": "/var"})
    result = run_module("fstrim", agent, minimum=512)
    assert result["changed"] and result["trimmed"] == 4097
    assert result["paths"] == [ROOT, {"path": "/srv", "trimmed": 1}, {"path": "/var"}]
    assert agent.requests[-1]["arguments"] == {"minimum": 512}


@pytest.mark.parametrize(
    ("paths", "changed"),
    [([], False), ([{"path": "/", "trimmed": 0}], False), ([{"path": "C:\\"}], True), ([ROOT], True)],
)
def test_changed_if_something_was_trimmed(run_module: RunModule, paths: list[dict[str, t.Any]], changed: bool) -> None:
    assert run_module("fstrim", guest(*paths))["changed"] == changed


def test_warns_if_one_filesystem_cannot_be_trimmed(run_module: RunModule) -> None:
    result = run_module("fstrim", guest(ROOT, REFUSED))
    assert "failed" not in result and result["trimmed"] == 4096
    assert result["warnings"][0].startswith("Not trimmed: /boot/efi: trim not supported ")
    assert len(result["paths"][1]["error"]) < 400


def test_fails_if_no_filesystem_can_be_trimmed(run_module: RunModule) -> None:
    result = run_module("fstrim", guest(REFUSED))
    assert result["failed"] and result["error"] == "nothing_trimmed" and len(result["paths"]) == 1


def test_check_mode_trims_nothing(run_module: RunModule) -> None:
    agent = guest(ROOT)
    assert run_module("fstrim", agent, check_mode=True) == {"changed": True}
    assert agent.requests == []


@pytest.mark.parametrize("minimum", [-1, 2**63])
def test_rejects_minimum_out_of_range(run_module: RunModule, minimum: int) -> None:
    assert run_module("fstrim", guest(), minimum=minimum)["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("profile", "error"),
    [
        ("never", "outcome_unknown"),
        ("garbage", "protocol_violation"),
        ("wrong_types", "protocol_violation"),
        ("silence", "agent_silent"),
        ("frozen", "filesystems_frozen"),
        ("modern", "command_missing"),
    ],
)
def test_errors_have_a_class(run_module: RunModule, profile: str, error: str) -> None:
    agent = ScriptedAgent(profile)
    if profile != "modern":
        agent.handlers["guest-fstrim"] = lambda arguments: {"paths": []}
    result = run_module("fstrim", agent, silence=silence_of(profile))
    assert result["failed"] and result["error"] == error


def test_disabled_command_fails(run_module: RunModule) -> None:
    agent = guest()
    agent.disabled.add("guest-fstrim")
    assert run_module("fstrim", agent)["error"] == "command_disabled"


@pytest.mark.parametrize("path", [{}, {"path": 1}, {"path": "/", "trimmed": "1"}, {"path": "/", "error": 1}])
def test_malformed_replies_are_protocol_violations(run_module: RunModule, path: dict[str, t.Any]) -> None:
    assert run_module("fstrim", guest(path))["error"] == "protocol_violation"
