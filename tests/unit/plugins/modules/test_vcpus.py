# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module vcpus: taking virtual CPUs online and offline."""

from __future__ import annotations

import typing as t

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from .conftest import RunModule, operation_of, silence_of
from .guest_with_vcpus import GuestWithVcpus


@pytest.mark.parametrize("options", [{}, {"count": 1, "online": [1]}, {"count": 1, "offline": [1]}])
def test_count_or_ids_are_required(options: dict[str, t.Any]) -> None:
    operation = operation_of("vcpus")
    validated = ArgumentSpecValidator(operation.argument_spec, **operation.constraints).validate(options)
    assert validated.error_messages


@pytest.mark.parametrize(
    ("options", "switched", "online"),
    [
        ({"online": [3]}, [(3, True)], [0, 1, 2, 3]),
        ({"offline": [1, 2]}, [(1, False), (2, False)], [0]),
        ({"online": [3, 0], "offline": [1]}, [(1, False), (3, True)], [0, 2, 3]),
        ({"count": 1}, [(1, False), (2, False)], [0]),
        ({"count": 2}, [(2, False)], [0, 1]),
        ({"count": 4}, [(3, True)], [0, 1, 2, 3]),
    ],
)
def test_switches_vcpus_once(
    run_module: RunModule, options: dict[str, t.Any], switched: list[tuple[int, bool]], online: list[int]
) -> None:
    guest = GuestWithVcpus()
    would = run_module("vcpus", guest.agent, check_mode=True, **options)
    assert not guest.set_calls
    result = run_module("vcpus", guest.agent, **options)
    assert guest.set_calls == [[{"logical-id": number, "online": state} for number, state in switched]]
    assert result["changed"] and result == would
    assert result["diff"]["before"] == {"online": [0, 1, 2], "offline": [3]}
    assert result["diff"]["after"]["online"] == online and result["online_count"] == len(online)
    again = run_module("vcpus", guest.agent, **options)
    assert not again["changed"] and len(guest.set_calls) == 1


@pytest.mark.parametrize("options", [{"online": [0]}, {"offline": [3]}, {"count": 3}, {"online": [], "offline": []}])
def test_no_change_sends_nothing(run_module: RunModule, options: dict[str, t.Any]) -> None:
    guest = GuestWithVcpus()
    assert not run_module("vcpus", guest.agent, **options)["changed"] and not guest.set_calls


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"offline": [0, 1]}, "vCPU 0 offline"),
        ({"online": [4, 5]}, "no vCPU 4, 5 "),
        ({"online": [1], "offline": [1]}, "same time"),
        ({"count": 0}, "too few"),
        ({"count": 5}, "has 4 vCPUs"),
    ],
)
def test_invalid_request_changes_nothing(run_module: RunModule, options: dict[str, t.Any], message: str) -> None:
    guest = GuestWithVcpus()
    result = run_module("vcpus", guest.agent, **options)
    assert result["failed"] and result["error"] == "invalid_request" and message in result["msg"]
    assert not guest.set_calls


def test_fails_if_too_few_can_go_offline(run_module: RunModule) -> None:
    guest = GuestWithVcpus()
    guest.agent.handlers["guest-get-vcpus"] = lambda arguments: [
        {"logical-id": number, "online": True, "can-offline": False} for number in range(2)
    ]
    result = run_module("vcpus", guest.agent, count=1)
    assert result["failed"] and result["error"] == "invalid_request" and "0 vCPUs offline" in result["msg"]
    assert not guest.set_calls


def test_missing_can_offline_means_yes(run_module: RunModule) -> None:
    """Accept a reply without can-offline, which the schema allows."""
    guest = GuestWithVcpus()
    switched: list[t.Any] = []
    guest.agent.handlers["guest-get-vcpus"] = lambda arguments: [
        {"logical-id": 0, "online": True},
        {"logical-id": 1, "online": not switched},
    ]

    def set_vcpus(arguments: dict[str, t.Any]) -> t.Any:
        switched.extend(arguments["vcpus"])
        return len(switched)

    guest.agent.handlers["guest-set-vcpus"] = set_vcpus
    assert run_module("vcpus", guest.agent, count=1)["online_count"] == 1


def test_partly_done_reports_the_present_state(run_module: RunModule) -> None:
    guest = GuestWithVcpus(stubborn=2)
    result = run_module("vcpus", guest.agent, count=1)
    assert result["failed"] and result["error"] == "partly_done" and result["changed"]
    assert "2 offline" in result["msg"] and "1 offline" not in result["msg"]
    assert [vcpu["logical_id"] for vcpu in result["vcpus"] if vcpu["online"]] == [0, 2]
    assert result["diff"]["after"] == {"online": [0, 2], "offline": [1, 3]}


def test_nothing_done_is_a_refusal(run_module: RunModule) -> None:
    guest = GuestWithVcpus(stubborn=3)
    result = run_module("vcpus", guest.agent, online=[3])
    assert result["failed"] and result["error"] == "agent_refused" and not result["changed"]


def test_success_without_effect_fails(run_module: RunModule) -> None:
    guest = GuestWithVcpus()
    guest.agent.handlers["guest-set-vcpus"] = lambda arguments: len(arguments["vcpus"])
    result = run_module("vcpus", guest.agent, count=1)
    assert result["failed"] and result["error"] == "partly_done" and not result["changed"]


@pytest.mark.parametrize(
    ("profile", "error"),
    [
        ("frozen", "filesystems_frozen"),
        ("silence", "agent_silent"),
        ("never", "outcome_unknown"),
        ("wrong_types", "protocol_violation"),
    ],
)
def test_failure_has_an_error_name(run_module: RunModule, profile: str, error: str) -> None:
    result = run_module("vcpus", GuestWithVcpus(profile).agent, count=1, silence=silence_of(profile))
    assert result["failed"] and result["error"] == error


@pytest.mark.parametrize("missing", ["guest-get-vcpus", "guest-set-vcpus"])
def test_missing_and_disabled_commands(run_module: RunModule, missing: str) -> None:
    guest = GuestWithVcpus()
    guest.agent.disabled = {missing}
    assert run_module("vcpus", guest.agent, count=1)["error"] == "command_disabled"
    del guest.agent.handlers[missing]
    assert run_module("vcpus", guest.agent, count=1)["error"] == "command_missing"
