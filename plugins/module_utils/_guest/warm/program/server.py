# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The warm server: a Python interpreter in the guest that runs each task's module in a fork of itself.

The files of this room are one program for the guest's Python (see :mod:`..server_program`), so they run on Python 3.8
and import the standard library only. The command line of a task starts that Python. The interpreter, the user, the
environment and the limits of a job are therefore those that the task itself would have had.

The server's directory belongs to the user that the agent runs as, and nobody else can change a name in it. Its files
belong to the user of the task.

===========  =========================================================================================================
``jobs``     the FIFO into which the agent writes the jobs, as lines of JSON (:mod:`..job_message`)
``N.state``  what became of job N (:mod:`..job_state`)
``N.out``    its standard output
``N.err``    its standard error
===========  =========================================================================================================

The server compiles the modules' sources, and imports most of ``ansible.module_utils`` once. It runs no module itself,
has one thread, and loads no library of the guest that keeps a state, like libselinux.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import importlib.machinery
import json
import os
import pkgutil  # noqa: F401  pylint: disable=unused-import
import runpy  # noqa: F401  pylint: disable=unused-import
import select
import shutil  # noqa: F401  pylint: disable=unused-import
import signal
import sys
import tempfile  # noqa: F401  pylint: disable=unused-import
import time
import types
import typing as t
import zipfile  # noqa: F401  pylint: disable=unused-import
import zlib

from ansible_collections.netless.qga.plugins.module_utils._guest.warm.program.environment import (
    Environment,
    can_serve,
    own_memory,
    read_text,
    set_process_name,
)
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.program.importer import (
    PayloadImporter,
    is_payload_name,
)
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.program.job import Job
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.program.payloads import Payloads, compile_source

# The unused imports are those of Ansible's wrapper, so that they are there before the forks.

# Linux's commands for the capacity of a pipe, which Python has names for since 3.10, and the most that an ordinary
# user may ask for (pipe(7)).
_F_SETPIPE_SZ = 1031
_F_GETPIPE_SZ = 1032
_PIPE_SIZE = 1024 * 1024

# How long the starting script may take to give the files to this user, in seconds, and how often to look.
_HANDOVER_TIMEOUT = 10.0
_HANDOVER_INTERVAL = 0.005

# No message is as long as this, in bytes.
_MAX_MESSAGE = 64 * 1024 * 1024


