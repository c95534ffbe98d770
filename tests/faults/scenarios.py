# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a client does with the agent while the relay breaks its channel."""

from __future__ import annotations

import functools
import json
import pathlib
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.record import take_records
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.runner import WarmRunner
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.warm_server import SLOTS, WarmServer
from ansible_collections.netless.qga.tests.guests.warm_guest import PYTHON, ansiballz_of

COUNTERS = "/root/counters"
"""The guest's directory with a file for each case, which each execution makes one byte longer."""
FILES = "/root/files"
"""The guest's directory with the files that cases write."""
TEXT = b"some text\n" * 300
_CHUNK = 1000
# As long as the name of a case, which replaces it.
_PLACEHOLDER = b"4711000000"


class Client:
    """A task's use of the agent.

    :param number: of the case, for names in the guest.
    :param reply_timeout: seconds after which a reply counts as lost.
    :param chunk: bytes of a file in one request; None is the default of the endpoint.
    :param seconds: what each part of a use may take.
    """

    def __init__(
        self,
        endpoint: str,
        number: int,
        *,
        connect_timeout: float = 10.0,
        reply_timeout: float = 10.0,
        chunk: int | None = _CHUNK,
        seconds: float = 60.0,
    ) -> None:
        self.name = case_name(number)
        self._seconds = seconds
        target = Target(
            Address(endpoint), connect_timeout=connect_timeout, reply_timeout=reply_timeout, persist=0, chunk=chunk
        )
        self.agent = target.agent(native_calls=False, validate_replies=False, limit_each_reply=True)
        self.files = Files(self.agent)
        self.programs = ProgramRunner(self.agent, self.files)
        self._warm = WarmRunner(endpoint, self.agent, self.files, lambda: self.programs)

    def close(self) -> None:
        """End the task."""
        self.programs.close()
        self.agent.close()

    def _deadline(self) -> Deadline:
        return Deadline.after(self._seconds)

    def call(self) -> bytes:
        """Call a command with a value that is known."""
        reply = self.agent.call("guest-get-host-name", deadline=self._deadline())
        return t.cast("str", reply["host-name"]).encode()

    def run_program(self) -> bytes:
        """Run a program that counts its executions."""
        script = f"printf x >>{COUNTERS}/{self.name}; cat"
        return self.programs.run(["sh", "-c", script], stdin=TEXT, deadline=self._deadline()).stdout

    def write_and_read(self) -> bytes:
        """Write a file, and read it."""
        path = f"{FILES}/{self.name}"
        self.files.write_bytes(path, TEXT, deadline=self._deadline())
        return b"".join(self.files.read(path, deadline=self._deadline()))

    def run_module(self) -> bytes:
        """Run a module that counts its executions in the kept interpreter, or if that is impossible in a new one."""
        argv = ["/bin/sh", "-c", PYTHON]
        program = counting_module().replace(_PLACEHOLDER, self.name.encode())
        completed: CompletedProcess | None = self._warm.run(argv, program, key=PYTHON, deadline=self._deadline())
        if completed is None:
            completed = self.programs.run(argv, stdin=program, deadline=self._deadline())
        return str(json.loads(completed.stdout or b"{}").get("answer", completed)).encode()


def case_name(number: int) -> str:
    """Return the name of the files of a case."""
    return f"{number:010d}"


def has_server(endpoint: str) -> bool:
    """Return whether a client has recorded a server that can take a job."""
    servers = [WarmServer.from_dict(record.read()) for record in take_records(endpoint)]
    return any(server is not None and server.next_slot <= SLOTS for server in servers)


@functools.cache
def counting_module() -> bytes:
    """Return the payload of the module, with a placeholder for the number of the case."""
    path = pathlib.Path(__file__).with_name("count_run.py")
    return ansiballz_of(path, counter=f"{COUNTERS}/{_PLACEHOLDER.decode()}")


@dataclass(frozen=True)
class Scenario:
    """One use of the agent.

    :param use: the use, which returns what is known before.
    :param expected: that.
    :param phases: the phases in it, by the beginning of the commands' names.
    :param counts: whether the guest counts executions.
    """

    use: t.Callable[[Client], bytes]
    expected: bytes
    phases: t.Mapping[str, str]
    counts: bool = False

    def phase(self, command: str) -> str:
        """Return the phase that a command belongs to."""
        return next(phase for start, phase in self.phases.items() if command.startswith(start))


_SYNC = {"guest-sync": "sync"}
SCENARIOS = {
    "call": Scenario(Client.call, b"netless", {**_SYNC, "guest-": "small call"}),
    "program": Scenario(
        Client.run_program,
        TEXT,
        {**_SYNC, "guest-exec": "exec submit and status", "guest-file-": "spool read"},
        counts=True,
    ),
    "file": Scenario(Client.write_and_read, TEXT, {**_SYNC, "guest-file-": "file write and read"}),
    "module": Scenario(Client.run_module, b"counted", {**_SYNC, "guest-": "warm job"}, counts=True),
}
