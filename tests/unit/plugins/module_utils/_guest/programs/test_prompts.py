# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers to programs that prompt for something, in a guest that is this machine."""

from __future__ import annotations

import threading
import time
import typing as t

import pytest

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.programs import prompts as prompts_module
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.completed_process import CompletedProcess
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.runner import ProgramRunner
from ansible_collections.netless.qga.plugins.module_utils.errors import ProcessError, ProcessTimedOut

from ..conftest import CHUNK
from ..local_guest import LocalGuest

ASK = 'printf "password: " >&2; read -r word; [ "$word" = secret ] || exit 9; echo welcome; cat'


def soon() -> Deadline:
    """Return a deadline that no test here reaches."""
    return Deadline.after(60)


class Answers:
    """A prompt handler that answers the first prompt with a word."""

    def __init__(self, word: bytes) -> None:
        self.word = word
        self.given = 0

    def __call__(self, stdout: bytes, stderr: bytes) -> bytes | None:
        if b"welcome" in stdout:
            return b""
        if b"password: " in stderr and not self.given:
            self.given += 1
            return self.word
        return None


@pytest.mark.parametrize("stdin", [b"", b"\0in\xff", b"x" * 3 * CHUNK], ids=["no", "little", "much"])
def test_answer_comes_before_standard_input(runner: ProgramRunner, stdin: bytes) -> None:
    answers = Answers(b"secret\n")
    result = runner.run(["sh", "-c", ASK], stdin=stdin, prompt_handler=answers, deadline=soon())
    assert result == CompletedProcess(0, b"welcome\n" + stdin, b"password: ")
    assert answers.given == 1


def test_program_that_does_not_prompt_gets_no_answer(runner: ProgramRunner) -> None:
    answers = Answers(b"secret\n")
    result = runner.run(["sh", "-c", "echo welcome; cat"], stdin=b"in", prompt_handler=answers, deadline=soon())
    assert result == CompletedProcess(0, b"welcome\nin", b"")
    assert answers.given == 0


@pytest.mark.parametrize("script", [ASK, "exit 9", "echo unexpected; exit 9"])
def test_returns_when_the_program_ends(runner: ProgramRunner, script: str) -> None:
    assert runner.run(["sh", "-c", script], stdin=b"in", prompt_handler=Answers(b"wrong\n"), deadline=soon()).rc == 9


def test_failing_prompt_handler_ends_the_program(runner: ProgramRunner, tmp_path: t.Any) -> None:
    def fail(stdout: bytes, stderr: bytes) -> t.NoReturn:
        raise LookupError("no password")

    with pytest.raises(LookupError):
        runner.run(
            ["sh", "-c", f"read x; echo got >{tmp_path}/got"], stdin=b"in\n", prompt_handler=fail, deadline=soon()
        )
    assert not (tmp_path / "got").exists()


def test_deadline_ends_a_program_that_waits_for_an_answer(runner: ProgramRunner) -> None:
    with pytest.raises(ProcessTimedOut):
        runner.run(["sh", "-c", "read x"], prompt_handler=lambda stdout, stderr: None, deadline=Deadline.after(3))


def test_deadline_during_a_read_is_a_timeout(runner: ProgramRunner, guest: LocalGuest) -> None:
    deadline = soon()
    comes = threading.Event()

    def start_countdown(stdout: bytes, stderr: bytes) -> None:
        if not comes.is_set():
            object.__setattr__(deadline, "at", time.monotonic() + 0.5)
            comes.set()

    def read(usual: t.Callable[[t.Any], t.Any], arguments: t.Any) -> t.Any:
        if comes.is_set():
            time.sleep(deadline.remaining() + 0.1)
        return usual(arguments)

    guest.replace("guest-file-read", read)
    with pytest.raises(ProcessTimedOut):
        runner.run(["sh", "-c", "read x"], prompt_handler=start_countdown, deadline=deadline)


def test_output_before_standard_input_is_bounded(runner: ProgramRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts_module, "_MAX_WRITTEN", 5000)
    with pytest.raises(ProcessError, match="more than 5000 bytes"):
        runner.run(["sh", "-c", "while :; do echo why; done"], prompt_handler=lambda out, err: None, deadline=soon())


def test_answers_are_in_no_argument(runner: ProgramRunner, guest: LocalGuest) -> None:
    runner.run(["sh", "-c", ASK], prompt_handler=Answers(b"secret\n"), deadline=soon())
    assert "secret\\n" not in str(guest.calls("guest-exec"))
