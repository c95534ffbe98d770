# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starting programs, and how often it is asked whether they have ended."""

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
    """Later than anything here takes."""
    return Deadline.after(30)


def polls_of(seconds: float, answered_in: float, monkeypatch: pytest.MonkeyPatch) -> tuple[int, float]:
    """How often a program that runs so long is asked for, and how much later than its end it is noticed."""
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
    ("seconds", "answered_in", "most", "latest"),
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
def test_asks_seldom_and_still_soon(
    seconds: float, answered_in: float, most: int, latest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, late = polls_of(seconds, answered_in, monkeypatch)
    assert count <= most
    assert late <= latest


def test_asks_less_often_where_it_costs_more(monkeypatch: pytest.MonkeyPatch) -> None:
    cheap, dummy = polls_of(2.0, 0.001, monkeypatch)
    dear, dummy = polls_of(2.0, 0.1, monkeypatch)
    assert dear < cheap / 3


def test_starts_a_program_and_tells_how_it_ended(agent: Agent, guest: LocalGuest) -> None:
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


def test_sends_no_more_than_it_was_given(agent: Agent, guest: LocalGuest) -> None:
    guest_exec.start(agent, "true", [], deadline=soon())
    assert guest.calls("guest-exec") == [{"path": "true", "arg": [], "capture-output": True}]
    guest_exec.start(agent, "/usr/bin/env", [], environment={}, deadline=soon())
    assert guest.calls("guest-exec")[1]["env"] == []


def test_runs_scripts(agent: Agent) -> None:
    assert run_script(agent, 'echo "$1|$2"', "a b", "", deadline=soon()) == ExecStatus(0, b"a b|\n", b"")
    assert run_script(agent, "kill -KILL $$", deadline=soon()).rc == 128 + 9
    with pytest.raises(ProcessTimedOut, match=f"{agent.endpoint}: /bin/sh in the guest, process [0-9]+, does not"):
        run_script(agent, "exec sleep 6", deadline=Deadline.after(3))


def test_asks_again_after_a_lost_answer(agent: Agent, guest: LocalGuest) -> None:
    def lose_first(usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        return NO_REPLY if len(guest.calls("guest-exec-status")) == 1 else usual(arguments)

    guest.replace("guest-exec-status", lose_first)
    assert run_script(agent, "echo x", deadline=soon()) == ExecStatus(0, b"x\n", b"")


@pytest.mark.parametrize("reply", [{}, [], 7, None, {"pid": "7"}, {"pid": 7.0}, {"pid": True}, {"pid": None}])
def test_refuses_a_hostile_start(agent: Agent, guest: LocalGuest, reply: t.Any) -> None:
    guest.handlers["guest-exec"] = lambda arguments: reply
    with pytest.raises(ProtocolViolation, match="guest-exec: "):
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
def test_refuses_a_hostile_end(agent: Agent, guest: LocalGuest, reply: t.Any) -> None:
    guest.handlers["guest-exec-status"] = lambda arguments: reply
    with pytest.raises(ProtocolViolation, match="guest-exec-status: "):
        guest_exec.status(agent, 1, deadline=soon())


def test_takes_an_end_that_says_little(agent: Agent, guest: LocalGuest) -> None:
    guest.handlers["guest-exec-status"] = lambda arguments: {"exited": True}
    assert guest_exec.status(agent, 1, deadline=soon()) == ExecStatus(0, b"", b"")
    said = {"exited": True, "signal": 15, "out-data": base64.b64encode(b"x").decode(), "out-truncated": False}
    guest.handlers["guest-exec-status"] = lambda arguments: said
    assert guest_exec.status(agent, 1, deadline=soon()) == ExecStatus(143, b"x", b"")
