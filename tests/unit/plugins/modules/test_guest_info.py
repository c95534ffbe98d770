# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module guest_info: what an agent reports about its guest."""

from __future__ import annotations

import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call, Outcome
from ansible_collections.netless.qga.plugins.module_utils._channels.stream_channel import StreamChannel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.tests.guests.scripted_agent import ErrorReply, ScriptedAgent

from .conftest import RunModule, silence_of
from .reporting_agent import REPLIES, SUBSETS, reporting_agent


def sent_commands(agent: ScriptedAgent) -> list[str]:
    """Return the commands that the agent was sent, without the syncs."""
    return [name for name in (request["execute"] for request in agent.requests) if not name.startswith("guest-sync")]


def reasons(result: dict[str, t.Any]) -> dict[str, str]:
    """Return the reasons of the unavailable subsets."""
    return {name: subset["reason"] for name, subset in result["unavailable"].items()}


def test_timeout_limits_each_reply_not_their_sum(run_module: RunModule) -> None:
    def delayed(answer: t.Callable[[t.Any], t.Any]) -> t.Callable[[t.Any], t.Any]:
        def answer_late(arguments: t.Any) -> t.Any:
            time.sleep(0.25)
            return answer(arguments)

        return answer_late

    agent = reporting_agent()
    agent.handlers.update({name: delayed(answer) for name, answer in agent.handlers.items() if name in REPLIES})
    result = run_module("guest_info", agent, silence=3)
    assert "failed" not in result and set(result["qga"]) == SUBSETS


def test_deadline_allows_every_reply_its_timeout(run_module: RunModule, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[float, float]] = []
    usual = StreamChannel.exchange

    def exchange(channel: StreamChannel, calls: t.Sequence[Call], deadline: Deadline) -> list[Outcome]:
        limits.append((channel.reply_timeout, deadline.remaining()))
        return usual(channel, calls, deadline)

    monkeypatch.setattr(StreamChannel, "exchange", exchange)
    run_module("guest_info", reporting_agent(), timeout=60.0, subset=["os", "memory"])
    # One to connect, one for guest-info, and one for each of three commands.
    assert limits[0][0] == 60 and limits[0][1] > 4 * 60


def test_returns_all_subsets(run_module: RunModule) -> None:
    result = run_module("guest_info", reporting_agent())
    qga = result["qga"]
    assert not result["changed"] and not result["unavailable"] and "ansible_facts" not in result
    assert set(qga) == SUBSETS
    assert qga["agent"]["version"] == "9.2.0"
    assert {"name": "guest-shutdown", "enabled": True, "success_response": False} in qga["agent"]["supported_commands"]
    assert qga["hostname"] == "scripted" and qga["fsfreeze"] == "thawed"
    assert qga["os"]["pretty_name"] == "Debian GNU/Linux 12 (bookworm)"
    assert qga["time"] == {"nanoseconds": 1767225600123456000, "iso8601": "2026-01-01T00:00:00.123456Z"}
    assert qga["interfaces"][0]["ip_addresses"][0]["ip_address"] == "192.0.2.17"
    assert qga["filesystems"][0]["disk"][0]["pci_controller"]["slot"] == 4
    assert qga["devices"][0]["id"]["vendor_id"] == 6900
    assert qga["memory"] == {
        "blocks": [
            {"phys_index": 0, "online": True, "can_offline": False},
            {"phys_index": 1, "online": False, "can_offline": True},
        ],
        "block_size": 2**27,
        "online_bytes": 2**27,
    }


def test_check_mode_reports_the_same(run_module: RunModule) -> None:
    agent = reporting_agent()
    assert run_module("guest_info", agent, check_mode=True) == run_module("guest_info", agent)


@pytest.mark.parametrize(
    ("subset", "found"),
    [
        (["all"], SUBSETS),
        (["hostname", "os"], {"hostname", "os"}),
        (["!memory", "!disks"], SUBSETS - {"memory", "disks"}),
        (["all", "!agent"], SUBSETS - {"agent"}),
        (["os", "load", "!load"], {"os"}),
    ],
)
def test_selects_subsets(run_module: RunModule, subset: list[str], found: set[str]) -> None:
    assert set(run_module("guest_info", reporting_agent(), subset=subset)["qga"]) == found


def test_sends_only_the_selected_commands(run_module: RunModule) -> None:
    agent = reporting_agent()
    run_module("guest_info", agent, subset=["os", "hostname"])
    assert sent_commands(agent)[0] == "guest-info"
    assert {"guest-get-osinfo", "guest-get-host-name"} <= set(sent_commands(agent))
    assert not set(sent_commands(agent)) & (set(REPLIES) - {"guest-get-osinfo"})


