# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module command: sending any command to an agent."""

from __future__ import annotations

import threading
import typing as t

import pytest

from ansible_collections.netless.qga.tests.guests.scripted_agent import NO_REPLY, ErrorReply, ScriptedAgent

from .conftest import TEST_TIMEOUT, RunModule, silence_of


def sent(agent: ScriptedAgent) -> list[t.Any]:
    """Return the requests that the agent received, without the syncs."""
    return [request for request in agent.requests if not request["execute"].startswith("guest-sync")]


def test_reading_command_reports_no_change(run_module: RunModule) -> None:
    result = run_module("command", ScriptedAgent(), command="guest-get-host-name", check_mode=True)
    assert result == {"changed": False, "reply": {"host-name": "scripted"}}


def test_other_command_reports_a_change(run_module: RunModule) -> None:
    agent = ScriptedAgent()
    arguments = {"path": "/bin/true", "capture-output": True}
    result = run_module("command", agent, command="guest-exec", arguments=arguments)
    assert result == {"changed": True, "reply": {"pid": 4711}}
    assert sent(agent)[-1]["arguments"] == arguments


def test_check_mode_sends_no_command_that_changes(run_module: RunModule) -> None:
    agent = ScriptedAgent()
    result = run_module("command", agent, command="guest-exec", arguments={"path": "/bin/true"}, check_mode=True)
    assert result == {"changed": True} and not agent.requests
    result = run_module("command", agent, command="guest-exec", check_mode=True)
    assert result["failed"] and result["error"] == "invalid_request" and not agent.requests


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("guest-get-hostname", {}, "guest-get-host-name"),
        ("guest-exec", {}, "path: missing, expected a string"),
        ("guest-ping", {"loud": True}, "'loud' not expected"),
        ("guest-exec", {"path": "/bin/true", "arg": ["-v", 1]}, "arg[1]: expected a string, got an integer"),
        ("guest-set-time", {"time": 1.5}, "time: expected an integer, got a floating-point number"),
        ("guest-sync", {"id": 2**63}, "id: expected an integer of at most"),
    ],
)
def test_invalid_command_is_refused_before_sending(
    run_module: RunModule, command: str, arguments: dict[str, t.Any], message: str
) -> None:
    agent = ScriptedAgent()
    result = run_module("command", agent, command=command, arguments=arguments)
    assert result["failed"] and result["error"] == "invalid_request" and message in result["msg"]
    assert not agent.requests


def test_validates_replies(run_module: RunModule) -> None:
    agent = ScriptedAgent()
    agent.handlers["guest-get-host-name"] = lambda arguments: {"host-name": 1}
    result = run_module("command", agent, command="guest-get-host-name")
    assert result["failed"] and result["error"] == "protocol_violation" and "host-name" in result["msg"]
    result = run_module("command", agent, command="guest-get-host-name", validate=False)
    assert result == {"changed": False, "reply": {"host-name": 1}}


def test_without_validation_sends_anything(run_module: RunModule) -> None:
    agent = ScriptedAgent()
    agent.handlers["vendor-thing"] = lambda arguments: [arguments]
    result = run_module("command", agent, command="vendor-thing", arguments={"a": {"b": [1, None]}}, validate=False)
    assert result == {"changed": True, "reply": [{"a": {"b": [1, None]}}]}
    result = run_module("command", agent, command="guest-ping", arguments={"loud": True}, validate=False)
    assert result == {"changed": False, "reply": {}}
    result = run_module("command", agent, command="vendor-other", validate=False)
    assert result["failed"] and result["error"] == "command_missing"


@pytest.mark.parametrize("validate", [True, False])
def test_refuses_sync_delimited(run_module: RunModule, validate: bool) -> None:
    agent = ScriptedAgent()
    result = run_module("command", agent, command="guest-sync-delimited", arguments={"id": 1}, validate=validate)
    assert result["failed"] and result["error"] == "invalid_request" and "netless.qga.sync" in result["msg"]
    assert not agent.requests


def test_sends_plain_sync(run_module: RunModule) -> None:
    result = run_module("command", ScriptedAgent(), command="guest-sync", arguments={"id": 4711})
    assert result == {"changed": False, "reply": 4711}


def test_silent_command_succeeds_without_reply(run_module: RunModule) -> None:
    agent, received = ScriptedAgent(), threading.Event()

    def shut_down(arguments: dict[str, t.Any]) -> object:
        received.set()
        return NO_REPLY

    agent.handlers["guest-shutdown"] = shut_down
    result = run_module("command", agent, command="guest-shutdown", arguments={"mode": "halt"}, silence=0.3)
    assert result == {"changed": True, "reply": None} and received.wait(TEST_TIMEOUT)
    assert sent(agent) == [
        {"execute": "guest-shutdown", "arguments": {"mode": "halt"}, "id": sent(agent)[0]["id"]},
    ]


def refuse(arguments: dict[str, t.Any]) -> t.Any:
    raise ErrorReply("mode is invalid")


def test_silent_command_reports_error(run_module: RunModule) -> None:
    agent = ScriptedAgent()
    agent.handlers["guest-shutdown"] = refuse
    result = run_module("command", agent, command="guest-shutdown", arguments={"mode": "sideways"})
    assert result["failed"] and result["error"] == "agent_refused" and "mode is invalid" in result["msg"]


def test_silent_command_fails_if_no_agent_answers(run_module: RunModule) -> None:
    result = run_module("command", ScriptedAgent("silence"), command="guest-shutdown", silence=0.2)
    assert result["failed"] and result["error"] == "agent_silent"


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize(
    ("profile", "command", "error"),
    [
        ("modern", "guest-get-osinfo", "command_missing"),
        ("blocked", "guest-exec", "command_disabled"),
        ("frozen", "guest-exec", "filesystems_frozen"),
        ("frozen_newer_text", "guest-exec", "filesystems_frozen"),
        ("silence", "guest-ping", "agent_silent"),
        ("never", "guest-exec", "outcome_unknown"),
        ("hangs_up", "guest-exec", "outcome_unknown"),
        ("garbage", "guest-exec", "protocol_violation"),
    ],
)
def test_failure_has_an_error_name_and_no_arguments(
    run_module: RunModule, profile: str, command: str, error: str, validate: bool
) -> None:
    arguments = {"path": "secret-tool", "input-data": "c2VjcmV0"} if command == "guest-exec" else {}
    agent = ScriptedAgent(profile)
    options: dict[str, t.Any] = {"command": command, "arguments": arguments, "validate": validate}
    result = run_module("command", agent, silence=silence_of(profile), **options)
    assert result["failed"] and result["error"] == error
    assert "secret" not in repr(result) and "c2VjcmV0" not in repr(result)
    assert sum(request["execute"] == command for request in agent.requests) <= 1


def test_error_reply_names_the_endpoint(run_module: RunModule) -> None:
    agent = ScriptedAgent()
    agent.handlers["guest-exec"] = refuse
    result = run_module("command", agent, command="guest-exec", arguments={"path": "/nothing"})
    assert result["failed"] and result["error"] == "agent_refused" and "unix:" in result["msg"]
