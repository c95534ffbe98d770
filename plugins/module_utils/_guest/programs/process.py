# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program that was started in the guest: whether it has ended, its exit status and output, and how to end it.

:meth:`GuestProcess.poll` reads the exit status from the first of these that has it:

1. the exit report that the launch script prints at its end, in the reply to guest-exec-status;
2. the exit report in the state file, if that reply was lost or the script was killed before it could print;
3. the exit status of the script itself, if it was killed together with the program.
"""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs import launch_script
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.state_file import StateFile, read_state
from ansible_collections.netless.qga.plugins.module_utils._guest.shell import guest_exec
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    CannotUnpack,
    CommandUnavailable,
    FilesystemsFrozen,
    OutcomeUnknown,
    ProcessError,
    ProcessTimedOut,
    QgaError,
    Unreachable,
    WrongUser,
    excerpt,
)

# For steps that are necessary whether or not the program's deadline has passed, in seconds.
_POLL_TIMEOUT = 30.0
_COLLECT_TIMEOUT = 600.0
_TERMINATE_TIMEOUT = 10.0

# How long the script takes to exit after it has written the exit report, in seconds.
_EXIT_DELAY = 0.005

# How long the agent may be out of reach while a program runs, in seconds. While libvirtd restarts or a snapshot is
# taken, the program goes on, or will go on afterwards.
_AWAY_TIMEOUT = 10.0

# How much of a program's output is read into memory, in bytes: what a guest sends has to be bounded.
_MAX_OUTPUT = 512 * 1024 * 1024


@dataclass(frozen=True)
class CompletedProcess:
    """The end of a program.

    :param rc: the exit status; 128 plus the signal's number if a signal ended the program.
    :param stdout: what the program wrote to standard output.
    :param stderr: what the program wrote to standard error.
    """

    rc: int
    stdout: bytes
    stderr: bytes


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
        self._away_deadline: Deadline | None = None
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
        :raises OutcomeUnknown: replies have been lost for too long; or the agent has forgotten the program, which left
            no exit report.
        """
        if self._exit_report is None:
            try:
                with self._polls.poll():
                    script_status = self._poll_script()
            except (FilesystemsFrozen, Unreachable, OutcomeUnknown):
                self._state_file.close()
                self._away_deadline = self._away_deadline or Deadline.after(_AWAY_TIMEOUT)
                if self._away_deadline.passed:
                    raise
            except CommandUnavailable:
                raise
            except AgentRefused as exc:
                # The agent returned the result once, in a reply that was lost, or the agent was restarted.
                self._exit_report = self._read_exit_report()
                if self._exit_report is None:
                    raise OutcomeUnknown(
                        f"{self.agent.endpoint}: the agent has forgotten {self._name}, process {self._pid}, which left "
                        f"no result. Was the agent restarted while it ran?"
                    ) from exc
            else:
                self._away_deadline = None
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

    def wait(self, deadline: Deadline) -> CompletedProcess:
        """Wait for the end of the program, and read its output.

        :raises ProcessTimedOut: the deadline passed; the program and its process group were ended, unless the message
            reports that this is not certain.
        :raises ProcessError: the program wrote more than is read into memory, or its output is lost.
        """
        while not self.poll():
            if deadline.passed:
                raise self._time_out()
            self.pause(deadline)
        self._state_file.close()
        report = t.cast(launch_script.ExitReport, self._exit_report)
        if report.missing:
            raise self._output_lost(*report.missing)
        until = Deadline.after(_COLLECT_TIMEOUT)
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
            guest_exec.run_script(self.agent, launch_script.END_GROUP, str(self._pid), deadline=deadline)

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
        chunks: list[bytes] = []
        size = 0
        try:
            for chunk in self.files.read(self.spool_path(kind), deadline=deadline):
                size += len(chunk)
                if size > _MAX_OUTPUT:
                    raise ProcessError(
                        f"{self.agent.endpoint}: {self._name} ended with the exit status {self.rc}, and wrote more "
                        f"than {_MAX_OUTPUT} bytes, which is more than Ansible reads into memory. Let it write to a "
                        f"file, and fetch the file"
                    )
                chunks.append(chunk)
        except FileNotFoundError as exc:
            raise self._output_lost(kind) from exc
        return b"".join(chunks)

    def _output_lost(self, *kinds: str) -> ProcessError:
        paths = " and ".join(self.spool_path(kind) for kind in kinds)
        return ProcessError(
            f"{self.agent.endpoint}: {self._name} ended with the exit status {self.rc}, but its output is lost: the "
            f"guest has no {paths}. Check whether the program, or something else in the guest, removes the files in "
            f"{self._base}, and whether {self._base} is full"
        )
