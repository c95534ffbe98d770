# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module vcpus_info: listing a guest's virtual CPUs."""

from __future__ import annotations

import pytest

from .conftest import RunModule, silence_of
from .guest_with_vcpus import GuestWithVcpus


@pytest.mark.parametrize("check_mode", [False, True])
def test_returns_vcpus_in_order_of_ids(run_module: RunModule, check_mode: bool) -> None:
    guest = GuestWithVcpus()
    result = run_module("vcpus_info", guest.agent, check_mode=check_mode)
    assert not result["changed"] and result["online_count"] == 3
    assert set(result) == {"changed", "vcpus", "online_count"} and not guest.set_calls
    assert [vcpu["logical_id"] for vcpu in result["vcpus"]] == [0, 1, 2, 3]
    assert result["vcpus"][0] == {"logical_id": 0, "online": True, "can_offline": False}


@pytest.mark.parametrize(
    ("profile", "error"),
    [("frozen", "filesystems_frozen"), ("silence", "agent_silent"), ("wrong_types", "protocol_violation")],
)
def test_failure_has_an_error_name(run_module: RunModule, profile: str, error: str) -> None:
    result = run_module("vcpus_info", GuestWithVcpus(profile).agent, silence=silence_of(profile))
    assert result["failed"] and result["error"] == error


def test_missing_and_disabled_command(run_module: RunModule) -> None:
    guest = GuestWithVcpus()
    guest.agent.disabled = {"guest-get-vcpus"}
    assert run_module("vcpus_info", guest.agent)["error"] == "command_disabled"
    del guest.agent.handlers["guest-get-vcpus"]
    assert run_module("vcpus_info", guest.agent)["error"] == "command_missing"