@pytest.mark.parametrize("subset", [["disk"], ["!disk"], ["!all"]])
def test_unknown_subset_is_refused_before_connecting(run_module: RunModule, subset: list[str]) -> None:
    agent = reporting_agent()
    result = run_module("guest_info", agent, subset=subset)
    assert result["failed"] and result["error"] == "invalid_request" and "disk_statistics" in result["msg"]
    assert not agent.requests


def test_missing_and_disabled_commands_are_unavailable(run_module: RunModule) -> None:
    agent = reporting_agent()
    agent.version = "7.2.22"
    for command in ("guest-network-get-route", "guest-get-load", "guest-get-memory-block-info"):
        del agent.handlers[command]
    agent.disabled = {"guest-get-devices", "guest-get-users"}
    result = run_module("guest_info", agent)
    assert reasons(result) == {
        "devices": "command_disabled",
        "load": "command_missing",
        "memory": "command_missing",
        "routes": "command_missing",
        "users": "command_disabled",
    }
    assert set(result["qga"]) == SUBSETS - set(result["unavailable"])
    routes = result["unavailable"]["routes"]["msg"]
    assert "unix:" in routes and "guest-network-get-route" in routes and "7.2.22" in routes and "9.1" in routes
    assert "guest-get-users" not in sent_commands(agent) and "guest-network-get-route" not in sent_commands(agent)


@pytest.mark.parametrize("profile", ["frozen", "frozen_newer_text"])
def test_frozen_guest_reports_only_agent_and_fsfreeze(run_module: RunModule, profile: str) -> None:
    result = run_module("guest_info", reporting_agent(profile))
    assert set(result["qga"]) == {"agent", "fsfreeze"} and result["qga"]["fsfreeze"] == "frozen"
    assert set(reasons(result).values()) == {"filesystems_frozen"}


def test_frozen_is_the_reason_even_if_fsfreeze_is_not_selected(run_module: RunModule) -> None:
    result = run_module("guest_info", reporting_agent("frozen"), subset=["users"])
    assert not result["qga"] and reasons(result) == {"users": "filesystems_frozen"}


def refuse(arguments: dict[str, t.Any]) -> t.Any:
    raise ErrorReply("failed to look that up: no such file")


def test_refused_command_is_unavailable(run_module: RunModule) -> None:
    agent = reporting_agent()
    agent.handlers["guest-get-users"] = refuse
    result = run_module("guest_info", agent)
    assert reasons(result) == {"users": "agent_refused"}
    assert "no such file" in result["unavailable"]["users"]["msg"]


def test_guest_frozen_between_two_replies(run_module: RunModule) -> None:
    agent = reporting_agent()

    def freeze(arguments: dict[str, t.Any]) -> t.Any:
        agent.frozen = True
        return REPLIES["guest-get-cpustats"]

    agent.handlers["guest-get-cpustats"] = freeze
    result = run_module("guest_info", agent, subset=["cpu_statistics", "os"])
    assert set(result["qga"]) == {"cpu_statistics"} and reasons(result) == {"os": "filesystems_frozen"}


def test_disabled_guest_info_leaves_the_other_subsets(run_module: RunModule) -> None:
    agent = reporting_agent()
    agent.disabled = {"guest-info"}
    del agent.handlers["guest-get-load"]
    result = run_module("guest_info", agent)
    assert set(result["qga"]) == SUBSETS - {"agent", "load"}
    assert reasons(result) == {"agent": "agent_refused", "load": "agent_refused"}


@pytest.mark.parametrize(
    ("command", "reply", "where"),
    [
        ("guest-get-vcpus", [{"logical-id": "0", "online": True}], "[0].logical-id"),
        ("guest-get-host-name", {}, "host-name"),
        ("guest-get-time", 1.5, "guest-get-time"),
        ("guest-get-memory-block-info", {"size": -1}, "size"),
        ("guest-info", {"version": "9.2.0", "supported_commands": [{"name": "guest-ping"}]}, "supported_commands[0]"),
    ],
)
def test_invalid_reply_is_a_protocol_violation(run_module: RunModule, command: str, reply: t.Any, where: str) -> None:
    agent = reporting_agent()
    agent.handlers[command] = lambda arguments: reply
    result = run_module("guest_info", agent)
    assert result["failed"] and result["error"] == "protocol_violation"
    assert command in result["msg"] and where in result["msg"] and "unix:" in result["msg"]


@pytest.mark.parametrize(
    ("profile", "error"),
    [("silence", "agent_silent"), ("never", "outcome_unknown"), ("garbage", "protocol_violation")],
)
def test_failure_has_an_error_name(run_module: RunModule, profile: str, error: str) -> None:
    result = run_module("guest_info", reporting_agent(profile), silence=silence_of(profile))
    assert result["failed"] and result["error"] == error


def test_missing_socket_is_unavailable(run_module: RunModule, tmp_path: t.Any) -> None:
    result = run_module("guest_info", f"unix:{tmp_path}/nothing")
    assert result["failed"] and result["error"] == "endpoint_unavailable"
