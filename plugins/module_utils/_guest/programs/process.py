# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program that was started in the guest: whether it has ended, what it left, and how to end it."""

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
    Unreachable,
    WrongUser,
    excerpt,
)

# For what has to be done whatever became of the deadline, in seconds.
_ASK_TIMEOUT = 30.0
_COLLECT_TIMEOUT = 600.0
_END_TIMEOUT = 10.0

# What the script takes for its exit after it has written down the end.
_EXIT_DELAY = 0.005

# How long the agent may be out of reach while a program runs, in seconds. When libvirtd is restarted or a snapshot is
# taken, the program goes on, or will.
_AWAY_TIMEOUT = 10.0

# How much of a program's output is taken into memory, in bytes: what a guest sends has to be bounded.
_MAX_OUTPUT = 512 * 1024 * 1024


@dataclass(frozen=True)
class CompletedProcess:
    """How a program ended.

    :param rc: its exit status; 128 and the signal's number if a signal ended it.
    :param stdout: what it wrote to standard output.
    :param stderr: what it wrote to standard error.
    """

    rc: int
    stdout: bytes
    stderr: bytes


class GuestProcess:
    """A program under way.

    :param name: what was started, for messages.
    :param spool: the name of its spool.
    :param pid: the process id of the script that runs it.
    :param leads_group: whether that is the id of a process group too.
    :param polls: when to ask for it.
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
        self._away: Deadline | None = None
        self._state_file = StateFile(files, spool)
        self._exit_report: launch_script.ExitReport | None = None
        #: Whether it was run, unless the script has told otherwise.
        self.was_run = True

    @property
    def rc(self) -> int | None:
        """Its exit status; None if it is not known to have ended."""
        return self._exit_report.rc if self._exit_report is not None else None

    def pause(self, deadline: Deadline) -> None:
        """Wait as long as it is sensible before the next look at the program."""
        wait = self._polls.next_wait()
        self.agent.pause(min(wait, _EXIT_DELAY) if self._state_file.has_exit_report else wait, deadline)

    def poll(self) -> bool:
        """Whether the program has ended.

        :raises WrongUser: the agent runs as another user, and the program was not run.
        :raises CannotUnpack: the guest cannot unpack its standard input, and it was not run.
        :raises ProcessError: the guest's shell could not run it.
        :raises Unreachable: the agent has been away for too long.
        :raises OutcomeUnknown: likewise; or it knows nothing of the program any more, and that left no result.
        """
        if self._exit_report is None:
            try:
                with self._polls.poll():
                    told = self._poll_script()
            except (FilesystemsFrozen, Unreachable, OutcomeUnknown):
                self._state_file.close()
                self._away = self._away or Deadline.after(_AWAY_TIMEOUT)
                if self._away.passed:
                    raise
            except CommandUnavailable:
                raise
            except AgentRefused as exc:
                # It was told once, in a reply that was lost, or the agent was started anew.
                self._exit_report = self._read_exit_report()
                if self._exit_report is None:
                    raise OutcomeUnknown(
                        f"{self.agent.endpoint}: the agent has forgotten {self._name}, process {self._pid}, which left "
                        f"no result. Was the agent restarted while it ran?"
                    ) from exc
            else:
                self._away = None
                if told is not None:
                    try:
                        self._exit_report = self._interpret(told)
                    except ProcessError:
                        self.was_run = False
                        raise
        return self._exit_report is not None

    def _poll_script(self) -> guest_exec.ExecStatus | None:
        """How the script ended, or None while it runs."""
        deadline = Deadline.after(_ASK_TIMEOUT)
        if not self._state_file.should_poll_agent(self._polls.answered_in, deadline):
            return None
        return guest_exec.status(self.agent, self._pid, deadline=deadline)

    def wait(self, deadline: Deadline) -> CompletedProcess:
        """Wait for the end of the program, and collect what it left.

        :raises ProcessTimedOut: the deadline came first; the program and all of its process group are killed.
        :raises ProcessError: it left more than is taken into memory.
        """
        while not self.poll():
            if deadline.passed:
                raise self._timed_out()
            self.pause(deadline)
        self._state_file.close()
        ended = t.cast(launch_script.ExitReport, self._exit_report)
        until = Deadline.after(_COLLECT_TIMEOUT)
        return CompletedProcess(
            ended.rc,
            self._stream("out", until) if "out" in ended.streams else b"",
            self._stream("err", until) if "err" in ended.streams else b"",
        )

    def terminate(self) -> None:
        """End the program's process group: first by SIGTERM, and after two seconds by SIGKILL."""
        self._state_file.close()
        if self._leads_group:
            deadline = Deadline.after(_END_TIMEOUT)
            guest_exec.run_script(self.agent, launch_script.END_GROUP, str(self._pid), deadline=deadline)

    def _timed_out(self) -> ProcessTimedOut:
        ran = f"{self.agent.endpoint}: {self._name} was still running after {time.monotonic() - self._started:.1f} s"
        self.terminate()
        if self._leads_group:
            return ProcessTimedOut(f"{ran}, and its process group {self._pid} in the guest was killed")
        return ProcessTimedOut(
            f"{ran} as a child of process {self._pid} in the guest, which has no setsid to make it a group: what it "
            f"started is not known, and was not killed"
        )

    def spool_path(self, kind: str) -> str:
        """The path of one of the program's spool files, for which its state file has to be there."""
        return f"{self._base}/{self._spool}.{kind}"

    def find_spool(self, deadline: Deadline) -> bool:
        """Find out where the spool is; False if it is not there, or not yet."""
        return bool(self._base) or self._read_state(deadline) is not None

    def _interpret(self, told: guest_exec.ExecStatus) -> launch_script.ExitReport:
        """What the script's own end says about that of the program."""
        report = launch_script.parse_exit_report(told.stdout)
        if report is not None:
            self._base = report[0]
            return report[1]
        user = launch_script.parse_wrong_user(told.stdout)
        if user is not None:
            found = excerpt(user)
            raise WrongUser(
                f"{self.agent.endpoint}: the guest agent runs as {found}, and no other user can be logged in as "
                f"through it. Leave remote_user unset, or set it to {found}, and use become to act as somebody else"
            )
        if launch_script.reports_no_gzip(told.stdout):
            raise CannotUnpack(f"{self.agent.endpoint}: the guest has no gzip")
        written = self._read_exit_report()
        if written is None and not self._base:
            said = excerpt(told.stderr.decode("utf-8", errors="replace"))
            raise ProcessError(f"{self.agent.endpoint}: the guest's {guest_exec.SHELL} cannot run programs: {said}")
        # The script was killed together with the program, and could not write down how that ended.
        return written or launch_script.ExitReport(told.rc, ("out", "err"))

    def _read_exit_report(self) -> launch_script.ExitReport | None:
        state = self._read_state(Deadline.after(_ASK_TIMEOUT))
        return state[1] if state else None

    def _read_state(self, deadline: Deadline) -> tuple[int, launch_script.ExitReport | None] | None:
        found = read_state(self.files, self._spool, deadline)
        if found is None:
            return None
        self._base, pid, ended = found
        return pid, ended

    def _stream(self, kind: str, deadline: Deadline) -> bytes:
        chunks: list[bytes] = []
        size = 0
        for chunk in self.files.read(self.spool_path(kind), deadline=deadline):
            size += len(chunk)
            if size > _MAX_OUTPUT:
                raise ProcessError(
                    f"{self.agent.endpoint}: {self._name} ended with the exit status {self.rc}, and wrote more than "
                    f"{_MAX_OUTPUT} bytes, which is more than is taken into memory. Let it write to a file, and fetch "
                    f"that"
                )
            chunks.append(chunk)
        return b"".join(chunks)
