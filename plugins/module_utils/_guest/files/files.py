# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files in the guest, through guest-file-*: contents of any size, a chunk at a time."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import typing as t
from types import TracebackType

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._agent.reply import from_base64, member, typed
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.shell import compression
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.guest_exec import run_quietly, run_script
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import FIND_BASE
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    CommandUnavailable,
    FilesystemsFrozen,
    GuestFileError,
    ProtocolViolation,
    QgaError,
    excerpt,
)

# guest-file-open makes a new file world-writable whatever the umask, so the shell makes it first. One that is there
# keeps its mode, owner and links, and its contents until they are overwritten.
_MAKE_PRIVATE = 'umask 077;: >>"$1"'

# Where packed contents are sent to first, and said; nobody else can read or foresee it.
_MAKE_PACKED = f'{compression.CHECK_GZIP};{FIND_BASE};umask 077;: >>"$1"||exit;set -C;: >"$b/$2"&&echo "$b"'

# The first segment takes the place of what is there. What was sent is removed after the last.
_UNPACK_FIRST = ': >"$2"||exit;'
_UNPACK = 'gzip -dc <"$1" >>"$2"'
_UNPACK_LAST = '&&rm -f "$1"'

# How much of a file is packed at a time, in bytes.
_SEGMENT = 8 * 1024 * 1024

_EXISTS = '[ -e "$1" ]'

# For closing a handle, and for trying to when something else has failed.
_CLOSE_TIMEOUT = 30.0
_CLEANUP_TIMEOUT = 2.0


