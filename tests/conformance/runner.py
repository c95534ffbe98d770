# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the cases against one client."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

from .cases import Case, Program
from .channels import Channel, ListeningChannel
from .client import Answer, Client
from .guest import MAX_OUTPUT, Guest
from .judge import Judgement, judge
from .observations import Observations
from .scripted_end import ScriptedEnd

_MESSAGE_LENGTH = 400

Place = Callable[[], AbstractContextManager[tuple[Channel, str]]]
"""Makes the channel of one case, and what ``{endpoint}`` is in the client's command line."""


@contextmanager
def on_unix_socket() -> Iterator[tuple[Channel, str]]:
    """Provide a new Unix socket."""
    # Not the caller's TMPDIR: the path of a socket has to be shorter than 108 bytes.
    with tempfile.TemporaryDirectory(prefix="qga-", dir="/tmp") as directory:
        path = pathlib.Path(directory, "agent.sock")
        with ListeningChannel(path) as channel:
            yield channel, str(path)


class Runner:
    """Runs cases against a client, and collects what the agent's end sees of it."""

    def __init__(self, client: Client, place: Place) -> None:
        self._client = client
        self._place = place
        # The answer to an earlier command is a wrong one, so no number comes twice.
        self._numbers = itertools.count(1001)
        self.observations = Observations()

    def run(self, cases: Sequence[Case], jobs: int = 1) -> Iterator[tuple[Case, Judgement]]:
        """Run cases, and yield them in their order.

        :param jobs: how many run at the same time, if each has a channel of its own.
        """
        if jobs == 1:
            yield from zip(cases, map(self._run, cases))
            return
        with ThreadPoolExecutor(jobs) as pool:
            yield from zip(cases, pool.map(self._run, cases))

    def _run(self, case: Case) -> Judgement:
        max_output = MAX_OUTPUT if case.max_output is None else case.max_output
        with contextlib.ExitStack() as stack:
            guest = stack.enter_context(Guest(max_output))
            channel, endpoint = stack.enter_context(self._place())
            end = stack.enter_context(ScriptedEnd(case, guest, channel))
            number = next(self._numbers)
            answer = self._ask(case.program, number, guest, channel, endpoint)
            end.heal()
            next_number = next(self._numbers)
            next_answer = self._ask(Program.ANSWER, next_number, guest, channel, endpoint)
            judgement = Judgement(
                judge(answer, case.program, number, guest.executions(number)),
                round(answer.seconds, 1),
                _end_of(answer.output),
                judge(next_answer, Program.ANSWER, next_number, guest.executions(next_number)),
                _end_of(next_answer.output),
                case.answer_is_due,
            )
        self.observations.add(end)
        return judgement

    def _ask(self, program: Program, number: int, guest: Guest, channel: Channel, endpoint: str) -> Answer:
        channel.wait()
        command = f"echo {number} >>{guest.counter}; " + program.value.format(number=number)
        return self._client.run(command, endpoint)


def _end_of(output: str) -> str:
    text = " ".join(output.split())
    return text if len(text) <= _MESSAGE_LENGTH else f"… {text[-_MESSAGE_LENGTH:]}"
