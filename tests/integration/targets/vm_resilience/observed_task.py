# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A task that something is done to, and the truth about it."""

from __future__ import annotations

import itertools
import os
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils.errors import OutcomeUnknown, QgaError, Unreachable
from ansible_collections.netless.qga.tests.integration.targets.vm_resilience.faulty_guest import NAME, Guest
from ansible_collections.netless.qga.tests.lab.libvirt_daemons import URI

CONTENT = b"some text\n" * 1000
"""What is copied, and what programs write: more than one reply has."""
_TIMEOUT = 90.0
_numbers = itertools.count()


class ObservedTask:
    """One task's use of the agent.

    :param endpoint: of the agent.
    """

    def __init__(self, guest: Guest, endpoint: str = "libvirt") -> None:
        self.number = next(_numbers)
        self.right_result = CompletedProcess(7, CONTENT, b"%d\n" % self.number)
        self._guest = guest
        self._path = f"/root/task-{os.getpid()}-{self.number}"
        self._answers = 0
        self._planned: tuple[int, t.Callable[[], object]] | None = None
        target = Target(
            Address(endpoint, NAME, URI), connect_timeout=30, reply_timeout=15, chunk=4000, log=self._observe
        )
        self._agent = target.agent(native_calls=False, validate_replies=False, limit_each_reply=True)
        self._files = Files(self._agent)
        self._programs = ProgramRunner(self._agent, self._files)

    def close(self) -> None:
        """End the task."""
        self._planned = None
        self._programs.close()
        self._agent.close()

    def after_answer(self, number: int, disturb: t.Callable[[], object]) -> None:
        """Do something when the agent has answered a number of calls."""
        self._answers, self._planned = 0, (number, disturb)

    @property
    def was_disturbed(self) -> bool:
        """Whether what :meth:`after_answer` was given was done."""
        return self._planned is None

    def run_program(self, seconds: float = 0.5, timeout: float = _TIMEOUT) -> CompletedProcess | QgaError:
        """Run a program that counts its executions, and return its result or the error.

        :param seconds: how long the program takes.
        """
        script = f"echo run >>{self._path}; sleep {seconds}; echo {self.number} >&2; cat; exit 7"
        try:
            return self._programs.run(["sh", "-c", script], stdin=CONTENT, deadline=Deadline.after(timeout))
        except QgaError as error:
            return error

    def transfer(self) -> QgaError | None:
        """Copy a file into the guest and back, and return the error; a wrong content fails the test."""
        path = f"{self._path}.copy"
        try:
            self._files.write_bytes(path, CONTENT, deadline=Deadline.after(_TIMEOUT))
            assert b"".join(self._files.read(path, deadline=Deadline.after(_TIMEOUT))) == CONTENT
        except QgaError as error:
            return error
        return None

    def check(self, result: CompletedProcess | QgaError) -> None:
        """Check that the result of the program is the truth: the right one, or an error that does not deny a run."""
        runs = self._guest.shell(f"cat {self._path} || :").split()
        assert runs in ([], ["run"]), runs
        if isinstance(result, CompletedProcess):
            assert result == self.right_result
            assert runs
        elif runs:
            assert not isinstance(result, Unreachable) or self._programs.may_have_run, result

    def check_unknown(self, result: CompletedProcess | QgaError) -> None:
        """Check that nothing is claimed about a program that has disappeared."""
        assert isinstance(result, (OutcomeUnknown, Unreachable)), result
        assert self._programs.may_have_run

    def _observe(self, line: str) -> None:
        if self._planned is None or "answered after" not in line:
            return
        self._answers += 1
        number, disturb = self._planned
        if self._answers == number:
            self._planned = None
            disturb()
