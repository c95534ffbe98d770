# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A warm server as the controller knows it: how it starts, takes jobs and ends."""

from __future__ import annotations

import contextlib
import secrets
import typing as t
from dataclasses import dataclass, field

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.files.open_file import OpenFile
from ansible_collections.netless.qga.plugins.module_utils._guest.shell import guest_exec
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.job_message import JobMessage
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.job_process import JobProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.payload import Payload
from ansible_collections.netless.qga.plugins.module_utils.errors import LOST_ANSWER, GuestFileError, QgaError

#: How many jobs a server has files for. It ends after the last one.
SLOTS = 100

#: The limits of a server: seconds without a job, seconds in all, and bytes of memory that it does not share.
LIMITS = {"idle": 60.0, "life": 3600.0, "memory": 64.0 * 1024 * 1024, "slots": float(SLOTS)}

#: How long the results of a server stay when it has ended, in seconds. A client may look for one only 10 seconds after
#: the last time (:class:`..shell.guest_exec.Polls`), and a busy guest is slow to reply.
LINGER = 30

# The capacity of a FIFO that nobody has changed (pipe(7)).
_DEFAULT_CAPACITY = 64 * 1024

# Ends the server in the directory $1 of any base, and waits for that for two seconds. Nobody waits for its results any
# more. Opened for reading and writing, a FIFO blocks nobody.
_END = f"""\
for b in {" ".join(BASES)};do
[ -p "$b/$1/jobs" ]||continue
printf '\\n"end"\\n' 1<>"$b/$1/jobs"
n=20;while [ $n -gt 0 ]&&[ -p "$b/$1/jobs" ];do sleep 0.1 2>/dev/null||sleep 1;n=$((n-1));done
[ -p "$b/$1/jobs" ]||rm -rf "$b/$1"
done"""
_END_TIMEOUT = 10.0

# For giving a job to the agent, in seconds.
_SEND_TIMEOUT = 60.0


@dataclass
class WarmServer:
    """A server that has started.

    :param name: the name of its directory.
    :param base: the directory that has this one.
    :param uid: the id of the user that it runs as.
    :param next_slot: the number of the next job.
    :param capacity: how many bytes its FIFO holds.
    :param sent: the names of what it has of payloads.
    """

    name: str
    base: str
    uid: int
    next_slot: int = 2
    capacity: int = _DEFAULT_CAPACITY
    sent: set[str] = field(default_factory=set)

    @classmethod
    def from_dict(cls, content: t.Mapping[str, t.Any]) -> WarmServer | None:
        """Return the server that :meth:`as_dict` described; None if it described none."""
        try:
            server = cls(**{**content, "sent": set(content["sent"])})
        except (KeyError, TypeError):
            return None
        texts = (server.name, server.base, *server.sent)
        numbers = (server.uid, server.next_slot, server.capacity)
        is_sound = all(isinstance(text, str) for text in texts) and all(isinstance(number, int) for number in numbers)
        return server if is_sound else None

    def as_dict(self) -> dict[str, t.Any]:
        """Return everything as values that JSON can hold."""
        return {**vars(self), "sent": sorted(self.sent)}

    def submit(
        self,
        agent: Agent,
        files: Files,
        payload: Payload,
        deadline: Deadline,
        record: t.Callable[[WarmServer], bool],
    ) -> JobProcess | None:
        """Send a job to the server.

        :param deadline: when to stop sending.
        :param record: takes the server before the job is sent, so that no other task uses the job's files. It returns
            whether the server is recorded.
        :returns: the job, which the server may not have claimed; None if it was certainly not sent.
        """
        slot, nonce = self.next_slot, secrets.token_hex(8)
        try:
            message = JobMessage(payload, slot, nonce, self.sent)
        except ValueError:
            return None
        line = message.as_line()
        if slot > SLOTS or len(line) > self.capacity:
            return None
        self.next_slot += 1
        self.sent |= message.brings
        if not record(self):
            return None
        deadline = deadline.within(_SEND_TIMEOUT)
        prefix = f"{self.base}/{self.name}"
        try:
            state_file, jobs = files.open_all([(f"{prefix}/{slot}.state", "r"), (f"{prefix}/jobs", "r+")], deadline)
        except (GuestFileError, *LOST_ANSWER):
            # The server has ended, or the guest was restarted, or a reply is lost. The job was not sent.
            return None
        process = self.job_process(agent, files, payload, slot, nonce, state_file)
        try:
            with jobs:
                for start in range(0, len(line), agent.chunk):
                    jobs.write(line[start : start + agent.chunk], deadline)
        except (GuestFileError, *LOST_ANSWER):
            # Whether the server has the message, its claim shows.
            process.withdraw()
        return process

    def job_process(
        self,
        agent: Agent,
        files: Files,
        payload: Payload,
        slot: int,
        nonce: str,
        state_file: OpenFile | None = None,
    ) -> JobProcess:
        """Return the process of a job that the server has, or may have."""
        prefix = f"{self.base}/{self.name}/{slot}"
        return JobProcess(
            agent, files, name=payload.module, prefix=prefix, nonce=nonce, uid=self.uid, state_file=state_file
        )


def end_with_play(agent: Agent, name: str) -> None:
    """Have a server end when the play ends, if a process on the controller lives until then.

    Otherwise it ends by itself, when it has had no job for a while.

    :param name: the name of the server's directory.
    """
    arguments = {"path": guest_exec.SHELL, "arg": ["-c", _END, "sh", name], "capture-output": True}
    with contextlib.suppress(QgaError):
        agent.at_end(f"warm {name}", Call("guest-exec", arguments))


def end_server(agent: Agent, name: str) -> None:
    """End a server if the agent can be reached. Otherwise it ends by itself, when it has had no job for a while.

    :param name: the name of the server's directory.
    """
    with contextlib.suppress(QgaError):
        agent.at_end(f"warm {name}", None)
        guest_exec.run_script(agent, _END, name, deadline=Deadline.after(_END_TIMEOUT))
