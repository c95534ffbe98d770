# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The warm servers of a model guest: they claim jobs from a FIFO, run them, and write what became of each."""

from __future__ import annotations

import ast
import json
import typing as t
from dataclasses import dataclass, field

from .model_files import File
from .model_scripts import output_of

if t.TYPE_CHECKING:
    from .model_guest import ModelGuest

_BASE = "/dev/shm"
_CAPACITY = 65536


@dataclass
class _Job:
    """A job that a server has received.

    :param claims_at: when the server has compiled what is new in it.
    :param ends_at: when its module ends; None before it is claimed.
    """

    slot: int
    nonce: str
    token: str
    seconds: float
    size: int
    claims_at: float
    pid: int = 0
    ends_at: float | None = None


@dataclass
class _Server:
    """A server.

    :param ends_at: when it ends because it had no job.
    :param parts: the names of the parts of payloads that it has.
    :param last_slot: the number of the last job that it has received.
    :param removed_at: when its results are removed; None as long as it lives.
    """

    name: str
    slots: int
    linger: int
    ends_at: float
    received: bytes = b""
    jobs: list[_Job] = field(default_factory=list)
    parts: set[str] = field(default_factory=set)
    last_slot: int = 0
    is_ending: bool = False
    removed_at: float | None = None

    @property
    def directory(self) -> str:
        """The path of its directory."""
        return f"{_BASE}/{self.name}"


@dataclass
class WarmServers:
    """All servers of a guest."""

    servers: dict[str, _Server] = field(default_factory=dict)

    def start(self, guest: ModelGuest, argv: list[str], program: bytes) -> bytes:
        """Start a server with its first job, and return what the starting script prints.

        :param argv: the starting script with its arguments.
        :param program: the server's program.
        """
        name, slots, linger = argv[4], int(argv[5]), int(argv[6])
        call = program.decode("ascii").rpartition("\nmain(*")[2]
        dummy, dummy, limits, first = ast.literal_eval(call.strip()[:-1])
        server = self.servers[name] = _Server(name, slots, linger, ends_at=guest.now + limits["idle"])
        files = guest.memory.files
        files.files[f"{server.directory}/jobs"] = File(is_fifo=True, has_reader=True)
        for slot in range(1, slots + 1):
            for kind in ("state", "out", "err"):
                files.replace(f"{server.directory}/{slot}.{kind}", b"")
        self._take(guest, server, first.encode())
        return f"warm {_BASE} 0\n".encode()

    def kill(self, guest: ModelGuest) -> None:
        """Kill all servers and their jobs. Nobody is left who removes their files."""
        for job in [job for server in self.servers.values() for job in server.jobs]:
            guest.memory.files.files.pop(f"/proc/{job.pid}/stat", None)
        self.servers.clear()

    def kill_job(self, guest: ModelGuest, pid: int) -> None:
        """Kill the process group of a module. The process that waits for it reports that."""
        for server in self.servers.values():
            for job in [job for job in server.jobs if job.pid == pid]:
                self._report(guest, server, job, 143, b"")

    def end(self, guest: ModelGuest, name: str) -> None:
        """End a server. Jobs that it has claimed go on. If none does, nothing of the server stays."""
        if name in self.servers:
            self._end(self.servers[name])
            self.advance(guest)
            server = self.servers.get(name)
            if server is not None and server.removed_at is not None:
                server.removed_at = guest.now
                self._clean_up(guest, server)

    def advance(self, guest: ModelGuest) -> None:
        """Let the servers do what they have done by now."""
        for server in list(self.servers.values()):
            fifo = guest.memory.files.files.get(f"{server.directory}/jobs")
            if fifo is not None and not server.is_ending:
                received, fifo.data = server.received + fifo.data, b""
                *lines, server.received = received.split(b"\n")
                for line in filter(None, lines):
                    self._take(guest, server, line)
            for job in sorted(server.jobs, key=lambda job: job.claims_at):
                self._advance_job(guest, server, job)
            if not server.jobs and server.ends_at <= guest.now:
                server.is_ending = True
            self._clean_up(guest, server)

    def _end(self, server: _Server) -> None:
        server.is_ending = True
        server.jobs = [job for job in server.jobs if job.ends_at is not None]

    def _clean_up(self, guest: ModelGuest, server: _Server) -> None:
        """Remove the files of a server that has ended, once the last of its jobs has."""
        if server.is_ending and not server.jobs and server.removed_at is None:
            guest.memory.files.files.pop(f"{server.directory}/jobs", None)
            server.removed_at = guest.now + server.linger
        if server.removed_at is not None and server.removed_at <= guest.now:
            guest.memory.files.remove_tree(server.directory)
            del self.servers[server.name]

    def _take(self, guest: ModelGuest, server: _Server, line: bytes) -> None:
        """Take one line from the FIFO, as the server's own program does."""
        try:
            message = json.loads(line)
        except ValueError:
            # The rest of a message whose writer was interrupted.
            return
        if message == "end":
            self._end(server)
            return
        if message["slot"] <= server.last_slot:
            # It came twice.
            return
        server.last_slot = message["slot"]
        for kind in ("wrappers", "zips"):
            server.parts.update(message.get(kind, {}))
        if not {message["wrapper"], message["zip"]} <= server.parts:
            guest.memory.files.append(
                f"{server.directory}/{message['slot']}.state", f"incomplete {message['nonce']}\n".encode()
            )
            return
        parameters = ast.literal_eval(message["before"].partition("params=")[2].partition(",\nextensions")[0])
        claims_at = max([guest.now, *(job.claims_at for job in server.jobs)]) + guest.delay(0, 0, 0, 0.05, 2, 70)
        server.jobs.append(_Job(message["slot"], message["nonce"], **parameters, claims_at=claims_at))
        server.ends_at = claims_at + 60

    def _advance_job(self, guest: ModelGuest, server: _Server, job: _Job) -> None:
        files, path = guest.memory.files, f"{server.directory}/{job.slot}.state"
        if job.ends_at is None and job.claims_at <= guest.now and not server.is_ending:
            line = f"claimed {_CAPACITY} {job.nonce}\n".encode()
            files.append(path, line)
            if not (files.content(path) or b"").startswith(line):
                server.jobs.remove(job)
                return
            guest.memory.programs.next_pid += 1
            job.pid, job.ends_at = guest.memory.programs.next_pid, guest.now + job.seconds
            guest.executed(job.token, job.pid)
            files.append(path, b"pid %d\n" % job.pid)
            files.replace(f"/proc/{job.pid}/stat", b"%d\n" % job.pid)
            if job.slot >= server.slots:
                server.is_ending = True
        if job.ends_at is not None and job.ends_at <= guest.now:
            self._report(guest, server, job, 0, output_of(job.token, job.size))

    def _report(self, guest: ModelGuest, server: _Server, job: _Job, rc: int, output: bytes) -> None:
        files, prefix = guest.memory.files, f"{server.directory}/{job.slot}"
        server.jobs.remove(job)
        files.files.pop(f"/proc/{job.pid}/stat", None)
        files.append(f"{prefix}.out", output)
        files.append(f"{prefix}.state", b"exit %d %d 0\n%s" % (rc, len(output), output))
