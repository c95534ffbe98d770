# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file that the agent holds open, through the guest-file-* commands that take a handle."""

from __future__ import annotations

import base64
import contextlib
import typing as t
from types import TracebackType

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    CommandDisabled,
    CommandMissing,
    CommandUnavailable,
    GuestFileError,
    GuestFileTooLarge,
    OutcomeUnknown,
    ProtocolViolation,
    QgaError,
    excerpt,
)

# For closing a file, and for closing it after another error, in seconds.
_CLOSE_TIMEOUT = 30.0
_CLEANUP_TIMEOUT = 2.0

# The least time for the reply to the last request before a deadline, in seconds: one that the deadline cuts off would
# look like an agent that does not answer.
_LAST_TIMEOUT = 2.0

# How much is read of a file that has no size, in bytes. Devices and pipes may be endless, and files in /proc are not
# small.
_MAX_UNSIZED = 512 * 1024 * 1024

_READ = "guest-file-read"
_WRITE = "guest-file-write"
_FLUSH = "guest-file-flush"
_SEEK = "guest-file-seek"

# The agent's codes for where an offset counts from. Those before QEMU 2.6 do not take the names.
_FROM_START = 0
_FROM_POSITION = 1
_FROM_END = 2

# The agent opens no file if it cannot write down in its state directory, by default in /run, that it has opened it.
_STATE_LOST = "persistent state"
_STATE_FILESYSTEM = "/run"


