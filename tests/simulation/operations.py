# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a simulation has the client do, and what has to hold afterwards."""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.runner import WarmRunner
from ansible_collections.netless.qga.plugins.module_utils.errors import ProcessTimedOut, QgaError, Unreachable

from .clock import VirtualClock
from .faulty_channel import FaultyChannel
from .model_guest import ModelGuest
from .model_libvirtd import ModelLibvirtd
from .model_scripts import output_of
from .payloads import make_payload


class _Slack(t.NamedTuple):
    """What operations may take after their deadlines, in seconds. The constants of _guest/ have the parts.

    :param call: a call.
    :param file: a file, which is closed.
    :param program: a program, for its last poll, its output, and ending it.
    """

    call: float
    file: float
    program: float


_SLACK = _Slack(1.0, 40.0, 160.0)
_SLACK_WITH_LIBVIRT = _Slack(5.0, 50.0, 180.0)
"""libvirt is asked for details too, and its connection is closed."""

_PYTHON = ["/bin/sh", "-c", "/usr/bin/python3 && sleep 0"]


class Operations:
    """The operations of one simulation.

    :param agent: the client.
    :param guest: the guest behind the channel.
    :param medium: what is between them.
    """

    def __init__(
        self,
        agent: Agent,
        guest: ModelGuest,
        medium: FaultyChannel | ModelLibvirtd,
        clock: VirtualClock,
        generator: random.Random,
    ) -> None:
        self._agent = agent
        self._guest = guest
        self._medium = medium
        self._clock = clock
        self._random = generator
        self._tokens = 0
        # Whether the deadline of the last operation has passed.
        self._is_late = False
        self._files = Files(agent)
        self._slack = _SLACK_WITH_LIBVIRT if isinstance(medium, ModelLibvirtd) else _SLACK

    def take_one(self) -> None:
        """Carry out one operation.

        :raises AssertionError: something does not hold.
        """
        operations = [self._sync, self._pipeline, self._exec, self._write, self._put, self._program, self._prompt]
        operation = self._random.choice([*operations, self._warm])
        is_calm = not self._medium.faults and self._medium.is_clear()
        # A guest that returned to a snapshot has what its parser had then, and the client gets no sign of that.
        is_calm = is_calm and self._guest.memory.parser.is_between_texts
        before = self._leftovers()
        try:
            operation()
        except ProcessTimedOut:
            pass
        except QgaError as exc:
            assert not is_calm or self._is_late, f"{operation.__name__} failed on a healthy channel: {exc}"
            return
        if is_calm:
            left = self._leftovers() - before
            assert not left, f"{operation.__name__} left {left} in the guest"

    def check_health(self) -> None:
        """Check that a healthy channel gives the right answer, whatever happened before."""
        self._medium.heal()
        number = self._random.randrange(2**53)
        # A late reply may keep the channel busy for once.
        with self._ends_by(Deadline.after(90), self._slack.call) as deadline:
            for attempt in range(6):
                try:
                    answer = self._agent.call("guest-sync", {"id": number}, deadline=deadline)
                    break
                except QgaError as exc:
                    assert attempt < 5 and not deadline.passed, f"a healthy agent is unreachable: {exc}"
        assert answer == number, "the answer to another request"

    def _leftovers(self) -> set[str]:
        """Return what an operation must not leave: open files, and files of its own."""
        files = self._guest.memory.files
        spools = {path for path in files.files if "netless-qga" in path and ".warm/" not in path}
        return spools | {f"handle {handle}" for handle in files.handles}

    def _token(self) -> str:
        self._tokens += 1
        return f"t{self._tokens:06d}"

    @contextlib.contextmanager
    def _ends_by(self, deadline: Deadline, slack: float) -> t.Iterator[Deadline]:
        try:
            yield deadline
        finally:
            late = self._clock.now - deadline.at
            self._is_late = late > 0
            assert late <= slack, f"{late:.1f} s after its deadline"

    def _sync(self) -> None:
        number = self._random.randrange(2**53)
        with self._ends_by(Deadline.after(self._random.choice([0.5, 5, 60])), self._slack.call) as deadline:
            repeatable = self._random.random() < 0.5
            answer = self._agent.call("guest-sync", {"id": number}, deadline=deadline, repeatable=repeatable)
            assert answer == number, "the answer to another request"

    def _pipeline(self) -> None:
        numbers = [self._random.randrange(2**53) for dummy in range(self._random.randint(1, 8))]
        calls = [Call("guest-sync", {"id": number}) for number in numbers]
        with self._ends_by(Deadline.after(60), self._slack.call) as deadline:
            answers = self._agent.call_all(calls, deadline=deadline)
            assert answers == numbers, "answers in another order"

    def _exec(self) -> None:
        token = self._token()
        arguments = {"path": "count", "arg": [token, "0", "1"]}
        try:
            with self._ends_by(Deadline.after(self._random.choice([0.5, 60])), self._slack.call) as deadline:
                reply = self._agent.call("guest-exec", arguments, deadline=deadline)
            assert reply == {"pid": self._guest.pids.get(token)}, "the answer to another request"
        except Unreachable:
            assert self._guest.executions[token] == 0, "executed, and reported as not sent"
            raise
        finally:
            assert self._guest.executions[token] <= 1, "executed twice"

    def _write(self) -> None:
        path, new = f"/tmp/{self._random.randrange(3)}", self._content(1, 63, 64, 65, 300)
        with self._ends_by(Deadline.after(60), self._slack.file) as deadline:
            with self._lasting(path, new):
                self._files.write_bytes(path, new, deadline=deadline)
            self._read(path, deadline)

    def _put(self) -> None:
        """Copy a local file into the guest, and back; large ones are compressed."""
        path, new = f"/tmp/{self._random.randrange(3)}", self._content(0, 1, 300, 2000, 4000)
        with (
            tempfile.TemporaryDirectory() as directory,
            self._ends_by(Deadline.after(90), self._slack.file) as deadline,
        ):
            local = os.path.join(directory, "local")
            with open(local, "wb") as file:
                file.write(new)
            with self._lasting(path, new):
                self._files.put(local, path, deadline=deadline)
            self._read(path, deadline)

    def _read(self, path: str, deadline: Deadline) -> None:
        losses, expected = self._guest.losses, self._guest.memory.files.content(path)
        try:
            content = b"".join(self._files.read(path, deadline=deadline))
        except FileNotFoundError:
            assert expected is None or losses != self._guest.losses, "a file that exists was not found"
        else:
            if losses == self._guest.losses:
                assert content == expected, "wrong bytes"

    def _content(self, *sizes: int) -> bytes:
        size = self._random.choice(sizes)
        return output_of(self._token(), size) if size else b""

    @contextlib.contextmanager
    def _lasting(self, path: str, content: bytes) -> t.Iterator[None]:
        """Check that a file has its contents when writing it has succeeded."""
        losses = self._guest.losses
        yield
        if losses == self._guest.losses:
            assert self._guest.memory.files.content(path) == content, "wrong bytes in a file"

    def _program(self) -> None:
        token, size, stdin = self._token(), self._random.choice([1, 64, 200]), self._stdin()
        seconds = self._random.choice([0, 0.5, 8])
        argv = ["count", token, str(seconds), str(size)]
        with self._runs_once(token, output_of(token, size) + stdin) as check, self._runner() as runner:
            try:
                deadline = Deadline.after(self._random.choice([5, 120]))
                with self._ends_by(deadline, self._slack.program):
                    check(runner.run(argv, stdin=stdin, deadline=deadline))
            except QgaError:
                assert runner.may_have_run or self._guest.executions[token] == 0, "executed, and reported as not run"
                raise

    def _stdin(self) -> bytes:
        return self._content(0, 0, 0, 50, 400, 3000)

    def _prompt(self) -> None:
        """Run a program that asks for a password before it reads its standard input."""
        token, stdin = self._token(), self._stdin()
        answered = False

        def answer(stdout: bytes, stderr: bytes) -> bytes | None:
            nonlocal answered
            if b"answer " in stdout:
                return b""
            if answered or b"password: " not in stdout:
                return None
            answered = True
            return f"secret {token}\n".encode()

        output = f"password: answer secret {token}\n".encode() + output_of(token, 20) + stdin
        argv = ["ask", token, str(self._random.choice([0, 0.5, 8])), "20"]
        deadline = Deadline.after(self._random.choice([5, 120]))
        with (
            self._runs_once(token, output, (b"", b"password: ", b"password: no answer")) as check,
            self._runner() as runner,
            self._ends_by(deadline, self._slack.program),
        ):
            check(runner.run(argv, stdin=stdin, deadline=deadline, prompt_handler=answer))

    def _warm(self) -> None:
        """Run modules in a warm server, or cold if no server takes them."""
        for dummy in range(self._random.choice([1, 2, 4])):
            self._run_module()

    def _run_module(self) -> None:
        token, size, seconds = self._token(), self._random.choice([1, 64, 200]), self._random.choice([0, 0.5, 8])
        program = make_payload({"token": token, "seconds": seconds, "size": size}, self._random.randrange(2))
        deadline = Deadline.after(self._random.choice([5, 200]))
        with self._runs_once(token, output_of(token, size)) as check, self._runner() as runner:
            warm = WarmRunner("sim", self._agent, self._files, lambda: runner)
            with self._ends_by(deadline, 2 * self._slack.program):
                completed = warm.run(_PYTHON, program, key="key", deadline=deadline)
                argv = ["count", token, str(seconds), str(size)]
                check(completed or runner.run(argv, deadline=deadline))

    @contextlib.contextmanager
    def _runner(self) -> t.Iterator[ProgramRunner]:
        with contextlib.closing(ProgramRunner(self._agent, self._files)) as runner:
            yield runner

    @contextlib.contextmanager
    def _runs_once(
        self, token: str, output: bytes, outputs_after_loss: t.Container[bytes] = (b"",)
    ) -> t.Iterator[t.Callable[[CompletedProcess], None]]:
        """Check that a program runs at most once, and yield the check of its result.

        :param output: what it writes.
        :param outputs_after_loss: what it may have written otherwise if something happened to the guest. A guest that
            returns to a snapshot after it has reported the program's end has the output of that moment.
        """
        losses = self._guest.losses

        def check(completed: CompletedProcess) -> None:
            if not (losses != self._guest.losses and completed.stdout in outputs_after_loss):
                assert completed.rc == 0 and completed.stdout == output, "wrong output"
            assert self._guest.executions[token] >= 1, "a wrong success"

        try:
            yield check
        finally:
            # A program that a snapshot took back may run again.
            counts = self._guest.executions if losses == self._guest.losses else self._guest.memory.executions
            assert counts[token] <= 1, "executed twice"
