# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module time_info: reading a guest's clock."""

from __future__ import annotations

import time

import pytest

from .conftest import RunModule, silence_of
from .guest_with_clock import HOUR, GuestWithClock


@pytest.mark.parametrize("check_mode", [False, True])
def test_returns_time_and_drift(run_module: RunModule, check_mode: bool) -> None:
    guest = GuestWithClock(ahead=-HOUR)
    result = run_module("time_info", guest.agent, check_mode=check_mode)
    assert not result["changed"] and not guest.set_calls
    assert result["drift"] == pytest.approx(-3600, abs=1)
    assert set(result) == {"changed", "time", "drift", "uncertainty"}
    assert 0 <= result["uncertainty"] < 1
    assert abs(result["time"]["nanoseconds"] + HOUR - time.time_ns()) < HOUR / 2
    assert result["time"]["iso8601"].startswith(time.strftime("%Y", time.gmtime(time.time() - 3600)))
    assert result["time"]["iso8601"].endswith("Z")


@pytest.mark.parametrize("reply", [-(2**63), 2**63 - 1, 0])
def test_extreme_times_are_returned(run_module: RunModule, reply: int) -> None:
    guest = GuestWithClock()
    guest.agent.handlers["guest-get-time"] = lambda arguments: reply
    assert run_module("time_info", guest.agent)["time"]["nanoseconds"] == reply


@pytest.mark.parametrize(
    ("profile", "error"),
    [("frozen", "filesystems_frozen"), ("silence", "agent_silent"), ("wrong_types", "protocol_violation")],
)
def test_failure_has_an_error_name(run_module: RunModule, profile: str, error: str) -> None:
    result = run_module("time_info", GuestWithClock(profile).agent, silence=silence_of(profile))
    assert result["failed"] and result["error"] == error


def test_missing_and_disabled_command(run_module: RunModule) -> None:
    guest = GuestWithClock()
    guest.agent.disabled = {"guest-get-time"}
    assert run_module("time_info", guest.agent)["error"] == "command_disabled"
    del guest.agent.handlers["guest-get-time"]
    assert run_module("time_info", guest.agent)["error"] == "command_missing"
