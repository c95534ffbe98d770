# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judges from outside what a client did: by its exit status and output, and by what was carried out in the guest."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from .cases import DECOY, Program
from .client import Answer

_TRACEBACK = re.compile(r"Traceback \(most recent call last\)")
_SIGNAL = re.compile(r"\b(137|signal|killed)\b", re.IGNORECASE)


class Verdict(enum.Enum):
    """What a client made of a case."""

    RIGHT = "right answer"
    ERROR = "error"
    """It failed, and printed why."""
    CRASHED = "traceback"
    """It failed with a Python traceback, or without any message."""
    WRONG = "wrong answer"
    """It succeeded with something that is not the answer, or took a failure for success."""
    HUNG = "hung"
    TWICE = "ran twice"
    """The command was carried out more than once, whatever the client answered."""


@dataclass(frozen=True)
class Judgement:
    """The verdicts on one case.

    :param verdict: on the command during which the case happens.
    :param seconds: how long that command took.
    :param message: the end of what the client printed for it.
    :param next_verdict: on the next command, with an agent that does nothing wrong.
    :param next_message: the end of what the client printed for that.
    :param answer_is_due: whether an error is a failure.
    """

    verdict: Verdict
    seconds: float
    message: str
    next_verdict: Verdict
    next_message: str
    answer_is_due: bool

    @property
    def passed(self) -> bool:
        """Whether the client did nothing that it should not."""
        accepted = {Verdict.RIGHT} if self.answer_is_due else {Verdict.RIGHT, Verdict.ERROR}
        return self.verdict in accepted and self.next_verdict is Verdict.RIGHT

    def as_result(self) -> dict[str, object]:
        """Return the judgement as JSON can express it."""
        return {
            "verdict": self.verdict.value,
            "seconds": self.seconds,
            "message": self.message,
            "next_verdict": self.next_verdict.value,
            "next_message": self.next_message,
            "passed": self.passed,
        }


def judge(answer: Answer, program: Program, number: int, executions: int) -> Verdict:
    """Return the verdict on one command.

    :param number: the number in the command.
    :param executions: how many times the guest carried the command out.
    """
    if executions > 1:
        return Verdict.TWICE
    if answer.rc is None:
        return Verdict.HUNG
    if answer.rc == 0:
        # A program that a signal has killed did not succeed.
        has_answer = program is not Program.KILLED and _is_answer(answer.output, program, number)
        return Verdict.RIGHT if has_answer and executions == 1 else Verdict.WRONG
    if _TRACEBACK.search(answer.output) or not answer.output.strip():
        return Verdict.CRASHED
    if program is Program.KILLED and _SIGNAL.search(answer.output):
        return Verdict.RIGHT
    return Verdict.ERROR


def _is_answer(output: str, program: Program, number: int) -> bool:
    if DECOY in output or not re.search(rf"\banswer-{number * 7}\b", output):
        return False
    return program is not Program.MUCH or re.search(r"\bx{5000000}\b", output) is not None