class OpenFile:
    """A file that the agent has open. As a context manager it closes the file at the end, also after an error.

    :param agent: the agent that has it open.
    :param handle: the agent's number for it. The agent keeps the file open until it is asked to close it, even when
        another client connects.
    :param path: the path in the guest, for messages.
    """

    def __init__(self, agent: Agent, handle: int, path: str) -> None:
        self._agent = agent
        self._handle = handle
        self._path = path
        self._position = 0

    @property
    def path(self) -> str:
        """The path in the guest, for messages."""
        return self._path

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            # The first error is the one that matters, and the agent may be gone.
            with contextlib.suppress(QgaError):
                self._close(Deadline.after(_CLEANUP_TIMEOUT))

    def close(self) -> None:
        """Close the file."""
        self._close(Deadline.after(_CLOSE_TIMEOUT))

    def _close(self, deadline: Deadline) -> None:
        try:
            self._call("close", "guest-file-close", {}, deadline)
        except OutcomeUnknown:
            # A request that got lost leaves the file open. Handles are never used again, so this closes no other file.
            try:
                self._call("close", "guest-file-close", {}, deadline)
            except QgaError:
                pass
            else:
                return
            raise

    def read(self, deadline: Deadline, max_size: int | None = None) -> tuple[bytes, bool]:
        """Read the next bytes.

        :param max_size: the most bytes to read; by default a chunk. The agent allocates and clears this many bytes.
        :returns: the bytes, and whether the file ends after them at the moment.
        """
        max_size = max_size or self._agent.reply_chunk
        return self.parse_read(self._call("read", _READ, {"count": max_size}, deadline), max_size)

    def parse_read(self, reply: t.Any, max_size: int) -> tuple[bytes, bool]:
        """Return what :meth:`read` does, from the reply to guest-file-read."""
        command = _READ
        reader = self._agent.reader(command)
        chunk = reader.from_base64("buf-b64", reader.member(reply, "buf-b64", str))
        eof = reader.member(reply, "eof", bool)
        if len(chunk) != reader.member(reply, "count", int) or len(chunk) > max_size or not (chunk or eof):
            raise ProtocolViolation(
                f"{self._agent.endpoint}: {command}: the count, the data and the end of file do not match"
            )
        self._position += len(chunk)
        return chunk, eof

    def chunks(self, deadline: Deadline, max_size: int | None = None) -> t.Iterator[bytes]:
        """Yield the rest of the file, one chunk at a time. What is appended after the first chunk was read is left out.

        :param max_size: the most bytes to read. Of a file that has no size, like a device, it is 512 MiB at most.
        :raises GuestFileTooLarge: the file has more, or does not end.
        :raises GuestFileError: the deadline passed; or the agent cannot read the file; or it became shorter.
        """
        start, end = self._position, None
        chunk, eof = self._next_chunk(deadline, None)
        self._check_size(self._position - start, max_size)
        if chunk:
            yield chunk
        if not eof:
            end = self._end(deadline)
            if end is None:
                max_size = _MAX_UNSIZED if max_size is None else min(max_size, _MAX_UNSIZED)
            else:
                self._check_size(end - start, max_size)
        while not eof and self._position != end:
            chunk, eof = self._next_chunk(deadline, end)
            self._check_size(self._position - start, max_size)
            if chunk:
                yield chunk
        if end is not None and self._position < end:
            raise GuestFileError(
                f"{self._agent.endpoint}: {self._path} in the guest had {end} bytes, and ended after {self._position}. "
                f"It was changed while it was read, or the agent read a part of it twice"
            )

    def _next_chunk(self, deadline: Deadline, end: int | None) -> tuple[bytes, bool]:
        if deadline.passed:
            raise GuestFileError(
                f"{self._agent.endpoint}: {self._path} in the guest could not be read in time, only {self._position} "
                f"bytes of it"
            )
        chunk = self._agent.reply_chunk
        until = max(deadline, Deadline.after(_LAST_TIMEOUT))
        return self.read(until, chunk if end is None else min(chunk, end - self._position))

    def _check_size(self, size: int, max_size: int | None) -> None:
        if max_size is not None and size > max_size:
            raise GuestFileTooLarge(
                f"{self._agent.endpoint}: {self._path} in the guest has {size} bytes or more, and at most {max_size} "
                f"are read",
                max_size=max_size,
            )

    def _end(self, deadline: Deadline) -> int | None:
        """Return the size of the file; None if it has none, like devices, pipes, and files in /proc."""
        until = max(deadline, Deadline.after(_LAST_TIMEOUT))
        try:
            end = self._seek(0, _FROM_END, until)
        except (CommandDisabled, CommandMissing, GuestFileError):
            return None
        self._seek(self._position, _FROM_START, until)
        return end if end >= self._position else None

    def _seek(self, offset: int, whence: int, deadline: Deadline) -> int:
        reply = self._call("seek in", _SEEK, {"offset": offset, "whence": whence}, deadline)
        return self._agent.reader(_SEEK).member(reply, "position", int)

    def write(self, chunk: bytes, deadline: Deadline) -> None:
        """Write a chunk. The agent buffers it."""
        self.check_written(self._call("write", _WRITE, _contents(chunk), deadline), len(chunk))

    def check_written(self, reply: t.Any, size: int) -> None:
        """Check the reply to guest-file-write.

        :param size: how many bytes were to be written.
        """
        written = self._agent.reader(_WRITE).member(reply, "count", int)
        if written != size:
            raise GuestFileError(
                f"{self._agent.endpoint}: {self._path} in the guest took {written} of {size} bytes. Is its "
                f"filesystem full?"
            )

    def flush(self, deadline: Deadline) -> None:
        """Have the agent write what it has buffered. A full disk causes an error here and not in the writes."""
        self._call("write", _FLUSH, {}, deadline)

    def flush_all(self, size: int, deadline: Deadline) -> None:
        """Do the same, and check that the agent has written nothing twice.

        :param size: how many bytes were written since the file was opened, and was empty.
        :raises GuestFileError: the agent could not write, or has written more.
        """
        calls = [self.call_for(_FLUSH, {}), self.call_for(_SEEK, {"offset": 0, "whence": _FROM_POSITION})]
        flushed, sought = self._agent.call_all(calls, deadline=deadline)
        _raise_refused(self._agent, "write", self._path, flushed)
        # Pipes and terminals have no position, other devices may have any, and the command may be blocked.
        if isinstance(sought, AgentRefused):
            return
        position = self._agent.reader(_SEEK).member(sought, "position", int)
        if position > size:
            raise GuestFileError(
                f"{self._agent.endpoint}: {self._path} in the guest has {position} bytes after {size} were written. "
                f"The agent wrote a part of it twice"
            )

    def call_for(self, command: str, arguments: t.Mapping[str, t.Any]) -> Call:
        """Return the call of a command for this file, for :meth:`Agent.call_all`."""
        return Call(command, {"handle": self._handle, **arguments})

    def _call(self, action: str, command: str, arguments: dict[str, t.Any], deadline: Deadline) -> t.Any:
        with _file_errors(self._agent, action, self._path):
            return self._agent.call(command, {"handle": self._handle, **arguments}, deadline=deadline)


