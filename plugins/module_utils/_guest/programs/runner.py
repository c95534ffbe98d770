# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of programs in the guest: any input, any output, and a result that survives a lost reply."""

from __future__ import annotations

import contextlib
import functools
import secrets
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs import launch_script, leftovers
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.launch_script import StdinRoute
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.output import no_spool
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.process import GuestProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.prompts import PromptHandler, answer_prompts
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.state_file import read_state
from ansible_collections.netless.qga.plugins.module_utils._guest.shell import compression, guest_exec
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES, create_stdin, spool_paths
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    LOST_ANSWER,
    AgentRefused,
    CannotUnpack,
    CommandUnavailable,
    GuestFileError,
    InvalidRequest,
    OutcomeUnknown,
    ProcessError,
    ProcessTimedOut,
    QgaError,
    Unreachable,
    excerpt,
)

# How long to look for a program that may have been started, and for removing the spools, in seconds.
_APPEAR_TIMEOUT = 5.0
_REMOVE_TIMEOUT = 2.0

# How many files one rm removes: the agent writes the arguments of a program into the guest's log, in one line.
_REMOVE_BATCH = 50


class ProgramRunner:
    """The programs that one connection runs in one guest, one after the other.

    :param agent: the guest's agent.
    :param files: the guest's files.
    :param warn: takes what a user should know, although the program has run.
    """

    def __init__(self, agent: Agent, files: Files, warn: t.Callable[[str], None] = lambda message: None) -> None:
        self._agent = agent
        self._files = files
        self._warn = warn
        self._play = agent.owner_name or secrets.token_hex(6)
        self._prefix = leftovers.new_prefix(self._play)
        self._runs = 0
        self._finished_spool: str | None = None
        self._spool_files: list[str] = []
        self._has_setsid = True
        self._has_gzip = True
        self._process: GuestProcess | None = None
        self._start_is_unconfirmed = False

    @property
    def may_have_run(self) -> bool:
        """Whether the program of the last run was run, or may have been, although the run failed."""
        return self._start_is_unconfirmed if self._process is None else self._process.was_run

    @property
    def rc(self) -> int | None:
        """The exit status of the program of the last run, if it is known although the run failed."""
        return None if self._process is None else self._process.rc

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
        """Run a program and wait for its end, but not for processes that it leaves in the background.

        :param argv: the program, which the guest looks up in PATH, and its arguments. The guest's log shows neither.
        :param deadline: when the program's process group is ended.
        :param stdin: the program's standard input.
        :param environment: the program's environment instead of the agent's; HOME and PATH are added if missing.
        :param user: the user that the agent has to run as.
        :param prompt_handler: the answers for a program that prompts for something before it reads its standard input.
        :raises ProcessTimedOut: the deadline passed, and the program was ended, or was not started at all.
        :raises WrongUser: the agent runs as another user. Nothing was run.
        :raises ProcessError: the guest's shell could not run the program, or the program wrote too much to read, or
            its output was removed, or its standard input was before it started.
        :raises OutcomeUnknown: the program was started, or may have been, and its result is lost.
        :raises ProtocolViolation: the same, because something other than an answer came.
        :raises InvalidRequest: an argument contains a NUL, or bytes that are not UTF-8.
        """
        self._process, self._start_is_unconfirmed = None, False
        self._runs += 1
        if self._runs == 1:
            leftovers.remove_at_end(self._agent, self._play)
        spool = f"{self._prefix}.{self._runs}{'' if stdin else leftovers.ENDS_WITH_PLAY}"
        is_compressed = self._has_gzip and self._should_compress(stdin)
        sent = compression.compress(stdin) if is_compressed else stdin
        may_prompt = prompt_handler is not None
        make_script = functools.partial(
            launch_script.launch_script,
            spool,
            argv,
            finished=self._finished_spool,
            stdin_compressed=is_compressed,
            may_prompt=may_prompt,
            user=user,
        )
        try:
            script, route = self._make_script_for(sent, len(stdin), make_script)
        except ValueError as exc:
            raise InvalidRequest(f"{self._agent.endpoint}: an argument of {argv[0]!r}: {exc}") from exc
        self._spool_files += spool_paths(spool, has_stdin=route is not StdinRoute.PIPED, may_prompt=may_prompt)
        if route is StdinRoute.SPOOLED:
            base = self._spool_stdin(argv[0], spool, sent, deadline)
            script, sent = make_script(stdin_route=route, stdin_base=base, stdin_size=len(sent)), b""
        self._process = process = self._start(argv[0], spool, script + sent, environment, deadline)
        try:
            if prompt_handler is not None:
                answer_prompts(process, prompt_handler, deadline)
            completed = process.wait(deadline)
        except CannotUnpack:
            # Nothing was run. From now on nothing is compressed.
            self._has_gzip = False
            return self.run(
                argv, deadline=deadline, stdin=stdin, environment=environment, user=user, prompt_handler=prompt_handler
            )
        self._finished_spool = spool
        return completed

    def close(self) -> None:
        """Remove the spools from the guest. If that fails, they are removed when the play ends."""
        paths, self._spool_files, self._finished_spool = self._spool_files, [], None
        deadline = Deadline.after(_REMOVE_TIMEOUT)
        # A guest that is out of reach is often about to reboot.
        with contextlib.suppress(Unreachable):
            try:
                for first in range(0, len(paths), _REMOVE_BATCH):
                    # Without a shell, which would take longer to start than rm takes to remove them.
                    arguments = ["-f", *paths[first : first + _REMOVE_BATCH]]
                    guest_exec.run_captured(self._agent, "rm", arguments, deadline=deadline)
            except Unreachable:
                raise
            except QgaError as exc:
                later = "They will be removed when the play ends" if self._agent.owner_name else "Remove them"
                self._warn(f"The temporary files of a task are still in the guest, as {paths[0]}. {later}. {exc}")

    def _make_script_for(
        self, sent: bytes, stdin_size: int, make_script: t.Callable[..., bytes]
    ) -> tuple[bytes, StdinRoute]:
        """Return the script, and the cheapest way to get standard input to it.

        :param sent: standard input as it is sent.
        :param stdin_size: its size without compression, in bytes.
        """
        script = make_script()
        if not sent or len(script) + len(sent) <= min(launch_script.PIPE_CAPACITY, self._agent.chunk):
            return script, StdinRoute.PIPED
        script = make_script(stdin_route=StdinRoute.SAVED, stdin_size=stdin_size)
        if len(script) + len(sent) <= self._agent.chunk:
            return script, StdinRoute.SAVED
        return make_script(stdin_route=StdinRoute.SPOOLED), StdinRoute.SPOOLED

    def _should_compress(self, stdin: bytes) -> bool:
        """Return whether standard input is too large for one call, and compression makes it fit or saves much."""
        if len(stdin) <= self._agent.chunk:
            return False
        saving = compression.saving(stdin)
        return len(stdin) - saving <= self._agent.chunk or saving >= compression.MIN_SAVING

    def _spool_stdin(self, name: str, spool: str, stdin: bytes, deadline: Deadline) -> str:
        """Write standard input to the first directory that has room for it, and return the directory."""
        bases = list(BASES)
        try:
            while True:
                created = guest_exec.run_script(self._agent, create_stdin(bases), spool, deadline=deadline)
                base = created.stdout.decode("ascii", errors="replace").strip()
                if created.rc:
                    reason = excerpt(created.stderr.decode("utf-8", errors="replace"))
                    raise ProcessError(f"{self._agent.endpoint}: the guest has no place for standard input: {reason}")
                if base not in bases:
                    raise no_spool(f"{self._agent.endpoint}: {name} was not started")
                try:
                    self._files.write_bytes(f"{base}/{spool}.in", stdin, deadline=deadline)
                except GuestFileError:
                    # The directory may be full by now.
                    bases = bases[bases.index(base) + 1 :]
                    if not bases:
                        raise
                    guest_exec.run_captured(self._agent, "rm", ["-f", f"{base}/{spool}.in"], deadline=deadline)
                else:
                    return base
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
        if deadline.passed:
            # The agent would start it, and the answer would count as lost.
            raise ProcessTimedOut(f"{self._agent.endpoint}: {name} was not started, as its deadline had passed")
        polls = guest_exec.Polls()
        try:
            pid = self._start_shell(stdin, environment, deadline)
        except LOST_ANSWER as lost:
            # If the script was started, its state file has the process id.
            self._start_is_unconfirmed = True
            pid = self._find_started(spool, lost)
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
        # setsid makes the shell lead a process group, so that all of it can be ended, and does not stay as a process.
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
                # The start fails without setsid too, so setsid was not the reason for the first failure.
                self._has_setsid = True
                raise
            self._has_setsid = False
            return self._start_shell(stdin, environment, deadline)

    def _find_started(self, spool: str, lost: QgaError) -> int:
        """Return the process id of a script whose start was not confirmed.

        :raises QgaError: the given error; there is no trace of the script, or no agent to look for it.
        """
        deadline = Deadline.after(_APPEAR_TIMEOUT)
        polls = guest_exec.Polls()
        while not deadline.passed:
            try:
                state = read_state(self._files, spool, deadline)
            except QgaError:
                raise lost from None
            if state is not None:
                return state[1]
            self._agent.pause(polls.next_wait(), deadline)
        raise lost
