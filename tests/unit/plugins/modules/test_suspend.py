# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of suspending guests and waking them up, on a socket and through libvirt."""

from __future__ import annotations

import contextlib
import threading
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest import availability
from ansible_collections.netless.qga.plugins.module_utils._guest.power import guest_monitor, suspend
from ansible_collections.netless.qga.tests.guests.scripted_agent import NO_REPLY, ErrorReply, ScriptedAgent
from ansible_collections.netless.qga.tests.unit.plugins.module_utils._libvirt.hypervisor import (
    OFF,
    RUNNING,
    SUSPENDED,
    Failure,
    Hypervisor,
)

from .conftest import TEST_TIMEOUT, Clock, RunModule, silence_of

COMMANDS = {"ram": "guest-suspend-ram", "disk": "guest-suspend-disk", "hybrid": "guest-suspend-hybrid"}
TARGETS = {"ram": 0, "disk": 1, "hybrid": 2}


@pytest.fixture(autouse=True)
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the timeouts: the guests of these tests are suspended at once."""
    monkeypatch.setattr(suspend, "ERROR_TIMEOUT", 0.1)
    monkeypatch.setattr(guest_monitor, "_POLL_INTERVAL", 0.02)
    monkeypatch.setattr(guest_monitor, "_MIN_ERROR_TIMEOUT", 0.1)
    monkeypatch.setattr(availability, "_RETRY_DELAY", 0.02)


@pytest.fixture(name="hypervisor")
def fixture_hypervisor(monkeypatch: pytest.MonkeyPatch) -> Hypervisor:
    """Return a hypervisor whose guest has an agent, and can be suspended and woken up."""
    hypervisor = Hypervisor()
    hypervisor.install(monkeypatch)
    serve(hypervisor)

    def suspend(target: int, duration: int, flags: int) -> None:
        hypervisor.leave()
        hypervisor.power = OFF if target == TARGETS["disk"] else SUSPENDED

    def wake_up(flags: int) -> None:
        hypervisor.power = RUNNING
        before = hypervisor.agent["guest-sync"]

        def sync(arguments: dict[str, t.Any]) -> t.Any:
            serve(hypervisor)
            return before(arguments)

        # The agent is back after one sync without an answer.
        hypervisor.agent["guest-sync"] = sync

    hypervisor.own.update(pMSuspendForDuration=suspend, pMWakeup=wake_up)
    return hypervisor


def serve(hypervisor: Hypervisor) -> None:
    known: dict[str, t.Any] = {command.replace("-", "_"): {} for command in COMMANDS.values()}
    hypervisor.serve(guest_fsfreeze_status="thawed", **known)


def commands(agent: ScriptedAgent) -> list[str]:
    return [request["execute"] for request in agent.requests if not request["execute"].startswith("guest-sync")]


def suspended_by(hypervisor: Hypervisor) -> list[int]:
    return [call[1] for call in hypervisor.native_calls if call[0] == "pMSuspendForDuration"]


@pytest.mark.parametrize("mode", COMMANDS)
def test_agent_falls_silent_on_open_channel(run_module: RunModule, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    agent = ScriptedAgent()

    def fall_silent(arguments: dict[str, t.Any]) -> object:
        agent.silent = True
        return NO_REPLY

    monkeypatch.setattr(suspend, "SILENCE_TIMEOUT", 0.3)
    monkeypatch.setattr(guest_monitor, "_MAX_POLL_TIMEOUT", 0.2)
    agent.handlers[COMMANDS[mode]] = fall_silent
    result = run_module("suspend", agent, mode=mode)
    assert result["changed"] and result["evidence"] == "agent_gone" and result["state"] == "suspended"
    assert result["mode"] == mode and not result["resumed"] and commands(agent).count(COMMANDS[mode]) == 1
    assert result["diff"] == {"before": {"state": "running"}, "after": {"state": "suspended"}}


def test_channel_closes_when_qemu_ends(run_module: RunModule) -> None:
    agent = ScriptedAgent()
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(agent.listening())

        def end(arguments: dict[str, t.Any]) -> object:
            # Use another thread, as closing waits for the agent's own thread to end.
            threading.Thread(target=stack.close).start()
            return NO_REPLY

        agent.handlers["guest-suspend-disk"] = end
        result = run_module("suspend", f"unix:{path}", mode="disk")
    assert result["changed"] and result["evidence"] == "channel_closed" and result["state"] == "off"


def test_guest_that_does_nothing_is_outcome_unknown(run_module: RunModule) -> None:
    agent = ScriptedAgent()
    result = run_module("suspend", agent, wait_timeout=0.2)
    assert result["failed"] and result["error"] == "outcome_unknown" and "the agent still answers" in result["msg"]
    assert commands(agent).count("guest-suspend-ram") == 1


def test_error_of_agent_fails_task(run_module: RunModule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspend, "ERROR_TIMEOUT", TEST_TIMEOUT)
    agent = ScriptedAgent()

    def refuse(arguments: dict[str, t.Any]) -> t.NoReturn:
        raise ErrorReply("the requested suspend mode is not supported by the guest")

    agent.handlers["guest-suspend-hybrid"] = refuse
    result = run_module("suspend", agent, mode="hybrid")
    assert result["failed"] and result["error"] == "agent_refused" and "is not supported by the guest" in result["msg"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_unavailable_command_is_not_sent(run_module: RunModule, check_mode: bool) -> None:
    frozen, missing, blocked = ScriptedAgent("frozen"), ScriptedAgent(), ScriptedAgent()
    del missing.handlers["guest-suspend-ram"]
    blocked.disabled.add("guest-suspend-ram")
    for agent, error in ((frozen, "filesystems_frozen"), (missing, "command_missing"), (blocked, "command_disabled")):
        result = run_module("suspend", agent, check_mode=check_mode)
        assert result["failed"] and result["error"] == error and "guest-suspend-ram" in result["msg"]
        assert "guest-suspend-ram" not in commands(agent)


@pytest.mark.parametrize(
    ("profile", "error"),
    [
        ("silence", "agent_silent"),
        ("never", "outcome_unknown"),
        ("garbage", "protocol_violation"),
        ("wrong_types", "protocol_violation"),
    ],
)
def test_broken_agent_is_not_asked_to_suspend(run_module: RunModule, profile: str, error: str) -> None:
    agent = ScriptedAgent(profile)
    result = run_module("suspend", agent, silence=silence_of(profile))
    assert result["failed"] and result["error"] == error and "guest-suspend-ram" not in commands(agent)


def test_missing_endpoint_is_an_error(run_module: RunModule, tmp_path: t.Any) -> None:
    assert run_module("suspend", f"unix:{tmp_path}/nothing")["error"] == "endpoint_unavailable"


@pytest.mark.parametrize("mode", COMMANDS)
def test_check_mode(run_module: RunModule, mode: str) -> None:
    agent = ScriptedAgent()
    result = run_module("suspend", agent, mode=mode, check_mode=True)
    assert result["changed"] and "evidence" not in result and COMMANDS[mode] not in commands(agent)
    assert result["diff"]["after"]["state"] == ("off" if mode == "disk" else "suspended")


def test_resume_needs_libvirt_and_memory(run_module: RunModule, hypervisor: Hypervisor) -> None:
    agent = ScriptedAgent()
    result = run_module("suspend", agent, resume=True)
    assert result["failed"] and result["error"] == "invalid_request" and agent.requests == []
    result = run_module("suspend", "libvirt", domain="db1", mode="disk", resume=True)
    assert result["failed"] and result["error"] == "invalid_request" and hypervisor.native_calls == []


# Through libvirt


@pytest.mark.parametrize("mode", COMMANDS)
def test_domain_is_seen_suspended(run_module: RunModule, hypervisor: Hypervisor, mode: str) -> None:
    state, evidence = ("off", "domain_off") if mode == "disk" else ("suspended", "domain_suspended")
    for changed in (True, False):
        result = run_module("suspend", "libvirt", domain="db1", mode=mode)
        assert result["changed"] is changed and result["evidence"] == evidence and result["state"] == state
    assert suspended_by(hypervisor) == [TARGETS[mode]]


def test_domain_is_suspended_and_woken_up(run_module: RunModule, hypervisor: Hypervisor) -> None:
    result = run_module("suspend", "libvirt", domain="db1", resume=True)
    assert result["changed"] and result["resumed"] and result["state"] == "running"
    assert result["evidence"] == "domain_suspended"
    assert suspended_by(hypervisor) == [0] and ("pMWakeup", 0) in hypervisor.native_calls


def test_suspended_domain_is_only_woken_up(run_module: RunModule, hypervisor: Hypervisor) -> None:
    hypervisor.power = SUSPENDED
    check = run_module("suspend", "libvirt", domain="db1", resume=True, check_mode=True)
    assert check["changed"] and not check["resumed"] and check["state"] == "suspended"
    assert hypervisor.native_calls == []
    result = run_module("suspend", "libvirt", domain="db1", resume=True)
    assert result["changed"] and result["resumed"] and suspended_by(hypervisor) == []
    assert result["diff"] == {"before": {"state": "suspended"}, "after": {"state": "running"}}


def test_check_mode_through_libvirt(run_module: RunModule, hypervisor: Hypervisor) -> None:
    result = run_module("suspend", "libvirt", domain="db1", resume=True, check_mode=True)
    assert result["changed"] and not result["resumed"] and "evidence" not in result
    assert hypervisor.native_calls == []


def test_refusal_of_libvirt_fails_task(run_module: RunModule, hypervisor: Hypervisor) -> None:
    def refuse(target: int, duration: int, flags: int) -> t.NoReturn:
        raise Failure(84, "Operation not supported: S3 state is disabled for this domain")

    hypervisor.own["pMSuspendForDuration"] = refuse
    result = run_module("suspend", "libvirt", domain="db1", resume=True)
    assert result["failed"] and result["error"] == "agent_refused" and "S3 state is disabled" in result["msg"]
    assert ("pMWakeup", 0) not in hypervisor.native_calls


def test_domain_that_keeps_running_is_outcome_unknown(run_module: RunModule, hypervisor: Hypervisor) -> None:
    hypervisor.own["pMSuspendForDuration"] = lambda *given: 0
    result = run_module("suspend", "libvirt", domain="db1", resume=True, wait_timeout=0.1)
    assert result["failed"] and result["error"] == "outcome_unknown" and "the domain is running" in result["msg"]
    assert ("pMWakeup", 0) not in hypervisor.native_calls


def test_domain_that_does_not_wake_up(run_module: RunModule, hypervisor: Hypervisor, clock: Clock) -> None:
    clock.skips_sleep = True
    hypervisor.own["pMWakeup"] = lambda flags: setattr(hypervisor, "power", RUNNING)
    result = run_module("suspend", "libvirt", domain="db1", resume=True)
    assert result["failed"] and result["error"] == "agent_silent" and result["changed"]
    assert "the guest was suspended, and is not up again" in result["msg"]


def test_libvirt_refuses_to_wake_it_up(run_module: RunModule, hypervisor: Hypervisor) -> None:
    def refuse(flags: int) -> t.NoReturn:
        raise Failure(84, "this function is not supported")

    hypervisor.own["pMWakeup"] = refuse
    result = run_module("suspend", "libvirt", domain="db1", resume=True)
    assert result["failed"] and result["error"] == "endpoint_unavailable"
    assert "libvirt did not wake the guest up: this function is not supported" in result["msg"]


def test_lost_answer_to_wakeup_is_outcome_unknown(run_module: RunModule, hypervisor: Hypervisor) -> None:
    def hang(flags: int) -> t.NoReturn:
        raise TimeoutError

    hypervisor.own["pMWakeup"] = hang
    result = run_module("suspend", "libvirt", domain="db1", resume=True)
    assert result["failed"] and result["error"] == "outcome_unknown"
    assert result["changed"] and result["state"] == "suspended" and not result["resumed"]


@pytest.mark.parametrize(("state", "mode", "message"), [(OFF, "ram", "is off"), (SUSPENDED, "disk", "dompmwakeup")])
def test_domain_in_another_state_is_not_suspended(
    run_module: RunModule, hypervisor: Hypervisor, state: int, mode: str, message: str
) -> None:
    hypervisor.power = state
    result = run_module("suspend", "libvirt", domain="db1", mode=mode)
    assert result["failed"] and result["error"] == "endpoint_unavailable" and message in result["msg"]