def open_file(agent: Agent, path: str, mode: str, deadline: Deadline) -> OpenFile:
    """Have the agent open a file.

    :param mode: the mode as fopen(3) takes it.
    :raises GuestFileError: the agent cannot open the file.
    """
    command = "guest-file-open"
    with _file_errors(agent, "open", path):
        reply = agent.call(command, {"path": path, "mode": mode}, deadline=deadline)
    return OpenFile(agent, agent.reader(command).typed(reply, int), path)


def open_files(agent: Agent, files: t.Sequence[tuple[str, str]], deadline: Deadline) -> list[OpenFile]:
    """Have the agent open several files, and close them again if it cannot open one.

    :param files: the path and the mode of each.
    :raises GuestFileError: the agent cannot open one of them.
    """
    command = "guest-file-open"
    calls = [Call(command, {"path": path, "mode": mode}) for path, mode in files]
    with contextlib.ExitStack() as stack:
        opened = []
        results = agent.call_all(calls, deadline=deadline)
        refused: list[tuple[str, AgentRefused]] = []
        for (path, dummy), result in zip(files, results):
            if isinstance(result, AgentRefused):
                refused.append((path, result))
            else:
                handle = agent.reader(command).typed(result, int)
                opened.append(stack.enter_context(OpenFile(agent, handle, path)))
        for path, error in refused:
            with _file_errors(agent, "open", path):
                raise error
        stack.pop_all()
        return opened


def write_and_read(
    agent: Agent, target: OpenFile, data: bytes, source: OpenFile, max_size: int, deadline: Deadline
) -> bytes:
    """Write to one file and flush it, and read the next bytes of another one, in as few exchanges as possible.

    :param data: what to write. Nothing is written or flushed if it is empty.
    :param max_size: the most bytes to read.
    :returns: what was read; nothing if the file ends here at the moment.
    :raises GuestFileError: the agent cannot write, or cannot read.
    """
    chunks = [data[start : start + agent.chunk] for start in range(0, len(data), agent.chunk)]
    calls = [target.call_for(_WRITE, _contents(chunk)) for chunk in chunks]
    if data:
        calls.append(target.call_for(_FLUSH, {}))
    calls.append(source.call_for(_READ, {"count": max_size}))
    *written, read = agent.call_all(calls, deadline=deadline)
    for number, result in enumerate(written):
        _raise_refused(agent, "write", target.path, result)
        if number < len(chunks):
            target.check_written(result, len(chunks[number]))
    _raise_refused(agent, "read", source.path, read)
    return source.parse_read(read, max_size)[0]


def _contents(chunk: bytes) -> dict[str, str]:
    return {"buf-b64": base64.b64encode(chunk).decode("ascii")}


def _raise_refused(agent: Agent, action: str, path: str, result: t.Any) -> None:
    if isinstance(result, AgentRefused):
        with _file_errors(agent, action, path):
            raise result


@contextlib.contextmanager
def _file_errors(agent: Agent, action: str, path: str) -> t.Iterator[None]:
    """Name the file in the agent's errors, except where the command itself is unavailable."""
    try:
        yield
    except CommandUnavailable:
        raise
    except AgentRefused as exc:
        advice = f". Is {_STATE_FILESYSTEM} in the guest full?" if _STATE_LOST in exc.desc else ""
        raise GuestFileError(
            f"{agent.endpoint}: cannot {action} {path} in the guest: {excerpt(exc.desc)}{advice}"
        ) from exc
