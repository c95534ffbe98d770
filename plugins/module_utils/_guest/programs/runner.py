# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs in the guest: any input, any output, and a result that outlasts the reply that told it."""

from __future__ import annotations

import contextlib
import functools
import secrets
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs import launch_script
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.process import CompletedProcess, GuestProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.prompts import PromptHandler, answer_prompts
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.state_file import read_state
from ansible_collections.netless.qga.plugins.module_utils._guest.shell import compression, guest_exec
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import SPOOL_STDIN, spool_paths
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    CannotUnpack,
    CommandUnavailable,
    InvalidRequest,
    OutcomeUnknown,
    ProcessError,
    ProcessTimedOut,
    QgaError,
    excerpt,
)

# How long a program that may have been started has to show itself, and the cleaning up may take, in seconds.
_APPEAR_TIMEOUT = 5.0
_REMOVE_TIMEOUT = 2.0

# The agent writes the arguments of a program into the guest's log, in one line.
_REMOVE_BATCH = 50


class ProgramRunner:
    """The programs of one guest, as long as one connection lasts.

    :param agent: of the guest.
    :param files: of the guest.
    """

    def __init__(self, agent: Agent, files: Files) -> None:
        self._agent = agent
        self._files = files
        self._prefix = f"netless-qga.{secrets.token_hex(16)}"
        self._runs = 0
        self._finished_spool: str | None = None
        self._spool_files: list[str] = []
        self._has_setsid = True
        self._has_gzip = True
        self._program: GuestProcess | None = None
        self._start_is_unconfirmed = False

    @property
    def may_have_run(self) -> bool:
        """Whether the program of the last run was run, or may have been, although the run failed."""
        return self._start_is_unconfirmed if self._program is None else self._program.was_run

    @property
    def rc(self) -> int | None:
        """The exit status of the program of the last run, if it is known although the run failed."""
        return None if self._program is None else self._program.rc

    def run(
        self,
        argv: t.Sequence[str],
        *,
        deadline: Deadline,
        stdin: bytes = b"",
        environment: t.Mapping[str, str] | None = None,
        user: str | None = None,
        prompt_handler: PromptHandler | None = None,
    ) -> CompletedProcess:
        """Run a program to its end. What it leaves running in the background is not waited for.

        :param argv: the program, looked up in PATH, and its arguments. The guest's log shows nothing of them.
        :param deadline: when the program's process group is killed.
        :param stdin: its standard input.
        :param environment: in place of the agent's own; HOME and PATH are added if they are missing.
        :param user: the user that the agent has to run as.
        :param dialogue: for a program that asks for something before it reads its standard input.
        :raises ProcessTimedOut: the deadline passed, and the program was killed, or not even started.
        :raises WrongUser: the agent runs as somebody else. Nothing was run.
        :raises ProcessError: the guest's shell could not run it, or it wrote more than is taken into memory.
        :raises OutcomeUnknown: it was started, or may have been, and its result is not to be had any more.
        :raises InvalidRequest: an argument holds a NUL, or bytes that are not UTF-8.
        """
        self._program, self._start_is_unconfirmed = None, False
        self._runs += 1
        spool = f"{self._prefix}.{self._runs}"
        packed = self._has_gzip and self._should_compress(stdin)
        sent = compression.compress(stdin) if packed else stdin
        may_prompt = prompt_handler is not None
        make_script = functools.partial(
            launch_script.launch_script,
            spool,
            argv,
            finished=self._finished_spool,
            stdin_compressed=packed,
            may_prompt=may_prompt,
            user=user,
        )
        try:
            script = make_script()
            spooled = sent != b"" and len(script) + len(sent) > self._agent.chunk
            if spooled:
                script = make_script(stdin_spooled=True)
        except ValueError as exc:
            raise InvalidRequest(f"{self._agent.endpoint}: an argument of {argv[0]!r}: {exc}") from exc
        self._spool_files += spool_paths(spool, stdin_spooled=spooled, may_prompt=may_prompt)
        if spooled:
            self._spool_stdin(argv[0], spool, sent, deadline)
        self._program = program = self._start(
            argv[0], spool, script if spooled else script + sent, environment, deadline
        )
        try:
            if prompt_handler is not None:
                answer_prompts(program, prompt_handler, deadline)
            result = program.wait(deadline)
        except CannotUnpack:
            # Nothing was run, and nothing is packed any more.
            self._has_gzip = False
            return self.run(
                argv, deadline=deadline, stdin=stdin, environment=environment, user=user, prompt_handler=prompt_handler
            )
        self._finished_spool = spool
        return result

    def close(self) -> None:
        """Remove what the runs have left in the guest. In one that cannot be reached it stays, until that reboots."""
        left, self._spool_files, self._finished_spool = self._spool_files, [], None
        deadline = Deadline.after(_REMOVE_TIMEOUT)
        with contextlib.suppress(QgaError):
            for first in range(0, len(left), _REMOVE_BATCH):
                # Without a shell, which would take longer than the removing does.
                arguments = ["-f", *left[first : first + _REMOVE_BATCH]]
                guest_exec.run_captured(self._agent, "rm", arguments, deadline=deadline)

    def _should_compress(self, stdin: bytes) -> bool:
        """Whether it is too large to be sent along as it is, and packing makes it fit, or saves much."""
        if len(stdin) <= self._agent.chunk:
            return False
        saving = compression.saving(stdin)
        return len(stdin) - saving <= self._agent.chunk or saving >= compression.MIN_SAVING

    def _spool_stdin(self, name: str, spool: str, stdin: bytes, deadline: Deadline) -> None:
        try:
            made = guest_exec.run_script(self._agent, SPOOL_STDIN, spool, deadline=deadline)
            if made.rc:
                said = excerpt(made.stderr.decode("utf-8", errors="replace"))
                raise ProcessError(f"{self._agent.endpoint}: the guest has no place for standard input: {said}")
            base = made.stdout.decode("ascii", errors="replace").strip()
            self._files.write_bytes(f"{base}/{spool}.in", stdin, deadline=deadline)
        except (OutcomeUnknown, ProcessTimedOut) as exc:
            if not deadline.passed:
                raise
            raise ProcessTimedOut(
                f"{self._agent.endpoint}: {name} was not started, as its standard input was not in the guest in time"
            ) from exc

    def _start(
        self,
        name: str,
        spool: str,
        stdin: bytes,
        environment: t.Mapping[str, str] | None,
        deadline: Deadline,
    ) -> GuestProcess:
        polls = guest_exec.Polls()
        try:
            pid = self._start_shell(stdin, environment, deadline)
        except OutcomeUnknown as lost:
            # A program that was started says in its spool who it is.
            self._start_is_unconfirmed = True
            pid = self._find(spool, lost)
        return GuestProcess(
            self._agent,
            self._files,
            name=name,
            spool=spool,
            pid=pid,
            leads_group=self._has_setsid,
            polls=polls,
        )

    def _start_shell(self, stdin: bytes, environment: t.Mapping[str, str] | None, deadline: Deadline) -> int:
        # setsid makes the shell lead a process group, so that all of it can be ended, and takes no process of its own.
        shell = ["setsid"] if self._has_setsid else []
        shell += [guest_exec.SHELL, "-c", launch_script.LOADER]
        try:
            return guest_exec.start(
                self._agent, shell[0], shell[1:], stdin=stdin, environment=environment, deadline=deadline
            )
        except CommandUnavailable:
            raise
        except AgentRefused:
            if not self._has_setsid:
                # Then it was not for the want of setsid that it failed before.
                self._has_setsid = True
                raise
            self._has_setsid = False
            return self._start_shell(stdin, environment, deadline)

    def _find(self, spool: str, lost: OutcomeUnknown) -> int:
        """The process id of a script whose start was not answered.

        :raises OutcomeUnknown: the given error; there is no trace of the script, or no agent to ask for it.
        """
        deadline = Deadline.after(_APPEAR_TIMEOUT)
        polls = guest_exec.Polls()
        while not deadline.passed:
            try:
                found = read_state(self._files, spool, deadline)
            except QgaError:
                raise lost from None
            if found is not None:
                return found[1]
            self._agent.pause(polls.next_wait(), deadline)
        raise lost
