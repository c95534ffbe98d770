# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program that was started in the guest: whether it has ended, its exit status and output, and how to end it.

:meth:`GuestProcess.poll` reads the exit status from the first of these that has it:

1. the exit report that the launch script prints at its end, in the reply to guest-exec-status;
2. the exit report in the state file, if that reply was lost or the script was killed before it could print;
3. the exit status of the script itself, if it was killed together with the program.

An agent that was restarted does not know the program, which may still run (see :mod:`.scope`). The process id then
shows whether the exit report can still be written.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs import launch_script
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.absence import Absence
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.output import (
    collecting_deadline,
    no_spool,
    read_output,
    spool_full,
)
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.state_file import StateFile, read_state
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.termination import END_GROUP
from ansible_collections.netless.qga.plugins.module_utils._guest.shell import guest_exec
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    CannotUnpack,
    CommandUnavailable,
    GuestFileError,
    OutcomeUnknown,
    ProcessError,
    ProcessTimedOut,
    QgaError,
    WrongUser,
    excerpt,
)

# For steps that are necessary whether or not the program's deadline has passed, in seconds.
_POLL_TIMEOUT = 30.0
_TERMINATE_TIMEOUT = 10.0

# How long the script takes to exit after it has written the exit report, in seconds.
_EXIT_DELAY = 0.005

# More than the command line of a launch script takes, in bytes.
_MAX_CMDLINE = 1000