class Server:
    """The server of one directory.

    :param name: the directory's name.
    :param bases: the directories that it may be in.
    :param limits: ``idle`` and ``life`` in seconds, ``memory`` in bytes, and ``slots``, the number of jobs.
    """

    def __init__(self, name: str, bases: list[str], limits: dict[str, float]) -> None:
        self._name = name
        self._bases = bases
        self._limits = limits
        self._cwd = os.getcwd()
        self._sys_path = list(sys.path)
        self._process_name = read_text("/proc/self/comm").rstrip("\n")
        # The members that were imported before the forks, by path; None before the first job.
        self._preloaded: dict[str, str] | None = None
        # The number of the last job that was received. They rise.
        self._last_slot = 0
        # The starting script removes the directory when this pipe ends: with the server and the last supervisor of a
        # job, however they end.
        self._alive = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3)

    def detach(self) -> None:
        """Leave the task's session, report the user to the starting script, and open the FIFO.

        :raises TimeoutError: there is no FIFO.
        """
        os.setsid()
        os.write(self._alive, f"ready {self._name} {os.geteuid()}\n".encode("ascii"))
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.close(null)
        # A directory that this user could not enter again is that of the agent, and stays.
        if os.access(self._cwd, os.X_OK):
            os.chdir("/")
        set_process_name("netless-qga")
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        self._directory, self._jobs = self._open_jobs()
        # A user that has many pipes gets no larger one.
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._jobs, _F_SETPIPE_SZ, _PIPE_SIZE)
        self._capacity = fcntl.fcntl(self._jobs, _F_GETPIPE_SZ)
        self._payloads = Payloads(f"{self._directory}/payload.zip")
        self._environment = Environment()

    def serve(self, first: str) -> dict[str, t.Any] | None:
        """Receive jobs and fork for each, until a limit is reached.

        :param first: the first job's message.
        :returns: in the process that is to run a job's module: the job's message.
        """
        end = time.monotonic() + self._limits["life"]
        received = f"\n{first}\n".encode()
        while True:
            *lines, received = received.split(b"\n")
            for line in filter(None, lines):
                is_over, message = self._take(line)
                if is_over:
                    return message
            left = min(self._limits["idle"], end - time.monotonic())
            if left <= 0 or own_memory() > self._limits["memory"] or len(received) > _MAX_MESSAGE:
                return None
            if not select.select([self._jobs], [], [], left)[0]:
                return None
            received += os.read(self._jobs, _PIPE_SIZE)

    def run(self, message: dict[str, t.Any]) -> None:
        """Run the module of a job as the interpreter would have: from the wrapper on its standard input."""
        set_process_name(self._process_name)
        main_module = types.ModuleType("__main__")
        main_module.__dict__.update(
            __annotations__={}, __builtins__=__builtins__, __loader__=importlib.machinery.BuiltinImporter
        )
        sys.modules["__main__"] = main_module
        data = self._payloads.zip_data(message["zip"])
        call = "\n" * message["line"] + message["before"] + data + message["after"]
        try:
            # pylint: disable=exec-used
            exec(self._payloads.wrappers[message["wrapper"]], main_module.__dict__)
            exec(compile_source(call, "<stdin>"), main_module.__dict__)
        except Exception as exc:  # pylint: disable=broad-exception-caught
            # As the interpreter does it, without the line above.
            trace = exc.__traceback__.tb_next if exc.__traceback__ else None
            sys.excepthook(type(exc), exc.with_traceback(trace), trace)
            raise SystemExit(1) from None

    def _take(self, line: bytes) -> tuple[bool, dict[str, t.Any] | None]:
        """Take one line.

        :returns: whether the server ends; and in the process that is to run a job's module: the job's message.
        """
        try:
            message = json.loads(line)
        except ValueError:
            # The rest of a message whose writer was interrupted.
            return False, None
        if message == "end":
            return True, None
        job = Job(message, self._directory)
        if job.slot <= self._last_slot:
            # The same message for the second time: the state file would not show that the job is claimed already.
            return False, None
        self._last_slot = job.slot
        if self._environment.has_changed() or not job.has_room():
            job.decide("stale")
            return True, None
        if not self._receive(message):
            job.decide("incomplete")
            return False, None
        self._forget_output(job.slot - 1)
        self._preload(message["zip"])
        if os.fork():
            return job.slot >= self._limits["slots"], None
        return True, self._carry_out(job)

    def _receive(self, message: dict[str, t.Any]) -> bool:
        """Take the parts of payloads that a message brings, and return whether all that it needs is there."""
        try:
            self._payloads.add(message)
        except (LookupError, SyntaxError, TypeError, ValueError, zlib.error):
            return False
        return self._payloads.has(message["wrapper"], message["zip"])

    def _carry_out(self, job: Job) -> dict[str, t.Any]:
        """Supervise a job in a process of its own, and return in that process's child, which runs the module."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        state = job.decide(f"claimed {self._capacity}")
        if state is None or not job.carry_out(state):
            os._exit(0)
        os.close(self._alive)
        os.close(self._jobs)
        # If the directory is gone or forbidden, the wrapper looks for another one, as it would have.
        with contextlib.suppress(OSError):
            os.chdir(self._cwd)
        sys.path[:] = self._sys_path
        importlib.invalidate_caches()
        paths = self._payloads.paths[job.message["zip"]]
        if any(paths.get(path) != member for path, member in (self._preloaded or {}).items()):
            for name in [name for name in sys.modules if is_payload_name(name)]:
                del sys.modules[name]
        sys.meta_path.insert(0, PayloadImporter(self._payloads, paths))
        return job.message

    def _preload(self, archive: str) -> None:
        if self._preloaded:
            return
        # The wrapper removes the current directory, too.
        sys.path[:] = [path for path in self._sys_path if path not in ("", ".")]
        importer = PayloadImporter(self._payloads, self._payloads.paths[archive])
        sys.meta_path.insert(0, importer)
        self._preloaded = importer.preload()
        sys.meta_path.remove(importer)
        self._environment = Environment()
        # A collection of garbage in a fork would write into all the memory that the processes share.
        gc.collect()
        gc.freeze()

    def _forget_output(self, slot: int) -> None:
        """Free the memory of a job that the client has done with, since it sends another one."""
        for kind in ("out", "err"):
            with contextlib.suppress(OSError):
                os.truncate(f"{self._directory}/{slot}.{kind}", 0)

    def _open_jobs(self) -> tuple[str, int]:
        deadline = time.monotonic() + _HANDOVER_TIMEOUT
        while time.monotonic() < deadline:
            for base in self._bases:
                directory = f"{base}/{self._name}"
                with contextlib.suppress(OSError):
                    return directory, os.open(f"{directory}/jobs", os.O_RDWR | os.O_NONBLOCK)
            time.sleep(_HANDOVER_INTERVAL)
        raise TimeoutError("the starting script does not give the server its files")


def main(name: str, bases: list[str], limits: dict[str, float], first: str) -> None:
    """Start a server in the background.

    :param name: the name of its directory.
    :param bases: the directories that this may be in.
    :param limits: see :class:`Server`.
    :param first: the first job's message.
    """
    if not can_serve():
        return
    server = Server(name, bases, limits)
    if os.fork():
        os._exit(0)
    server.detach()
    message = server.serve(first)
    if message is None:
        os._exit(0)
    server.run(message)
