# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs started by guest-exec: how their end is noticed and their exit status read, and small scripts run that way.

guest-exec keeps up to 16 MiB of a program's output, waits for every process that inherited the output, and forgets the
result once it has returned it. That is good enough for our own scripts, which print little and leave no process behind.
:mod:`..programs.runner` runs the user's programs.
"""

from __future__ import annotations

import base64
import contextlib
import math
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import ProcessTimedOut

SHELL = "/bin/sh"

# How the cost of a poll follows from the time that its reply takes: the agent also logs each poll in the guest.
_POLL_COST = 2.0
_MIN_POLL_COST = 0.002
_MIN_WAIT = 0.003
_MAX_WAIT = 10.0

# The least time for the reply to the last poll of one of our scripts, in seconds.
_LAST_POLL_TIMEOUT = 2.0


@dataclass(frozen=True)
class ExecStatus:
    """The end of a program, as the agent reports it (QAPI ``GuestExecStatus``).

    :param rc: the exit status; 128 plus the signal's number if a signal ended the program, as in shells.
    :param stdout: what the agent captured of standard output; at most 16 MiB.
    :param stderr: what the agent captured of standard error; at most 16 MiB.
    """

    rc: int
    stdout: bytes
    stderr: bytes


class Polls:
    """The times at which to poll whether a program has ended. Create it when the program starts.

    Assume that the chance that a program ends in the next moment falls in proportion to the time that it has run. If a
    poll costs the guest c seconds, and the end is noticed late by half a wait on average, then the sum of both costs is
    smallest when the wait after t seconds is the square root of 2ct.
    """

    def __init__(self) -> None:
        self._started = time.monotonic()
        #: Seconds that the fastest reply took; 0 before the first reply. Slower ones had to wait until the program left
        #: the processor to the agent.
        self.answered_in = 0.0

    def next_wait(self) -> float:
        """Return the seconds until the next poll."""
        cost = max(_MIN_POLL_COST, _POLL_COST * self.answered_in)
        elapsed = time.monotonic() - self._started
        return max(_MIN_WAIT, min(math.sqrt(2 * cost * elapsed), _MAX_WAIT))

    @contextlib.contextmanager
    def poll(self) -> t.Iterator[None]:
        """Measure what a poll costs."""
        sent = time.monotonic()
        yield
        answered_in = time.monotonic() - sent
        self.answered_in = min(self.answered_in or answered_in, answered_in)


def start(
    agent: Agent,
    path: str,
    arguments: t.Sequence[str],
    *,
    deadline: Deadline,
    stdin: bytes = b"",
    environment: t.Mapping[str, str] | None = None,
) -> int:
    """Start a program and return its process id in the guest.

    :param path: the program, which the agent looks up in PATH.
    :param arguments: its arguments. The agent writes them to the guest's log.
    :param stdin: its standard input. The agent does not log it.
    :param environment: its environment instead of the agent's own.
    :raises AgentRefused: the agent cannot start it, for example because there is no such program.
    """
    request: dict[str, t.Any] = {"path": path, "arg": list(arguments), "capture-output": True}
    if stdin:
        request["input-data"] = base64.b64encode(stdin).decode("ascii")
    if environment is not None:
        request["env"] = [f"{name}={value}" for name, value in environment.items()]
    command = "guest-exec"
    return agent.reader(command).member(agent.call(command, request, deadline=deadline), "pid", int)


def status(agent: Agent, pid: int, *, deadline: Deadline) -> ExecStatus | None:
    """Return the program's exit status and output, or None while it runs.

    The agent forgets the program when it has returned them.

    :param pid: the process id that :func:`start` returned.
    :raises AgentRefused: the agent knows no such program, or has returned its result before.
    """
    command = "guest-exec-status"
    # Repeated after a lost reply, the command returns the same result, or the error that the agent forgot the program.
    reply = agent.call(command, {"pid": pid}, deadline=deadline, repeatable=True)
    reader = agent.reader(command)
    if not reader.member(reply, "exited", bool):
        return None
    signal = reader.optional(reply, "signal", 0)
    return ExecStatus(
        rc=128 + signal if signal else reader.optional(reply, "exitcode", 0),
        stdout=reader.from_base64("out-data", reader.optional(reply, "out-data", "")),
        stderr=reader.from_base64("err-data", reader.optional(reply, "err-data", "")),
    )


def run_script(agent: Agent, script: str, *arguments: str, deadline: Deadline) -> ExecStatus:
    """Run a small shell script and wait for its end.

    :param arguments: the script's arguments ``$1`` and so on.
    :raises ProcessTimedOut: the script did not end before the deadline.
    """
    return run_captured(agent, SHELL, ["-c", script, "sh", *arguments], deadline=deadline)


def run_captured(
    agent: Agent, path: str, arguments: t.Sequence[str], *, deadline: Deadline, stdin: bytes = b""
) -> ExecStatus:
    """Run a program whose output the agent captures, and wait for its end.

    The program must print little and leave no process in the background that has its output open.

    :param stdin: its standard input, which it has to read to the end.
    :raises ProcessTimedOut: the program did not end before the deadline.
    """
    polls = Polls()
    pid = start(agent, path, arguments, stdin=stdin, deadline=deadline)
    while True:
        agent.pause(polls.next_wait(), deadline)
        # The last poll is sent at the deadline, and its reply arrives later.
        with polls.poll():
            ended = status(agent, pid, deadline=max(deadline, Deadline.after(_LAST_POLL_TIMEOUT)))
        if ended is not None:
            return ended
        if deadline.passed:
            raise ProcessTimedOut(f"{agent.endpoint}: {path} in the guest, process {pid}, does not end")
