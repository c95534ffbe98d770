# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a client that is a command line, and ends it with all of its processes if it takes too long."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """What a client did.

    :param rc: its exit status; None if it had to be killed.
    :param output: what it printed on standard output and standard error.
    :param seconds: how long it took.
    """

    rc: int | None
    output: str
    seconds: float


class Client:
    """A client of the agent.

    :param command: its command line, in which ``{command}`` is what it has to run in the guest, and ``{endpoint}`` is
        where the agent is: a path of a socket, or the name of a domain.
    :param limit: seconds after which it counts as hung.
    """

    def __init__(self, command: str, limit: float) -> None:
        self._words = shlex.split(command)
        self._limit = limit

    def run(self, command: str, endpoint: str) -> Answer:
        """Let the client run a command in the guest.

        :raises OSError: there is no such program.
        """
        values = {"{command}": command, "{endpoint}": endpoint}
        words = [_replaced(word, values) for word in self._words]
        started = time.monotonic()
        # A process that the client leaves in the background would keep a pipe open.
        with tempfile.TemporaryFile() as output:
            with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as process:
                try:
                    rc: int | None = process.wait(self._limit)
                except subprocess.TimeoutExpired:
                    rc = None
                finally:
                    if process.poll() is None:
                        _kill_tree(process.pid)
            seconds = time.monotonic() - started
            output.seek(0)
            return Answer(rc, output.read().decode("utf-8", errors="replace"), seconds)


def _replaced(word: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(name, value)
    return word


def _kill_tree(pid: int) -> None:
    """Kill a process and its descendants, also those that have made a session of their own."""
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGSTOP)
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        for child in children:
            _kill_tree(int(child))
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
