# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs started by guest-exec, and how often guest-exec-status is sent for them."""

from __future__ import annotations

import base64
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.shell import guest_exec
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.guest_exec import ExecStatus, Polls, run_script
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    ProcessTimedOut,
    ProtocolViolation,
)
from ansible_collections.netless.qga.tests.guests.scripted_agent import NO_REPLY

from ..local_guest import LocalGuest


def soon() -> Deadline:
    """Return a deadline that no test here reaches."""
    return Deadline.after(30)


def polls_of(seconds: float, answered_in: float, monkeypatch: pytest.MonkeyPatch) -> tuple[int, float]:
    """Return the number of polls for a program that runs so long, and how late its end is noticed."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    polls = Polls()
    count = 0
    while now < 1000.0 + seconds:
        now += polls.next_wait()
        with polls.poll():
            now += answered_in
        count += 1
    return count, now - 1000.0 - seconds


@pytest.mark.parametrize(
    ("seconds", "answered_in", "max_polls", "max_delay"),
    [
        (0.001, 0.0001, 2, 0.005),
        (0.01, 0.0001, 4, 0.01),
        (0.2, 0.0001, 16, 0.04),
        (0.01, 0.005, 2, 0.02),
        (0.2, 0.005, 8, 0.08),
        (3, 0.005, 30, 0.3),
        (60, 0.005, 130, 2),
        (3600, 0.005, 900, 11),
    ],
)
def test_polls_are_few_and_notice_the_end_soon(
    seconds: float, answered_in: float, max_polls: int, max_delay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, late = polls_of(seconds, answered_in, monkeypatch)
    assert count <= max_polls
    assert late <= max_delay


def test_slow_replies_make_polls_rarer(monkeypatch: pytest.MonkeyPatch) -> None:
    cheap, dummy = polls_of(2.0, 0.001, monkeypatch)
    expensive, dummy = polls_of(2.0, 0.1, monkeypatch)
    assert expensive < cheap / 3


def test_status_returns_exit_status_and_output_once(agent: Agent, guest: LocalGuest) -> None:
    argv = ["-c", 'cat; printf "%s" "$A$B" >&2; exit 3']
    pid = guest_exec.start(
        agent, "/bin/sh", argv, stdin=b"\0\xff in", environment={"A": "1=2", "B": "é"}, deadline=soon()
    )
    status = None
    while status is None:
        status = guest_exec.status(agent, pid, deadline=soon())
    assert status == ExecStatus(3, b"\0\xff in", "1=2é".encode())
    assert guest.calls("guest-exec")[0]["capture-output"] is True
    with pytest.raises(AgentRefused):
        guest_exec.status(agent, pid, deadline=soon())


def test_start_sends_only_the_given_arguments(agent: Agent, guest: LocalGuest) -> None:
    guest_exec.start(agent, "true", [], deadline=soon())
    assert guest.calls("guest-exec") == [{"path": "true", "arg": [], "capture-output": True}]
    guest_exec.start(agent, "/usr/bin/env", [], environment={}, deadline=soon())
    assert guest.calls("guest-exec")[1]["env"] == []


def test_run_script_passes_arguments_and_times_out(agent: Agent) -> None:
    assert run_script(agent, 'echo "$1|$2"', "a b", "", deadline=soon()) == ExecStatus(0, b"a b|\n", b"")
    assert run_script(agent, "kill -KILL $$", deadline=soon()).rc == 128 + 9
    with pytest.raises(ProcessTimedOut, match=f"{agent.endpoint}: /bin/sh in the guest, process [0-9]+, does not"):
        run_script(agent, "exec sleep 6", deadline=Deadline.after(3))


def test_status_is_requested_again_after_a_lost_reply(agent: Agent, guest: LocalGuest) -> None:
    def lose_first(usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        return NO_REPLY if len(guest.calls("guest-exec-status")) == 1 else usual(arguments)

    guest.replace("guest-exec-status", lose_first)
    assert run_script(agent, "echo x", deadline=soon()) == ExecStatus(0, b"x\n", b"")


@pytest.mark.parametrize("reply", [{}, [], 7, None, {"pid": "7"}, {"pid": 7.0}, {"pid": True}, {"pid": None}])
def test_start_rejects_hostile_reply(agent: Agent, guest: LocalGuest, reply: t.Any) -> None:
    guest.handlers["guest-exec"] = lambda arguments: reply
    with pytest.raises(ProtocolViolation, match=f"^{agent.endpoint}: guest-exec: (?!.*{agent.endpoint})"):
        guest_exec.start(agent, "true", [], deadline=soon())


@pytest.mark.parametrize(
    "reply",
    [
        {},
        True,
        {"exited": 1},
        {"exited": True, "exitcode": "0"},
        {"exited": True, "exitcode": 0.0},
        {"exited": True, "signal": [9]},
        {"exited": True, "exitcode": 0, "out-data": None},
        {"exited": True, "exitcode": 0, "out-data": "%"},
        {"exited": True, "exitcode": 0, "err-data": "A"},
    ],
)
def test_status_rejects_hostile_reply(agent: Agent, guest: LocalGuest, reply: t.Any) -> None:
    guest.handlers["guest-exec-status"] = lambda arguments: reply
    with pytest.raises(ProtocolViolation, match=f"^{agent.endpoint}: guest-exec-status: (?!.*{agent.endpoint})"):
        guest_exec.status(agent, 1, deadline=soon())


def test_status_accepts_reply_without_optional_members(agent: Agent, guest: LocalGuest) -> None:
    guest.handlers["guest-exec-status"] = lambda arguments: {"exited": True}
    assert guest_exec.status(agent, 1, deadline=soon()) == ExecStatus(0, b"", b"")
    reply = {"exited": True, "signal": 15, "out-data": base64.b64encode(b"x").decode(), "out-truncated": False}
    guest.handlers["guest-exec-status"] = lambda arguments: reply
    assert guest_exec.status(agent, 1, deadline=soon()) == ExecStatus(143, b"x", b"")
