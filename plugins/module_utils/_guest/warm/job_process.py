# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A job of a warm server, from its claim to its end, as :class:`..programs.process.GuestProcess` is for a program."""

from __future__ import annotations

import contextlib
import os
import time

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.files.open_file import OpenFile
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.absence import Absence
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.output import (
    collecting_deadline,
    read_output,
    spool_full,
)
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.termination import END_GROUP
from ansible_collections.netless.qga.plugins.module_utils._guest.shell import guest_exec
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.job_state import (
    MAX_SIZE,
    JobState,
    parse_job_state,
    withdrawal,
)
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    LOST_ANSWER,
    GuestFileError,
    OutcomeUnknown,
    ProcessError,
    ProcessTimedOut,
    QgaError,
    Unreachable,
)

# How long a server may take to claim a job, in seconds. It claims one as soon as it has compiled what is new.
_CLAIM_TIMEOUT = 60.0

# For steps that are necessary whether or not the job's deadline has passed, in seconds.
_POLL_TIMEOUT = 30.0
_TERMINATE_TIMEOUT = 10.0

# How long to try to withdraw a job, in seconds.
_WITHDRAW_TIMEOUT = 10.0

# How long a full filesystem may keep the output out of the state file, in seconds.
_INLINE_TIMEOUT = 2.0

# When to check for the first time that the server is still there, in seconds.
_REOPEN_AFTER = 1.0

# Ends the process group $1 if its leader belongs to the user $2: the state file, which names it, is that user's.
_END_JOB = f'[ "$(stat -c %u "/proc/$1" 2>/dev/null)" = "$2" ]||exit 0\n{END_GROUP}'


