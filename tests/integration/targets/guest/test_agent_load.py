# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a program costs the agent after it has ended: nothing.

An agent whose pipe to a program is full, and has no reader any more, polls the pipe at full speed until it is restarted
(seen on qemu-ga 5.2 to 11.1).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils.errors import ProcessError, ProcessTimedOut, WrongUser
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent

# More than a pipe holds, and no more than one call carries.
LARGE = os.urandom(300_000)

# How long to watch the agent, and how much it may work meanwhile, in seconds. One that spins uses all of the time.
WATCHED = 1.0
IDLE = 0.2


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used (proc(5))."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def expect_idle_agent(guest: SandboxedAgent, agent: Agent) -> t.Iterator[None]:
    """After the test, check that the agent has nothing to do."""
    yield
    before = cpu_seconds(guest.pid)
    time.sleep(WATCHED)
    used = cpu_seconds(guest.pid) - before
    if used > IDLE:
        # The next test gets an agent that does not spin.
        agent.close()
        guest.kill_agent()
        guest.start_agent()
    assert used <= IDLE


pytestmark = pytest.mark.usefixtures("expect_idle_agent")


@pytest.mark.parametrize(
    "argv",
    [
        ["true"],
        ["/no/such/interpreter"],
        ["head", "-c", "1"],
        ["sh", "-c", "kill -s KILL $PPID"],
        ["sh", "-c", "kill -s KILL 0"],
        ["sh", "-c", "sleep 3 <&0 & exit 3"],
    ],
)
@pytest.mark.parametrize("may_prompt", [False, True])
def test_program_that_does_not_read_its_input(runner: ProgramRunner, argv: list[str], may_prompt: bool) -> None:
    options: dict[str, t.Any] = {"prompt_handler": lambda stdout, stderr: None} if may_prompt else {}
    # A killed script leaves no result, and a program that waits for an answer runs into its deadline.
    with contextlib.suppress(ProcessError):
        runner.run(argv, stdin=LARGE, deadline=Deadline.after(3 if may_prompt else 30), **options)


@pytest.mark.parametrize("size", [58_000, 60_000, 62_000, 66_000, 3_000_000])
def test_program_killed_at_its_deadline(runner: ProgramRunner, size: int) -> None:
    with pytest.raises(ProcessTimedOut, match="its process group"):
        runner.run(["sleep", "60"], stdin=os.urandom(size), deadline=Deadline.after(2))


def test_program_for_another_user(runner: ProgramRunner) -> None:
    with pytest.raises(WrongUser):
        runner.run(["cat"], stdin=LARGE, user="nobody", deadline=Deadline.after(30))


def test_program_without_room_for_its_input(guest: SandboxedAgent, runner: ProgramRunner) -> None:
    enter = ["nsenter", f"--target={guest.pid}", "--mount", f"--root=/proc/{guest.pid}/root"]
    subprocess.run([*enter, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/dev/shm"], check=True)
    try:
        assert runner.run(["cat"], stdin=LARGE, deadline=Deadline.after(30)).stdout == LARGE
        runner.close()
    finally:
        subprocess.run([*enter, "umount", "/dev/shm"], check=True)
