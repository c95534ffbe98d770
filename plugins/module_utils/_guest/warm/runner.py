# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of modules in a warm server. What cannot run there for certain is left to a cold start.

A task starts at most one server, and sends its job to at most one. A job that a server may have claimed is followed to
its end, and never runs a second time.
"""

from __future__ import annotations

import contextlib
import secrets
import time
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.command_line import is_python_only
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.job_message import JobMessage
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.job_process import JobProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.payload import Payload, parse_payload
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.record import Record, open_record, take_records
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.warm_server import (
    LIMITS,
    LINGER,
    SLOTS,
    WarmServer,
    end_server,
    end_with_play,
)

if t.TYPE_CHECKING:
    from ansible_collections.netless.qga.plugins.module_utils._guest.programs.prompts import PromptHandler
    from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner

# Modules that fail if processes of the users that they remove are there, so that servers must not be.
_REMOVE_USERS = ("ansible.builtin.user",)

# How long to start no server where one could not start, in seconds.
_RETRY_AFTER = 300.0


class WarmRunner:
    """The modules that one connection runs in warm servers of one guest.

    :param guest: the guest's address, as the name of what is recorded of it.
    :param agent: the guest's agent.
    :param files: the guest's files.
    :param programs: returns what runs the command that starts a server. Most tasks need none of it.
    :param cold_modules: the names of modules that never run in a server.
    :param log: takes lines that have no contents.
    """

    def __init__(
        self,
        guest: str,
        agent: Agent,
        files: Files,
        programs: t.Callable[[], ProgramRunner],
        *,
        cold_modules: t.Collection[str] = (),
        log: t.Callable[[str], None] = lambda line: None,
    ) -> None:
        self._guest = guest
        self._agent = agent
        self._files = files
        self._programs = programs
        self._cold_modules = cold_modules
        self._log = log

    def run(
        self,
        argv: list[str],
        program: bytes,
        *,
        key: str,
        deadline: Deadline,
        user: str | None = None,
        prompt_handler: PromptHandler | None = None,
    ) -> CompletedProcess | None:
        """Run a module in a warm server, and start one if there is none.

        :param argv: the command that Ansible would give the program to.
        :param program: the program, on the command's standard input.
        :param key: everything in which commands differ that cannot share a server.
        :param deadline: when the module's process group is ended.
        :param user: see :meth:`.ProgramRunner.run`.
        :param prompt_handler: see :meth:`.ProgramRunner.run`.
        :returns: the end of the module; None if it was not run, and has to be run cold.
        :raises ProcessTimedOut: and others as :meth:`.ProgramRunner.run`.
        """
        payload = parse_payload(program) if is_python_only(argv) else None
        if payload is None or payload.module in self._cold_modules:
            return None
        with open_record(self._guest, key) as record:
            if record is None:
                return None
            if payload.module in _REMOVE_USERS:
                # This task's own server is not among them: its record is in use.
                end_servers(self._guest, self._agent)
            content = record.read()
            server = WarmServer.from_dict(content)
            if server is not None:
                sent, completed = self._run_in(server, payload, record, deadline)
                if sent is not None:
                    return completed
            retry_at = content.get("retry_at")
            if server is None and isinstance(retry_at, float) and 0 < retry_at - time.time() <= _RETRY_AFTER:
                return None
            return self._run_first(argv, payload, record, deadline, user, prompt_handler)

    def _run_in(
        self, server: WarmServer, payload: Payload, record: Record, deadline: Deadline
    ) -> tuple[JobProcess | None, CompletedProcess | None]:
        """Run a module in a server that was started before.

        :returns: the job, None if a new server is needed; and its end, None if the job has to be run cold.
        """
        process = server.submit(
            self._agent, self._files, payload, deadline, lambda known: record.write(known.as_dict())
        )
        if process is None:
            self._drop(server, record)
            return None, None
        with contextlib.closing(process):
            state = process.wait_for_claim(deadline)
            if state.claimed:
                self._log(f"WARM {payload.module}")
                return process, process.wait(deadline)
        self._log(f"WARM the server did not take the job: {state.reason}")
        self._drop(server, record)
        return (process if state.reason == "withdrawn" else None), None

    def _run_first(
        self,
        argv: list[str],
        payload: Payload,
        record: Record,
        deadline: Deadline,
        user: str | None,
        prompt_handler: PromptHandler | None,
    ) -> CompletedProcess | None:
        """Start a server with a module as its first job."""
        # Most tasks find a server, and Ansible compiles what a task imports in each task.
        from ansible_collections.netless.qga.plugins.module_utils._guest.warm.server_program import server_program
        from ansible_collections.netless.qga.plugins.module_utils._guest.warm.start_script import (
            parse_started,
            start_script,
        )

        name, nonce = _new_name(), secrets.token_hex(8)
        try:
            message = JobMessage(payload, 1, nonce, ())
        except ValueError:
            return None
        program = server_program(name, BASES, LIMITS, message.as_text())
        try:
            ended = self._programs().run(
                start_script(name, SLOTS, LINGER, argv),
                stdin=program,
                deadline=deadline,
                user=user,
                prompt_handler=prompt_handler,
            )
            started = parse_started(ended.stdout)
            if started is None:
                self._log("WARM no server has started")
                record.write({"retry_at": time.time() + _RETRY_AFTER})
                return None
            server = WarmServer(name, *started, sent=message.brings)
            record.write(server.as_dict())
            end_with_play(self._agent, name)
            process = server.job_process(self._agent, self._files, payload, 1, nonce)
            with contextlib.closing(process):
                state = process.wait_for_claim(deadline)
                if not state.claimed:
                    self._drop(server, record)
                    return None
                self._log(f"WARM {payload.module}, in a new server")
                server.capacity = state.capacity or server.capacity
                record.write(server.as_dict())
                return process.wait(deadline)
        except BaseException:
            end_server(self._agent, name)
            raise

    def _drop(self, server: WarmServer, record: Record) -> None:
        record.write({})
        end_server(self._agent, server.name)


def _new_name() -> str:
    """Return a name for a server's directory that nobody can guess."""
    return f"netless-qga.{secrets.token_hex(16)}.warm"


def end_servers(guest: str, agent: Agent) -> None:
    """End the servers of a guest that no task uses, so that the next task gets a new login.

    :param guest: see :class:`WarmRunner`.
    :param agent: the guest's agent.
    """
    for record in take_records(guest):
        server = WarmServer.from_dict(record.read())
        if server is not None:
            record.write({})
            end_server(agent, server.name)
