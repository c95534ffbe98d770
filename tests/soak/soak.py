# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many calls and programs on one agent, and what both sides use meanwhile."""

from __future__ import annotations

import itertools
import math
import os
import pathlib
import tempfile
import time
import typing as t
from types import TracebackType

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES
from ansible_collections.netless.qga.tests.guests.connection_processes import end_all, pids
from ansible_collections.netless.qga.tests.guests.sandbox import SandboxedAgent

from .usage import Usage, usage

SAMPLES = 40
"""How often both sides are looked at in one run."""
_BATCH = 30
_PERSIST = 600.0
_TIMEOUT = 120.0
_SETTLE_TIMEOUT = 5.0

CALLS: dict[str, t.Callable[[t.Any], bool]] = {
    "guest-ping": lambda reply: bool(reply == {}),
    "guest-get-host-name": lambda reply: bool(reply == {"host-name": "netless"}),
    "guest-get-time": lambda reply: isinstance(reply, int) and reply > 0,
}
"""The commands that are called in turn, and whether a reply is the right one."""


class Soak:
    """Uses of one agent.

    :param guest: the sandbox, which nothing else uses.
    :param end: when to stop early, in seconds of the monotonic clock.
    """

    def __init__(self, guest: SandboxedAgent, end: float = math.inf) -> None:
        self.done = 0
        """How many calls were made, or programs were run, by the last method that was called."""
        self._end = end
        self.controller: list[Usage] = []
        """What this side uses: this process, and the connection processes that it has started."""
        self.agent: list[Usage] = []
        """What the other side uses: the agent's memory and open files, and the processes and files of the guest."""
        self._guest = guest
        self._runs = 0
        self._directory = tempfile.TemporaryDirectory(prefix="qga-soak-")
        self._previous = os.environ.get("XDG_RUNTIME_DIR")

    def __enter__(self) -> Soak:
        os.environ["XDG_RUNTIME_DIR"] = self._directory.name
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end_all(self._directory.name)
        if self._previous is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = self._previous
        self._directory.cleanup()

    def call(self, count: int) -> float:
        """Call commands on one channel, and return how many a second there were.

        Half of the exchanges are one call, and half are :data:`_BATCH` calls.

        :raises AssertionError: a reply was not the right one.
        """
        agent = self._open(persist=0)
        sizes = itertools.cycle((1, _BATCH))
        try:
            return self._repeat(count, lambda left: _call(agent, min(next(sizes), left)))
        finally:
            agent.close()

    def run_programs(self, count: int) -> float:
        """Run programs as tasks do, each with new objects of a task, and return how many a second there were.

        A process keeps the channel open between them.

        :raises AssertionError: a result was not the right one.
        """
        return self._repeat(count, self._run_task)

    def _run_task(self, dummy: int) -> int:
        self._runs += 1
        number = self._runs
        agent = self._open(persist=_PERSIST)
        runner = ProgramRunner(agent, Files(agent))
        try:
            script = f"cat; echo {number} >&2; exit {number % 100}"
            stdin = b"%d" % number
            result = runner.run(["sh", "-c", script], stdin=stdin, deadline=Deadline.after(_TIMEOUT))
            assert (result.rc, result.stdout, result.stderr) == (number % 100, stdin, b"%d\n" % number), result
        finally:
            runner.close()
            agent.close()
        return 1

    def _open(self, persist: float) -> Agent:
        target = Target(Address(self._guest.endpoint), persist=persist)
        return target.agent(native_calls=False, validate_replies=False, limit_each_reply=True)

    def _repeat(self, count: int, work: t.Callable[[int], int]) -> float:
        """Do something many times, look at both sides in between, and return how often it was done in a second.

        :param work: takes how often something may be done at most, and returns how often it was done.
        """
        self.controller.clear()
        self.agent.clear()
        self.done, worked = 0, 0.0
        for sample in range(1, SAMPLES + 1):
            started = time.monotonic()
            while (left := count * sample // SAMPLES - self.done) > 0 and time.monotonic() < self._end:
                self.done += work(left)
            worked += time.monotonic() - started
            if left > 0:
                break
            self._wait_until_settled()
            self.controller.append(self._look_at_controller())
            self.agent.append(self._look_at_guest())
        return self.done / worked

    def _wait_until_settled(self) -> None:
        """Wait until programs that have returned their result have ended, which takes milliseconds."""
        end = time.monotonic() + _SETTLE_TIMEOUT
        while time.monotonic() < end:
            time.sleep(0.05)
            if not self.agent or self._look_at_guest().processes <= self.agent[0].processes:
                return

    def _look_at_controller(self) -> Usage:
        own = [os.getpid(), *pids(self._directory.name)]
        directories = [path for path in pathlib.Path(self._directory.name).iterdir() if path.is_dir()]
        children = set(
            map(int, pathlib.Path("/proc/self/task", str(os.getpid()), "children").read_text(encoding="ascii").split())
        )
        return usage(own, len(children.union(own)), directories)

    def _look_at_guest(self) -> Usage:
        root = pathlib.Path(f"/proc/{self._guest.pid}/root")
        processes = sum(entry.isdigit() for entry in os.listdir(root / "proc"))
        return usage([self._guest.pid], processes, [root / base.lstrip("/") for base in BASES])


def _call(agent: Agent, count: int) -> int:
    """Make a number of calls in one exchange, check the replies, and return the number."""
    commands = list(itertools.islice(itertools.cycle(CALLS), count))
    calls = [Call(command, {}) for command in commands]
    for command, reply in zip(commands, agent.call_all(calls, deadline=Deadline.after(_TIMEOUT))):
        assert CALLS[command](reply), (command, reply)
    return count
