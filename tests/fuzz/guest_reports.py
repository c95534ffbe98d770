# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What our scripts print or leave in files of the guest, where a hostile guest can write something else."""

from __future__ import annotations

import base64
import itertools
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.reply import ReplyReader
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.diagnosis import environment
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils._guest.programs import execute
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.launch_script import (
    ExitReport,
    parse_exit_report,
    parse_state,
    parse_wrong_user,
)
from ansible_collections.netless.qga.plugins.module_utils._guest.programs.state_file import StateFile, read_state
from ansible_collections.netless.qga.plugins.module_utils._guest.shell import guest_exec
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import BASES
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.job_state import (
    MAX_SIZE,
    JobState,
    parse_job_state,
)
from ansible_collections.netless.qga.plugins.module_utils._guest.warm.start_script import parse_started
from ansible_collections.netless.qga.plugins.module_utils.errors import GuestFileError, ProtocolViolation
from ansible_collections.netless.qga.plugins.module_utils.framing.limits import Limits
from ansible_collections.netless.qga.plugins.module_utils.framing.strict_json import UnacceptableJson, decode, loads

from .pieces import cut, split_input

_NONCE = "0123456789abcdef"
_MAX_STATE = 100


class _FakeFile:
    """A file of the guest that grows with each read."""

    def __init__(self, pieces: t.Iterator[bytes]) -> None:
        self._pieces = pieces

    def __enter__(self) -> _FakeFile:
        return self

    def __exit__(self, *dummy: object) -> None:
        self.close()

    def read(self, deadline: Deadline, max_size: int) -> tuple[bytes, bool]:
        """Return the next piece; an empty one stands for an agent that was restarted."""
        piece = next(self._pieces, b"\n")
        if piece == b"!":
            raise GuestFileError
        return piece[:max_size], True

    def close(self) -> None:
        """Close the file."""


class _FakeFiles:
    """The guest's files, of which every second one does not exist."""

    def __init__(self, data: bytes, sizes: int) -> None:
        self._pieces = iter(cut(data, sizes))
        self._exists = itertools.cycle([sizes % 3 != 0, True])

    def open(self, path: str, mode: str, deadline: Deadline) -> _FakeFile:
        """Open a file."""
        if not next(self._exists):
            raise GuestFileError
        return _FakeFile(self._pieces)


class _FakeAgent:
    """An agent that returns one value."""

    def __init__(self, value: t.Any) -> None:
        self._value = value

    def call(self, command: str, arguments: t.Any, *, deadline: Deadline, repeatable: bool) -> t.Any:
        """Return the value."""
        return self._value

    def reader(self, command: str) -> ReplyReader:
        """Return what reads a reply."""
        return ReplyReader("unix:/agent", command)


def state_file(data: bytes) -> None:
    """Read a program's state file, and what else the launch script prints."""
    (sizes,), text = split_input(data, 1)
    for length in range(min(len(text), 2 * _MAX_STATE) + 1):
        state = parse_state(text[:length])
        if state is not None and state[1] is not None:
            _check_exit_report(state[1])
            # A report has a line to itself, after the process id, so no shorter text has one.
            assert text[:length].endswith(b"\n") and text.count(b"\n", 0, length) == 2
    found = parse_exit_report(text)
    if found is not None:
        assert found[0].startswith("/") and found[0].isascii()
        _check_exit_report(found[1])
    user = parse_wrong_user(text)
    assert user is None or "\n" not in user
    started = parse_started(text)
    assert started is None or (started[0] in BASES and started[1] >= 0)
    watch = StateFile(t.cast(Files, _FakeFiles(text, sizes)), "spool")
    watch.agent_forgot = True
    for dummy in range(8):
        watch.should_poll_agent(0.0, Deadline.after(60))
        assert len(watch._text) <= _MAX_STATE  # pylint: disable=protected-access
    watch.close()
    read = read_state(t.cast(Files, _FakeFiles(text, sizes)), "spool", Deadline.after(60))
    assert read is None or read[0] in BASES


def _check_exit_report(report: ExitReport) -> None:
    assert 0 <= report.rc <= 999
    assert not set(report.streams) & set(report.missing)


def job_state(data: bytes) -> None:
    """Read the state file of a job while it grows: nothing that was certain changes."""
    (sizes,), text = split_input(data, 1)
    read, last = b"", JobState()
    for piece in cut(text[:MAX_SIZE], sizes):
        read += piece
        state = parse_job_state(read, _NONCE)
        for name in ("claimed", "pid", "rc", "output"):
            before = getattr(last, name)
            assert before is None or getattr(state, name) == before, name
        assert state.pid is None or state.pid > 1
        if state.output is not None:
            assert tuple(map(len, state.output)) == state.sizes
        last = state
    if last.claimed:
        assert text.startswith(b"claimed ") and _NONCE.encode() in text
    assert parse_job_state(read, "f" * 16).claimed is not True or b"f" * 16 in read


def program_output(data: bytes) -> None:
    """Read what a script printed about the guest, the output of a program, and how the agent reports its end."""
    for value in environment._parse(data).values():  # pylint: disable=protected-access
        assert value.isprintable() and len(value) <= 303
    half = len(data) // 2
    result = execute._output(data[:half], data[half:])  # pylint: disable=protected-access
    for name, part in (("stdout", data[:half]), ("stderr", data[half:])):
        assert isinstance(result[name], str)
        encoded = result.get(f"{name}_base64")
        assert part == base64.b64decode(encoded) if encoded else part.startswith(result[name].encode())
    try:
        value = loads(decode(data, Limits()), Limits())
    except UnacceptableJson:
        return
    agent: t.Any = _FakeAgent(value)
    try:
        ended = guest_exec.status(agent, 1, deadline=Deadline.after(60))
    except ProtocolViolation as exc:
        assert str(exc).isprintable() and len(str(exc)) < 200
        return
    if ended is not None:
        streams = (value.get("out-data", ""), value.get("err-data", ""))
        assert (ended.stdout, ended.stderr) == tuple(base64.b64decode(text, validate=True) for text in streams)
