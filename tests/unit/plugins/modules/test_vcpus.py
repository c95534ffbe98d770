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
    ("options", "told", "online"),
    [
        ({"online": [3]}, [(3, True)], [0, 1, 2, 3]),
        ({"offline": [1, 2]}, [(1, False), (2, False)], [0]),
        ({"online": [3, 0], "offline": [1]}, [(1, False), (3, True)], [0, 2, 3]),
        ({"count": 1}, [(1, False), (2, False)], [0]),
        ({"count": 2}, [(2, False)], [0, 1]),
        ({"count": 4}, [(3, True)], [0, 1, 2, 3]),
    ],
)
def test_changes_once(
    run_module: RunModule, options: dict[str, t.Any], told: list[tuple[int, bool]], online: list[int]
) -> None:
    guest = GuestWithVcpus()
    would = run_module("vcpus", guest.agent, check_mode=True, **options)
    assert not guest.was_told
    result = run_module("vcpus", guest.agent, **options)
    assert guest.was_told == [[{"logical-id": number, "online": state} for number, state in told]]
    assert result["changed"] and result == would
    assert result["diff"]["before"] == {"online": [0, 1, 2], "offline": [3]}
    assert result["diff"]["after"]["online"] == online and result["online_count"] == len(online)
    again = run_module("vcpus", guest.agent, **options)
    assert not again["changed"] and len(guest.was_told) == 1


@pytest.mark.parametrize("options", [{"online": [0]}, {"offline": [3]}, {"count": 3}, {"online": [], "offline": []}])
def test_leaves_alone_what_is_as_it_should_be(run_module: RunModule, options: dict[str, t.Any]) -> None:
    guest = GuestWithVcpus()
    assert not run_module("vcpus", guest.agent, **options)["changed"] and not guest.was_told


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"offline": [0, 1]}, "vCPU 0 offline"),
        ({"online": [4, 5]}, "no vCPU 4, 5 "),
        ({"online": [1], "offline": [1]}, "same time"),
        ({"count": 0}, "too few"),
        ({"count": 5}, "has 4 vCPUs"),
    ],
)
def test_refuses_before_anything_is_changed(run_module: RunModule, options: dict[str, t.Any], said: str) -> None:
    guest = GuestWithVcpus()
    result = run_module("vcpus", guest.agent, **options)
    assert result["failed"] and result["error"] == "invalid_request" and said in result["msg"]
    assert not guest.was_told


def test_too_few_that_can_be_taken_offline(run_module: RunModule) -> None:
    guest = GuestWithVcpus()
    guest.agent.handlers["guest-get-vcpus"] = lambda arguments: [
        {"logical-id": number, "online": True, "can-offline": False} for number in range(2)
    ]
    result = run_module("vcpus", guest.agent, count=1)
    assert result["failed"] and result["error"] == "invalid_request" and "0 vCPUs offline" in result["msg"]
    assert not guest.was_told


def test_what_is_not_told_may_be_possible(run_module: RunModule) -> None:
    """Whether a vCPU can be taken offline need not be in the reply."""
    guest = GuestWithVcpus()
    told: list[t.Any] = []
    guest.agent.handlers["guest-get-vcpus"] = lambda arguments: [
        {"logical-id": 0, "online": True},
        {"logical-id": 1, "online": not told},
    ]

    def set_vcpus(arguments: dict[str, t.Any]) -> t.Any:
        told.extend(arguments["vcpus"])
        return len(told)

    guest.agent.handlers["guest-set-vcpus"] = set_vcpus
    assert run_module("vcpus", guest.agent, count=1)["online_count"] == 1


def test_partly_done(run_module: RunModule) -> None:
    guest = GuestWithVcpus(stubborn=2)
    result = run_module("vcpus", guest.agent, count=1)
    assert result["failed"] and result["error"] == "partly_done" and result["changed"]
    assert "2 offline" in result["msg"] and "1 offline" not in result["msg"]
    assert [vcpu["logical_id"] for vcpu in result["vcpus"] if vcpu["online"]] == [0, 2]
    assert result["diff"]["after"] == {"online": [0, 2], "offline": [1, 3]}


def test_nothing_done(run_module: RunModule) -> None:
    guest = GuestWithVcpus(stubborn=3)
    result = run_module("vcpus", guest.agent, online=[3])
    assert result["failed"] and result["error"] == "agent_refused" and not result["changed"]


def test_an_agent_that_only_says_so(run_module: RunModule) -> None:
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
def test_errors_have_a_class(run_module: RunModule, profile: str, error: str) -> None:
    result = run_module("vcpus", GuestWithVcpus(profile).agent, count=1, silence=silence_of(profile))
    assert result["failed"] and result["error"] == error


@pytest.mark.parametrize("missing", ["guest-get-vcpus", "guest-set-vcpus"])
def test_what_an_agent_cannot_do(run_module: RunModule, missing: str) -> None:
    guest = GuestWithVcpus()
    guest.agent.disabled = {missing}
    assert run_module("vcpus", guest.agent, count=1)["error"] == "command_disabled"
    del guest.agent.handlers[missing]
    assert run_module("vcpus", guest.agent, count=1)["error"] == "command_missing"
