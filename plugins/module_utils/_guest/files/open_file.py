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
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    CommandUnavailable,
    GuestFileError,
    ProtocolViolation,
    QgaError,
    excerpt,
)

# For closing a file, and for closing it after another error, in seconds.
_CLOSE_TIMEOUT = 30.0
_CLEANUP_TIMEOUT = 2.0


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
        self._call("close", "guest-file-close", {}, deadline)

    def read(self, deadline: Deadline, max_size: int | None = None) -> tuple[bytes, bool]:
        """Read the next bytes.

        :param max_size: the most bytes to read; by default a chunk. The agent allocates and clears this many bytes.
        :returns: the bytes, and whether the file ends after them at the moment.
        """
        command, max_size = "guest-file-read", max_size or self._agent.reply_chunk
        reply = self._call("read", command, {"count": max_size}, deadline)
        reader = self._agent.reader(command)
        chunk = reader.from_base64("buf-b64", reader.member(reply, "buf-b64", str))
        eof = reader.member(reply, "eof", bool)
        if len(chunk) != reader.member(reply, "count", int) or len(chunk) > max_size or not (chunk or eof):
            raise ProtocolViolation(
                f"{self._agent.endpoint}: {command}: the count, the data and the end of file do not match"
            )
        return chunk, eof

    def chunks(self, deadline: Deadline) -> t.Iterator[bytes]:
        """Yield the rest of the file, one chunk at a time."""
        eof = False
        while not eof:
            chunk, eof = self.read(deadline)
            if chunk:
                yield chunk

    def write(self, chunk: bytes, deadline: Deadline) -> None:
        """Write a chunk. The agent buffers it."""
        command = "guest-file-write"
        arguments = {"buf-b64": base64.b64encode(chunk).decode("ascii")}
        reply = self._call("write", command, arguments, deadline)
        written = self._agent.reader(command).member(reply, "count", int)
        if written != len(chunk):
            raise GuestFileError(
                f"{self._agent.endpoint}: {self._path} in the guest took {written} of {len(chunk)} bytes. Is its "
                f"filesystem full?"
            )

    def flush(self, deadline: Deadline) -> None:
        """Have the agent write what it has buffered. A full disk causes an error here and not in the writes."""
        self._call("write", "guest-file-flush", {}, deadline)

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


@contextlib.contextmanager
def _file_errors(agent: Agent, action: str, path: str) -> t.Iterator[None]:
    """Name the file in the agent's errors, except where the command itself is unavailable."""
    try:
        yield
    except CommandUnavailable:
        raise
    except AgentRefused as exc:
        raise GuestFileError(f"{agent.endpoint}: cannot {action} {path} in the guest: {excerpt(exc.desc)}") from exc
