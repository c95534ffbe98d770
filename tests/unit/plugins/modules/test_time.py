# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module time: setting a guest's clock."""

from __future__ import annotations

import time
import typing as t

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.netless.qga.tests.guests.scripted_agent import ErrorReply

from .conftest import RunModule, operation_of, silence_of
from .guest_with_clock import HOUR, GuestWithClock


@pytest.mark.parametrize("options", [{}, {"sync": "host", "time": "0"}])
def test_exactly_one_source_of_time_is_required(options: dict[str, t.Any]) -> None:
    operation = operation_of("time")
    validated = ArgumentSpecValidator(operation.argument_spec, **operation.constraints).validate(options)
    assert validated.error_messages


def test_sync_host_sets_the_clock_once(run_module: RunModule) -> None:
    guest = GuestWithClock(ahead=HOUR)
    would = run_module("time", guest.agent, sync="host", check_mode=True)
    assert would["changed"] and not guest.set_calls and abs(would["drift"]) < 1
    result = run_module("time", guest.agent, sync="host")
    assert result["changed"] and len(guest.set_calls) == 1 and abs(guest.ahead) < 10**9
    assert abs(result["drift"]) < 1 and result["drift_before"] == pytest.approx(3600, abs=1)
    assert result["diff"]["before"]["drift"].startswith("+3") and "time" in result["diff"]["after"]
    again = run_module("time", guest.agent, sync="host")
    assert not again["changed"] and len(guest.set_calls) == 1 and "diff" not in again


def test_clock_within_max_drift_is_not_set(run_module: RunModule) -> None:
    guest = GuestWithClock(ahead=HOUR)
    assert not run_module("time", guest.agent, sync="host", max_drift=3700)["changed"]
    assert not guest.set_calls


@pytest.mark.parametrize("text", ["{seconds}", "{seconds}.25", "{date}Z", "{date}+00:00"])
def test_sets_a_given_time(run_module: RunModule, text: str) -> None:
    guest = GuestWithClock()
    seconds = int(time.time()) + 3600
    wanted = text.format(seconds=seconds, date=time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)))
    result = run_module("time", guest.agent, time=wanted)
    # The time that was asked for is as old as the module took to start.
    assert result["changed"] and abs(result["drift"] - 3600) < 60 and abs(guest.ahead - HOUR) < 60 * 10**9
    assert not run_module("time", guest.agent, time=wanted, max_drift=600)["changed"]


@pytest.mark.parametrize(
    "text", ["noon", "", "2026-01-31", "2026-01-31T12:00:00", "-1", "1e40", "NaN", "Infinity", "1e999999"]
)
def test_invalid_time_is_refused_before_connecting(run_module: RunModule, text: str) -> None:
    guest = GuestWithClock()
    result = run_module("time", guest.agent, time=text)
    assert result["failed"] and result["error"] == "invalid_request" and not guest.agent.requests


def test_sync_rtc_sets_the_clock_always(run_module: RunModule) -> None:
    guest = GuestWithClock(ahead=HOUR)
    guest.rtc_ahead = -HOUR
    assert run_module("time", guest.agent, sync="rtc", check_mode=True)["changed"] and not guest.set_calls
    result = run_module("time", guest.agent, sync="rtc")
    assert result["changed"] and result["drift"] == pytest.approx(-3600, abs=1)
    assert guest.set_calls in ([None], [{}])
    assert not run_module("time", guest.agent, sync="rtc")["changed"]


def test_error_after_setting_the_clock_is_a_warning(run_module: RunModule) -> None:
    guest = GuestWithClock(ahead=HOUR)

    def set_and_fail(arguments: dict[str, t.Any]) -> t.Any:
        guest.set(arguments)
        raise ErrorReply("hwclock failed to set hardware clock to system time")

    guest.agent.handlers["guest-set-time"] = set_and_fail
    result = run_module("time", guest.agent, sync="host")
    assert result["changed"] and "failed" not in result and abs(result["drift"]) < 1
    assert "hwclock failed" in result["warnings"][0]


def test_error_without_setting_the_clock_fails(run_module: RunModule) -> None:
    guest = GuestWithClock(ahead=HOUR)

    def fail(arguments: dict[str, t.Any]) -> t.Any:
        raise ErrorReply("this feature or command is not currently supported")

    guest.agent.handlers["guest-set-time"] = fail
    all_options: list[dict[str, t.Any]] = [{"sync": "host"}, {"sync": "rtc"}, {"time": "1"}]
    for options in all_options:
        result = run_module("time", guest.agent, **options)
        assert result["failed"] and result["error"] == "agent_refused" and not result["changed"]
        assert "not currently supported" in result["msg"]


def test_clock_that_stays_off_fails(run_module: RunModule) -> None:
    guest = GuestWithClock(ahead=HOUR)
    guest.agent.handlers["guest-set-time"] = lambda arguments: {}
    result = run_module("time", guest.agent, sync="host")
    assert result["failed"] and result["error"] == "clock_not_set" and not result["changed"]
    assert result["drift"] == pytest.approx(3600, abs=1) and "unix:" in result["msg"]


@pytest.mark.parametrize(
    ("profile", "error"),
    [
        ("frozen", "filesystems_frozen"),
        ("silence", "agent_silent"),
        ("never", "outcome_unknown"),
        ("garbage", "protocol_violation"),
        ("wrong_types", "protocol_violation"),
    ],
)
def test_failure_has_an_error_name(run_module: RunModule, profile: str, error: str) -> None:
    guest = GuestWithClock(profile)
    result = run_module("time", guest.agent, sync="host", silence=silence_of(profile))
    assert result["failed"] and result["error"] == error and not guest.set_calls


def test_lost_reply_is_not_sent_again(run_module: RunModule) -> None:
    guest = GuestWithClock(ahead=HOUR)
    guest.agent.deliveries.append(lambda line: [None] if guest.set_calls else [line])
    result = run_module("time", guest.agent, sync="host")
    assert result["failed"] and result["error"] == "outcome_unknown" and len(guest.set_calls) == 1


@pytest.mark.parametrize("missing", ["guest-get-time", "guest-set-time"])
def test_missing_and_disabled_commands(run_module: RunModule, missing: str) -> None:
    guest = GuestWithClock(ahead=HOUR)
    guest.agent.disabled = {missing}
    assert run_module("time", guest.agent, sync="host")["error"] == "command_disabled"
    del guest.agent.handlers[missing]
    assert run_module("time", guest.agent, sync="host")["error"] == "command_missing"