class OpenFile:
    """A file that the agent has open. As a context manager it is closed at the end, whatever happens.

    :param handle: the agent's number for it. It keeps the file open until told otherwise, even for another client.
    :param path: for messages.
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
        """Have the agent close it."""
        self._close(Deadline.after(_CLOSE_TIMEOUT))

    def _close(self, deadline: Deadline) -> None:
        self._call("close", "guest-file-close", {}, deadline)

    def read(self, deadline: Deadline, most: int | None = None) -> tuple[bytes, bool]:
        """What comes next, and whether that is the end of the file, for now.

        :param most: how many bytes at the most. The agent makes room for so many, and clears it; by default a chunk.
        """
        command, most = "guest-file-read", most or self._agent.reply_chunk
        reply = self._call("read", command, {"count": most}, deadline)
        chunk = from_base64(command, "buf-b64", member(command, reply, "buf-b64", str))
        eof = member(command, reply, "eof", bool)
        if len(chunk) != member(command, reply, "count", int) or len(chunk) > most or not (chunk or eof):
            raise ProtocolViolation(f"{self._agent.endpoint}: {command}: the count, the data and the end do not fit")
        return chunk, eof

    def chunks(self, deadline: Deadline) -> t.Iterator[bytes]:
        """All that comes until the end, a chunk at a time."""
        eof = False
        while not eof:
            chunk, eof = self.read(deadline)
            if chunk:
                yield chunk

    def write(self, chunk: bytes, deadline: Deadline) -> None:
        """Write a chunk. The agent buffers it."""
        command = "guest-file-write"
        arguments = {"buf-b64": base64.b64encode(chunk).decode("ascii")}
        written = member(command, self._call("write", command, arguments, deadline), "count", int)
        if written != len(chunk):
            raise GuestFileError(
                f"{self._agent.endpoint}: {self._path} in the guest took {written} of {len(chunk)} bytes, is it full?"
            )

    def flush(self, deadline: Deadline) -> None:
        """Have the agent write what it has buffered. That a disk is full shows here, and not in the writes."""
        self._call("write", "guest-file-flush", {}, deadline)

    def _call(self, doing: str, command: str, arguments: dict[str, t.Any], deadline: Deadline) -> t.Any:
        with _naming(self._agent, doing, self._path):
            return self._agent.call(command, {"handle": self._handle, **arguments}, deadline=deadline)


class Files:
    """The files of one guest.

    :param agent: of the guest.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        #: The files that were opened for writing, and may not be what they were.
        self.written: set[str] = set()

    def put(self, local: str, remote: str, *, deadline: Deadline) -> None:
        """Copy a local file into the guest. A new file has mode 0600; one that is there keeps its mode.

        :raises GuestFileError: it cannot be written there.
        :raises OSError: the local file cannot be read.
        """
        with open(local, "rb") as source:
            beginning = source.read(_SEGMENT)
            pays = compression.saving(beginning) >= compression.MIN_SAVING
            if pays and self._put_packed(beginning, source, remote, deadline):
                return
            source.seek(0)
            self._shell("write", remote, _MAKE_PRIVATE, remote, deadline=deadline)
            self.written.add(remote)
            self.write(remote, iter(lambda: source.read(self._agent.chunk), b""), deadline=deadline)

    def _put_packed(self, segment: bytes, source: t.BinaryIO, remote: str, deadline: Deadline) -> bool:
        """Copy a file in compressed segments, so that neither side needs room for all of it; False without gzip."""
        name = f"netless-qga.{secrets.token_hex(16)}"
        base = self._shell("write", remote, _MAKE_PACKED, remote, name, deadline=deadline)
        if base == compression.NO_GZIP:
            return False
        self.written.add(remote)
        packed, first = f"{base}/{name}", _UNPACK_FIRST
        try:
            while segment:
                self.write_bytes(packed, compression.pack(segment), deadline=deadline)
                segment = source.read(_SEGMENT)
                last = "" if segment else _UNPACK_LAST
                self._shell("write", remote, first + _UNPACK + last, packed, remote, deadline=deadline)
                first = ""
        except BaseException:
            with contextlib.suppress(QgaError):
                run_quietly(self._agent, "rm", ["-f", packed], deadline=Deadline.after(_CLEANUP_TIMEOUT))
            raise
        return True

    def _shell(self, doing: str, path: str, script: str, *arguments: str, deadline: Deadline) -> str:
        """Have the guest's shell do something with a file; returns what it says.

        :raises GuestFileError: it failed.
        """
        done = run_script(self._agent, script, *arguments, deadline=deadline)
        if done.rc:
            reason = excerpt(done.stderr.decode("utf-8", errors="replace"))
            raise GuestFileError(f"{self._agent.endpoint}: cannot {doing} {path} in the guest: {reason}")
        return done.stdout.decode("ascii", errors="replace").strip()

    def get(self, remote: str, local: str, *, deadline: Deadline) -> None:
        """Copy a file out of the guest. The local file appears, or is replaced, when all of it is there.

        :raises FileNotFoundError: there is no such file in the guest.
        :raises GuestFileError: it cannot be read.
        :raises OSError: the local file cannot be written.
        """
        directory, name = os.path.split(os.path.abspath(local))
        partial = os.path.join(directory, f".{name[:64]}.{secrets.token_hex(8)}")
        try:
            with open(partial, "xb") as target:
                for chunk in self.read(remote, deadline=deadline):
                    target.write(chunk)
            os.replace(partial, local)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)
            raise

    def read(self, remote: str, *, deadline: Deadline) -> t.Iterator[bytes]:
        """The contents of a file, a chunk at a time.

        :raises FileNotFoundError: there is no such file.
        :raises GuestFileError: it cannot be read; or there is none, and the agent may not look.
        """
        try:
            opened = self.open(remote, "r", deadline)
        except GuestFileError as exc:
            # The reason is only in the agent's text, which is for humans and in the guest's language.
            if self.exists(remote, deadline=deadline) is False:
                raise FileNotFoundError(f"{self._agent.endpoint}: the guest has no file {remote}") from exc
            raise
        with opened:
            yield from opened.chunks(deadline)

    def exists(self, path: str, *, deadline: Deadline) -> bool | None:
        """Whether there is such a file, or anything else of that name; None if the agent may not look.

        It has no command for that but to run a program.
        """
        try:
            return not run_script(self._agent, _EXISTS, path, deadline=deadline).rc
        except FilesystemsFrozen:
            raise
        except CommandUnavailable:
            return None

    def write(self, remote: str, chunks: t.Iterable[bytes], *, deadline: Deadline) -> None:
        """Write the contents of a file, in place of those it has.

        :param chunks: each no larger than :attr:`Agent.chunk`.
        :raises GuestFileError: it cannot be written, or not whole.
        """
        with self.open(remote, "w", deadline) as opened:
            for chunk in chunks:
                opened.write(chunk, deadline)
            opened.flush(deadline)

    def write_bytes(self, remote: str, content: bytes, *, deadline: Deadline) -> None:
        """The same with contents of any size."""
        view, chunk = memoryview(content), self._agent.chunk
        chunks = (bytes(view[start : start + chunk]) for start in range(0, len(view), chunk))
        self.write(remote, chunks, deadline=deadline)

    def open(self, remote: str, mode: str, deadline: Deadline) -> OpenFile:
        """Have the agent open a file.

        :param mode: as fopen(3) takes it. A file that ``w`` creates can be written by everybody.
        :raises GuestFileError: it cannot be opened.
        """
        with _naming(self._agent, "open", remote):
            reply = self._agent.call("guest-file-open", {"path": remote, "mode": mode}, deadline=deadline)
        if mode == "w":
            self.written.add(remote)
        return OpenFile(self._agent, typed(reply, int, "guest-file-open"), remote)


@contextlib.contextmanager
def _naming(agent: Agent, doing: str, path: str) -> t.Iterator[None]:
    """Name the file in the agent's plain refusals. That a command is blocked has nothing to do with the file."""
    try:
        yield
    except CommandUnavailable:
        raise
    except AgentRefused as exc:
        raise GuestFileError(f"{agent.endpoint}: cannot {doing} {path} in the guest: {excerpt(exc.desc)}") from exc