class JobProcess:
    """A job that was sent to a server.

    :param name: the name of its module, for messages.
    :param prefix: the path of the job's files without their suffix.
    :param nonce: the job's random text.
    :param uid: the id of the server's user.
    :param state_file: the job's state file, if the agent has it open already.
    """

    def __init__(
        self,
        agent: Agent,
        files: Files,
        *,
        name: str,
        prefix: str,
        nonce: str,
        uid: int,
        state_file: OpenFile | None = None,
    ) -> None:
        self._agent = agent
        self._files = files
        self._name = name
        self._prefix = prefix
        self._nonce = nonce
        self._uid = uid
        self._opened = state_file
        self._text = b""
        self._polls = guest_exec.Polls()
        self._started = time.monotonic()
        self._absence = Absence()
        # Seconds after the start.
        self._reopen_after = _REOPEN_AFTER
        # Whether the module's process was gone at the last check.
        self._was_gone = False
        #: What is known of the job.
        self.state = JobState()

    def wait_for_claim(self, deadline: Deadline) -> JobState:
        """Wait until it is decided whether the job runs. Withdraw it if the server does not claim it in time.

        :raises OutcomeUnknown: that cannot be found out.
        """
        deadline = deadline.within(_CLAIM_TIMEOUT)
        while self._poll().claimed is None and not deadline.passed:
            self._agent.pause(self._polls.next_wait(), deadline)
        return self.state if self.state.claimed is not None else self.withdraw()

    def withdraw(self) -> JobState:
        """Withdraw the job unless the server has claimed it. Afterwards it is certain whether it runs.

        :raises OutcomeUnknown: that cannot be found out.
        """
        deadline = Deadline.after(_WITHDRAW_TIMEOUT)
        while True:
            try:
                # The first line of the file counts, and appending this one again does no harm.
                with self._files.open(f"{self._prefix}.state", "a", deadline) as opened:
                    opened.write(withdrawal(self._nonce), deadline)
            except GuestFileError:
                self._conclude()
            except (Unreachable, *LOST_ANSWER):
                if deadline.passed:
                    raise
            if self._poll().claimed is not None:
                return self.state
            if deadline.passed:
                raise self._lost()
            self._agent.pause(self._polls.next_wait(), deadline)

    def wait(self, deadline: Deadline) -> CompletedProcess:
        """Wait for the end of a job that was claimed, and read its output.

        :raises ProcessTimedOut: the deadline passed; the module and its process group were ended, unless the message
            reports that this is not certain.
        :raises ProcessError: the module wrote more than is read into memory, or than the guest has room for.
        :raises OutcomeUnknown: the result is lost.
        """
        while self._poll().rc is None:
            if deadline.passed:
                raise self._time_out()
            self._agent.pause(self._polls.next_wait(), deadline)
        rc = self.state.rc or 0
        if self.state.spool_full:
            raise spool_full(self._ended(), os.path.dirname(os.path.dirname(self._prefix)))
        until = Deadline.after(_INLINE_TIMEOUT)
        while self.state.output is None and self.state.has_inline_output and not until.passed:
            self._agent.pause(self._polls.next_wait(), until)
            self._poll()
        self.close()
        if self.state.output is not None:
            return CompletedProcess(rc, *self.state.output)
        until = collecting_deadline(deadline)
        return CompletedProcess(rc, self._read_output("out", until), self._read_output("err", until))

    def close(self) -> None:
        """Close the state file."""
        opened, self._opened = self._opened, None
        if opened is not None:
            with contextlib.suppress(QgaError):
                opened.close()

    def _poll(self) -> JobState:
        """Read the state file.

        :raises Unreachable: the agent has been out of reach for too long.
        :raises OutcomeUnknown: replies have been lost for too long, or the file is gone.
        """
        with self._absence.tolerate(self.close), self._polls.poll():
            self._read_more(Deadline.after(_POLL_TIMEOUT))
        return self.state

    def _read_more(self, deadline: Deadline) -> None:
        if self.state.reason:
            return
        elapsed = time.monotonic() - self._started
        is_due = self._opened is None or elapsed > self._reopen_after
        if is_due:
            self._reopen_after = 2 * elapsed
            self._reopen(deadline)
        if self._opened is None or self.state.reason:
            return
        try:
            self._text += self._opened.read(deadline, MAX_SIZE)[0]
        except GuestFileError:
            # The agent was restarted and has no open files.
            self._opened = None
            return
        # What the guest writes into the file has to be bounded.
        self._text = self._text[:MAX_SIZE]
        self.state = parse_job_state(self._text, self._nonce)
        if is_due and self.state.rc is None:
            self._check_server(deadline)
            self._check_process(deadline)

    def _reopen(self, deadline: Deadline) -> None:
        """Open the state file again: the last read may have been lost."""
        try:
            opened = self._files.open(f"{self._prefix}.state", "r", deadline)
        except GuestFileError:
            self._conclude()
            return
        self.close()
        self._opened, self._text = opened, b""

    def _check_server(self, deadline: Deadline) -> None:
        """Check that the server, or the supervisor of a job, is there: otherwise the FIFO is removed.

        :raises OutcomeUnknown: the job was claimed and has not ended.
        """
        try:
            self._files.open(f"{os.path.dirname(self._prefix)}/jobs", "r+", deadline).close()
        except GuestFileError:
            self._conclude()

    def _check_process(self, deadline: Deadline) -> None:
        """Check that the module's process is there, since the process that reports its end may have been killed.

        :raises OutcomeUnknown: it was not there the last time either, and its end has not been reported since.
        """
        is_gone = False
        if self.state.pid is not None and self.state.rc is None:
            try:
                self._files.open(f"/proc/{self.state.pid}/stat", "r", deadline).close()
            except GuestFileError:
                is_gone = True
        if is_gone and self._was_gone:
            raise self._lost()
        self._was_gone = is_gone

    def _conclude(self) -> None:
        """Take what the state file has as the end, since nobody writes into it any more.

        :raises OutcomeUnknown: the job was claimed and has not ended, or the file cannot be read any more.
        """
        if self._opened is not None and self.state.rc is None:
            deadline = Deadline.after(_POLL_TIMEOUT)
            with contextlib.suppress(GuestFileError):
                self._text += self._opened.read(deadline, MAX_SIZE)[0]
                self.state = parse_job_state(self._text[:MAX_SIZE], self._nonce)
                if self.state.claimed is None:
                    self.state = JobState(claimed=False, reason="gone")
        if self.state.rc is None and self.state.claimed is not False:
            raise self._lost()

    def _time_out(self) -> ProcessTimedOut:
        ran = f"{self._agent.endpoint}: {self._name} was still running after {time.monotonic() - self._started:.1f} s"
        self.close()
        pid = self.state.pid
        try:
            if pid is None:
                raise ProcessError("its process id is unknown")
            arguments = (str(pid), str(self._uid))
            guest_exec.run_script(self._agent, _END_JOB, *arguments, deadline=Deadline.after(_TERMINATE_TIMEOUT))
        except QgaError as exc:
            return ProcessTimedOut(
                f"{ran}. It is not known whether its process group {pid} in the guest was killed: {exc}"
            )
        return ProcessTimedOut(f"{ran}, and its process group {pid} in the guest was killed")

    def _read_output(self, kind: str, deadline: Deadline) -> bytes:
        return read_output(self._files, f"{self._prefix}.{kind}", ended=self._ended(), deadline=deadline)

    def _ended(self) -> str:
        return f"{self._agent.endpoint}: {self._name} ended with the exit status {self.state.rc}"

    def _lost(self) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"{self._agent.endpoint}: it is not known what became of {self._name}: its process in the guest has ended, "
            f"and has left no result in {self._prefix}.state. Was the guest restarted while it ran?"
        )
