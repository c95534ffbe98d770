# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An agent that is killed, stopped and restarted in each phase of a task."""

from __future__ import annotations

import threading
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.plugins.module_utils.errors import OutcomeUnknown
from ansible_collections.netless.qga.tests.integration.targets.vm_resilience.faulty_guest import Guest
from ansible_collections.netless.qga.tests.integration.targets.vm_resilience.observed_task import ObservedTask

SOME = {"kill": (4,), "stop": (), "restart": (3,)}
"""After how many answers each fault is tried in every run."""
EVERY = range(1, 13)


def stop_for_a_while(guest: Guest) -> None:
    guest.signal_agent("STOP")
    timer = threading.Timer(2, guest.signal_agent, ["CONT"])
    timer.daemon = True
    timer.start()


FAULTS: dict[str, t.Callable[[Guest], None]] = {
    "kill": lambda guest: guest.signal_agent("KILL"),
    "stop": stop_for_a_while,
    "restart": Guest.restart_agent,
}


def cases() -> list[t.Any]:
    return [
        pytest.param(fault, number, marks=[] if number in SOME[fault] else [pytest.mark.by_hand])
        for fault in FAULTS
        for number in EVERY
    ]


@pytest.mark.parametrize(("fault", "number"), cases())
def test_program(guest: Guest, task: ObservedTask, fault: str, number: int) -> None:
    task.after_answer(number, lambda: FAULTS[fault](guest))
    result = task.run_program()
    print(f"{fault} after answer {number}: {task.was_disturbed and result!r:.200}")
    task.check(result)
    if fault == "stop":
        assert isinstance(result, CompletedProcess), result


@pytest.mark.by_hand
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("number", EVERY)
def test_transfer(guest: Guest, task: ObservedTask, fault: str, number: int) -> None:
    task.after_answer(number, lambda: FAULTS[fault](guest))
    error = task.transfer()
    print(f"{fault} after answer {number}: {task.was_disturbed and error!r}")
    if fault == "stop":
        assert error is None


@pytest.mark.parametrize("fault", ["KILL", pytest.param("CONT", marks=pytest.mark.by_hand)])
def test_stopped_agent_during_a_call(guest: Guest, task: ObservedTask, fault: str) -> None:
    guest.signal_agent("STOP")
    timer = threading.Timer(2, guest.signal_agent, [fault])
    timer.start()
    result = task.run_program()
    timer.join()
    task.check(result)
    assert fault == "KILL" or isinstance(result, CompletedProcess), result


@pytest.mark.by_hand
def test_agent_that_stays_stopped(guest: Guest, task: ObservedTask) -> None:
    task.after_answer(4, lambda: guest.signal_agent("STOP"))
    started = time.monotonic()
    try:
        result = task.run_program(timeout=3)
    finally:
        guest.signal_agent("CONT")
    assert time.monotonic() - started < 60
    assert not isinstance(result, (CompletedProcess, OutcomeUnknown)), result
    task.check(result)