class GuestProcess:
    """A program that runs in the guest, or has ended there.

    :param name: the program's name, for messages.
    :param spool: the name of the run's spool.
    :param pid: the process id of the launch script, which runs the program.
    :param leads_group: whether the script leads a process group, so that ``pid`` is also the id of the group.
    :param polls: the times at which to poll.
    """

    def __init__(
        self,
        agent: Agent,
        files: Files,
        *,
        name: str,
        spool: str,
        pid: int,
        leads_group: bool,
        polls: guest_exec.Polls,
    ) -> None:
        self.agent = agent
        self.files = files
        self._name = name
        self._spool = spool
        self._pid = pid
        self._leads_group = leads_group
        self._polls = polls
        self._started = time.monotonic()
        self._base = ""
        self._absence = Absence()
        self._state_file = StateFile(files, spool)
        self._exit_report: launch_script.ExitReport | None = None
        #: Whether the program was run, as far as is known; False once the script has reported that it was not.
        self.was_run = True

    @property
    def rc(self) -> int | None:
        """The program's exit status; None until its end is known."""
        return self._exit_report.rc if self._exit_report is not None else None

    def pause(self, deadline: Deadline) -> None:
        """Wait until it is time for the next poll."""
        wait = self._polls.next_wait()
        self.agent.pause(min(wait, _EXIT_DELAY) if self._state_file.has_exit_report else wait, deadline)

    def poll(self) -> bool:
        """Return whether the program has ended.

        :raises WrongUser: the agent runs as another user, and the program was not run.
        :raises CannotUnpack: the guest cannot unpack the program's standard input, and the program was not run.
        :raises ProcessError: the guest's shell could not run the program.
        :raises Unreachable: the agent has been out of reach for too long.
        :raises OutcomeUnknown: replies have been lost for too long; or the agent has forgotten the program, which has
            ended and left no exit report.
        """
        if self._exit_report is None:
            script_status, is_lost = None, False
            with self._absence.tolerate(self._state_file.close):
                try:
                    with self._polls.poll():
                        script_status = self._poll_script()
                except CommandUnavailable:
                    raise
                except AgentRefused:
                    # The agent returned the result once, in a reply that was lost, or the agent was restarted.
                    self._state_file.agent_forgot = True
                    is_running = self._is_script_running()
                    self._exit_report = self._read_exit_report()
                    is_lost = self._exit_report is None and not is_running
            if is_lost:
                self._state_file.close()
                raise OutcomeUnknown(
                    f"{self.agent.endpoint}: the agent has forgotten {self._name}, process {self._pid}, which left no "
                    f"result. Was the agent restarted while it ran?"
                )
            if script_status is not None:
                try:
                    self._exit_report = self._interpret(script_status)
                except ProcessError:
                    self.was_run = False
                    raise
        return self._exit_report is not None

    def _poll_script(self) -> guest_exec.ExecStatus | None:
        """Return how the launch script ended; None if it runs, or it is too early to poll the agent."""
        deadline = Deadline.after(_POLL_TIMEOUT)
        if not self._state_file.should_poll_agent(self._polls.answered_in, deadline):
            return None
        return guest_exec.status(self.agent, self._pid, deadline=deadline)

    def _is_script_running(self) -> bool:
        """Return whether the process id belongs to a launch script, without starting a program to check that."""
        deadline = Deadline.after(_POLL_TIMEOUT)
        try:
            # Everyone can read this file, and it is empty for a process that has ended.
            with self.files.open(f"/proc/{self._pid}/cmdline", "r", deadline) as opened:
                arguments = opened.read(deadline, _MAX_CMDLINE)[0]
        except GuestFileError:
            return False
        return launch_script.LOADER.encode("ascii") in arguments.split(b"\0")

    def wait(self, deadline: Deadline) -> CompletedProcess:
        """Wait for the end of the program, and read its output.

        :raises ProcessTimedOut: the deadline passed; the program and its process group were ended, unless the message
            reports that this is not certain.
        :raises ProcessError: the program wrote more than is read into memory, or than can be read before the deadline
            or in 30 seconds; or its output is lost.
        """
        while not self.poll():
            if deadline.passed:
                raise self._time_out()
            self.pause(deadline)
        self._state_file.close()
        report = t.cast(launch_script.ExitReport, self._exit_report)
        if report.missing:
            raise self._output_lost(*report.missing)
        if report.spool_full:
            raise spool_full(self._ended(), self._base)
        until = collecting_deadline(deadline)
        return CompletedProcess(
            report.rc,
            self._stream("out", until) if "out" in report.streams else b"",
            self._stream("err", until) if "err" in report.streams else b"",
        )

    def terminate(self) -> None:
        """End the program's process group, with SIGTERM and two seconds later with SIGKILL."""
        self._state_file.close()
        if self._leads_group:
            deadline = Deadline.after(_TERMINATE_TIMEOUT)
            guest_exec.run_script(self.agent, END_GROUP, str(self._pid), deadline=deadline)

    def _time_out(self) -> ProcessTimedOut:
        """End the program, and return the error."""
        ran = f"{self.agent.endpoint}: {self._name} was still running after {time.monotonic() - self._started:.1f} s"
        try:
            self.terminate()
        except QgaError as exc:
            return ProcessTimedOut(
                f"{ran}. It is not known whether its process group {self._pid} in the guest was killed: {exc}"
            )
        if self._leads_group:
            return ProcessTimedOut(f"{ran}, and its process group {self._pid} in the guest was killed")
        return ProcessTimedOut(
            f"{ran} as a child of process {self._pid} in the guest. The guest has no setsid to start a process group, "
            f"so the program and its children were not killed"
        )

    def spool_path(self, kind: str) -> str:
        """Return the path of one of the program's spool files. :meth:`find_spool` has to have returned true before."""
        return f"{self._base}/{self._spool}.{kind}"

    def find_spool(self, deadline: Deadline) -> bool:
        """Find the directory of the spool, and return whether the state file is there already."""
        return bool(self._base) or self._read_state(deadline) is not None

    def _interpret(self, script_status: guest_exec.ExecStatus) -> launch_script.ExitReport:
        """Return how the program ended, according to how the launch script ended."""
        parsed = launch_script.parse_exit_report(script_status.stdout)
        if parsed is not None:
            self._base = parsed[0]
            return parsed[1]
        wrong_user = launch_script.parse_wrong_user(script_status.stdout)
        if wrong_user is not None:
            user = excerpt(wrong_user)
            raise WrongUser(
                f"{self.agent.endpoint}: the guest agent runs as {user}, and cannot log in as any other user. Leave "
                f"remote_user unset, or set it to {user}, and use become to run tasks as another user"
            )
        if launch_script.reports_no_room(script_status.stdout):
            raise no_spool(f"{self.agent.endpoint}: {self._name} was not started")
        if launch_script.reports_no_stdin(script_status.stdout):
            raise ProcessError(
                f"{self.agent.endpoint}: {self._name} was not started, as its standard input is not in the guest any "
                f"more. Was the guest restarted, or returned to a snapshot, meanwhile? If not, run the task again"
            )
        if launch_script.reports_no_gzip(script_status.stdout):
            raise CannotUnpack(f"{self.agent.endpoint}: the guest has no gzip")
        report = self._read_exit_report()
        if report is None and not self._base:
            reason = excerpt(script_status.stderr.decode("utf-8", errors="replace"))
            raise ProcessError(f"{self.agent.endpoint}: the guest's {guest_exec.SHELL} cannot run programs: {reason}")
        # The script was killed together with the program, and could not write a report.
        return report or launch_script.ExitReport(script_status.rc, ("out", "err"))

    def _read_exit_report(self) -> launch_script.ExitReport | None:
        state = self._read_state(Deadline.after(_POLL_TIMEOUT))
        return state[1] if state else None

    def _read_state(self, deadline: Deadline) -> tuple[int, launch_script.ExitReport | None] | None:
        state = read_state(self.files, self._spool, deadline)
        if state is None:
            return None
        self._base, pid, report = state
        return pid, report

    def _stream(self, kind: str, deadline: Deadline) -> bytes:
        path = self.spool_path(kind)
        try:
            return read_output(self.files, path, ended=self._ended(), deadline=deadline)
        except FileNotFoundError as exc:
            raise self._output_lost(kind) from exc

    def _ended(self) -> str:
        return f"{self.agent.endpoint}: {self._name} ended with the exit status {self.rc}"

    def _output_lost(self, *kinds: str) -> ProcessError:
        paths = " and ".join(self.spool_path(kind) for kind in kinds)
        return ProcessError(
            f"{self._ended()}, but its output is lost: the guest has no {paths}. Check whether the program, or "
            f"something else in the guest, removes the files in {self._base}, and whether {self._base} is full"
        )
