# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starting a program through guest-exec and noticing its end, and the small scripts that are run that way.

guest-exec keeps up to 16 MiB of a program's output, waits for everyone who inherited it, and forgets the result once it
was told. That is good enough for scripts of our own, which say little and leave nobody behind. Programs of the user are
run by :mod:`.runner`.
"""

from __future__ import annotations

import base64
import contextlib
import math
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._agent.reply import from_base64, member, optional
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import ProcessTimedOut

SHELL = "/bin/sh"

# The agent logs each poll in the guest, so that what it costs is more than the time that its answer takes.
_POLL_COST = 2.0
_MIN_POLL_COST = 0.002
_MIN_WAIT = 0.003
_MAX_WAIT = 10.0

# What the agent may take for the last answer to a script of ours, in seconds.
_LAST_POLL_TIMEOUT = 2.0


@dataclass(frozen=True)
class ExecStatus:
    """How a program ended (QAPI ``GuestExecStatus``).

    :param rc: its exit status, or 128 and the signal's number as shells have it.
    :param stdout: what the agent captured; at most 16 MiB.
    :param stderr: likewise.
    """

    rc: int
    stdout: bytes
    stderr: bytes


class Polls:
    """When to ask next whether a program has ended, which is begun when the program is.

    A program is the less likely to end in the next moment the longer it has run, in proportion. Then polls that cost
    the guest c seconds each, and the half of a wait by which the end is noticed late, add up to the least when the
    wait after t seconds is the square root of 2ct.
    """

    def __init__(self) -> None:
        self._started = time.monotonic()
        #: Seconds that the fastest answer took, 0 before there is one. The others had to wait for the program to let
        #: the processor go.
        self.answered_in = 0.0

    def next_wait(self) -> float:
        """Seconds until the next poll."""
        cost = max(_MIN_POLL_COST, _POLL_COST * self.answered_in)
        elapsed = time.monotonic() - self._started
        return max(_MIN_WAIT, min(math.sqrt(2 * cost * elapsed), _MAX_WAIT))

    @contextlib.contextmanager
    def poll(self) -> t.Iterator[None]:
        """Around a poll, to see what it costs."""
        asked = time.monotonic()
        yield
        answered_in = time.monotonic() - asked
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
    """Start a program; returns its process id in the guest.

    :param arguments: without the program itself. The agent writes them to the guest's log.
    :param stdin: what the program gets to read. The agent logs nothing of it.
    :param environment: in place of the agent's own.
    :raises AgentRefused: among others, there is no such program.
    """
    request: dict[str, t.Any] = {"path": path, "arg": list(arguments), "capture-output": True}
    if stdin:
        request["input-data"] = base64.b64encode(stdin).decode("ascii")
    if environment is not None:
        request["env"] = [f"{name}={value}" for name, value in environment.items()]
    return member("guest-exec", agent.call("guest-exec", request, deadline=deadline), "pid", int)


def status(agent: Agent, pid: int, *, deadline: Deadline) -> ExecStatus | None:
    """How the program ended, or None while it runs. The agent forgets the answer when it has given it.

    :raises AgentRefused: the agent knows no such program, or has told before.
    """
    command = "guest-exec-status"
    # Asked again after a lost answer it either says the same, or that it has forgotten.
    reply = agent.call(command, {"pid": pid}, deadline=deadline, repeatable=True)
    if not member(command, reply, "exited", bool):
        return None
    signal = optional(command, reply, "signal", 0)
    return ExecStatus(
        rc=128 + signal if signal else optional(command, reply, "exitcode", 0),
        stdout=from_base64(command, "out-data", optional(command, reply, "out-data", "")),
        stderr=from_base64(command, "err-data", optional(command, reply, "err-data", "")),
    )


def run_script(agent: Agent, text: str, *arguments: str, deadline: Deadline) -> ExecStatus:
    """Run a small shell script of ours to its end.

    :param arguments: become ``$1`` and so on.
    :raises ProcessTimedOut: it did not end before the deadline.
    """
    return run_captured(agent, SHELL, ["-c", text, "sh", *arguments], deadline=deadline)


def run_captured(agent: Agent, path: str, arguments: t.Sequence[str], *, deadline: Deadline) -> ExecStatus:
    """Run a program that says little and leaves nobody behind to its end.

    :raises ProcessTimedOut: it did not end before the deadline.
    """
    polls = Polls()
    pid = start(agent, path, arguments, deadline=deadline)
    while True:
        agent.pause(polls.next_wait(), deadline)
        # The last look comes at the deadline, and its answer after it.
        with polls.poll():
            ended = status(agent, pid, deadline=max(deadline, Deadline.after(_LAST_POLL_TIMEOUT)))
        if ended is not None:
            return ended
        if deadline.passed:
            raise ProcessTimedOut(f"{agent.endpoint}: {path} in the guest, process {pid}, does not end")
