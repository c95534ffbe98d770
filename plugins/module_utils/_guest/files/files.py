# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of a guest: contents through guest-file-*, and through its shell what the agent has no command for."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.open_file import OpenFile, open_file, open_files
from ansible_collections.netless.qga.plugins.module_utils._guest.shell import compression
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.guest_exec import run_captured, run_script
from ansible_collections.netless.qga.plugins.module_utils._guest.shell.spool import find_base
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    CommandUnavailable,
    FilesystemsFrozen,
    GuestFileError,
    GuestFileTooLarge,
    QgaError,
    excerpt,
)

# guest-file-open creates files that everybody can write, whatever the umask, so the shell creates them first. An
# existing file keeps its mode, owner and links, and its contents until they are overwritten.
_CREATE_PRIVATE = 'umask 077;: >>"$1"'

# Creates the file that takes the compressed contents first, and prints its directory. Nobody else can read it or guess
# its name. Without gzip, or without room for it, the contents are sent as they are.
_CREATE_COMPRESSED = f"""\
{compression.CHECK_GZIP};umask 077;: >>"$1"||exit
{find_base('"$b/$2"')}
echo "$b\""""

# The first segment replaces the old contents. The compressed file is removed after the last segment.
_UNPACK_FIRST = ': >"$2"||exit;'
_UNPACK = 'gzip -dc <"$1" >>"$2"'
_UNPACK_LAST = '&&rm -f "$1"'

# How much of a file is compressed at a time, in bytes.
_SEGMENT = 8 * 1024 * 1024

_EXISTS = '[ -e "$1" ]'

# The options of GNU's and BusyBox's stat, and those of the BSDs'.
_GET_MODE = 'stat -Lc %a "$1" 2>/dev/null||stat -Lf %Mp%Lp "$1"'
_SET_MODE = 'chmod "$2" "$1"'
_OCTAL = re.compile(rb"[0-7]{1,5}\n\Z")

# For removing a file after another error, in seconds.
_CLEANUP_TIMEOUT = 2.0

Progress = t.Callable[[int], None]


def no_progress(copied: int) -> None:
    """Report no progress."""


class Files:
    """The files of one guest.

    :param agent: the guest's agent.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        #: The files that were opened for writing, whose contents may have changed.
        self.written: set[str] = set()

    def put(self, local: str, remote: str, *, deadline: Deadline, progress: Progress = no_progress) -> None:
        """Copy a local file into the guest. A new file has mode 0600; an existing one keeps its mode.

        :param progress: called with the number of bytes that are copied so far.
        :raises GuestFileError: the guest's file cannot be written.
        :raises OSError: the local file cannot be read.
        """
        with open(local, "rb") as source:
            segment = source.read(_SEGMENT)
            is_worthwhile = compression.saving(segment) >= compression.MIN_SAVING
            if is_worthwhile and self._put_compressed(segment, source, remote, deadline, progress):
                return
            source.seek(0)
            self.create_private(remote, deadline)
            self.written.add(remote)
            self.write(remote, self._chunks(source, progress), deadline=deadline)

    def _chunks(self, source: t.BinaryIO, progress: Progress) -> t.Iterator[bytes]:
        """Yield the contents of a local file. Each chunk is copied when the next one is asked for."""
        while chunk := source.read(self._agent.chunk):
            yield chunk
            progress(source.tell())

    def _put_compressed(
        self, segment: bytes, source: t.BinaryIO, remote: str, deadline: Deadline, progress: Progress
    ) -> bool:
        """Copy a file in compressed segments, so that neither side needs room for all of it.

        :param segment: the first segment, which was read already.
        :returns: whether the file was copied; False if the guest has no gzip, or no room for compressed contents.
        """
        name = f"netless-qga.{secrets.token_hex(16)}"
        base = self._shell("write", _CREATE_COMPRESSED, remote, name, path=remote, deadline=deadline)
        base_directory = base.decode("ascii", errors="replace").strip()
        if base_directory in ("", compression.NO_GZIP):
            return False
        self.written.add(remote)
        compressed, first = f"{base_directory}/{name}", _UNPACK_FIRST
        try:
            while segment:
                try:
                    self.write_bytes(compressed, compression.compress(segment), deadline=deadline)
                except GuestFileError:
                    if not first:
                        raise
                    self._remove(compressed)
                    return False
                copied = source.tell()
                segment = source.read(_SEGMENT)
                last = "" if segment else _UNPACK_LAST
                self._shell("write", first + _UNPACK + last, compressed, remote, path=remote, deadline=deadline)
                first = ""
                progress(copied)
        except BaseException:
            self._remove(compressed)
            raise
        return True

    def _remove(self, path: str) -> None:
        with contextlib.suppress(QgaError):
            run_captured(self._agent, "rm", ["-f", path], deadline=Deadline.after(_CLEANUP_TIMEOUT))

    def get(
        self,
        remote: str,
        local: str,
        *,
        deadline: Deadline,
        max_size: int | None = None,
        progress: Progress = no_progress,
    ) -> None:
        """Copy a file out of the guest. The local file is created or replaced once all contents have arrived.

        :param max_size: see :meth:`OpenFile.chunks`; by default as much as the local file system has room for.
        :param progress: called with the number of bytes that are copied so far.
        :raises FileNotFoundError: there is no such file in the guest.
        :raises GuestFileTooLarge: the guest's file has more than ``max_size`` bytes, or than there is room for.
        :raises GuestFileError: the guest's file cannot be read.
        :raises OSError: the local file cannot be written.
        """
        directory, name = os.path.split(os.path.abspath(local))
        partial = os.path.join(directory, f".{name[:64]}.{secrets.token_hex(8)}")
        try:
            with open(partial, "xb") as target:
                room = shutil.disk_usage(directory).free
                for chunk in self.read(remote, deadline=deadline, max_size=min(room, max_size or room)):
                    target.write(chunk)
                    progress(target.tell())
            os.replace(partial, local)
        except GuestFileTooLarge as exc:
            os.unlink(partial)
            if exc.max_size == room:
                raise GuestFileTooLarge(f"{exc}, since {directory} has no room for more", max_size=room) from exc
            raise
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)
            raise

    def read(self, remote: str, *, deadline: Deadline, max_size: int | None = None) -> t.Iterator[bytes]:
        """Yield the contents of a file, one chunk at a time.

        :param max_size: see :meth:`OpenFile.chunks`.
        :raises FileNotFoundError: there is no such file.
        :raises GuestFileTooLarge: the file has more than ``max_size`` bytes, or does not end.
        :raises GuestFileError: the file cannot be read; or it is missing, and the agent may not check that.
        """
        try:
            opened = self.open(remote, "r", deadline)
        except GuestFileError as exc:
            # Only the agent's text has the reason. It is for humans and in the guest's language.
            if self.exists(remote, deadline=deadline) is False:
                raise FileNotFoundError(f"{self._agent.endpoint}: the guest has no file {remote}") from exc
            raise
        with opened:
            yield from opened.chunks(deadline, max_size)

    def exists(self, path: str, *, deadline: Deadline) -> bool | None:
        """Return whether there is a file, a directory or anything else of that name.

        The agent has no command for that, so the guest's shell checks it.

        :returns: None if the agent may not run programs.
        """
        try:
            return not run_script(self._agent, _EXISTS, path, deadline=deadline).rc
        except FilesystemsFrozen:
            raise
        except CommandUnavailable:
            return None

    def write(self, remote: str, chunks: t.Iterable[bytes], *, deadline: Deadline) -> None:
        """Replace the contents of a file.

        :param chunks: the new contents; no chunk is larger than :attr:`Agent.chunk`.
        :raises GuestFileError: the file cannot be written, or not completely.
        """
        size = 0
        with self.open(remote, "w", deadline) as opened:
            for chunk in chunks:
                opened.write(chunk, deadline)
                size += len(chunk)
            opened.flush_all(size, deadline)

    def write_bytes(self, remote: str, content: bytes, *, deadline: Deadline) -> None:
        """Replace the contents of a file with bytes of any length, as :meth:`write` does."""
        view, chunk = memoryview(content), self._agent.chunk
        chunks = (bytes(view[start : start + chunk]) for start in range(0, len(view), chunk))
        self.write(remote, chunks, deadline=deadline)

    def open(self, remote: str, mode: str, deadline: Deadline) -> OpenFile:
        """Have the agent open a file.

        :param mode: the mode as fopen(3) takes it. A file that ``w`` creates can be written by everybody.
        :raises GuestFileError: the agent cannot open the file.
        """
        opened = open_file(self._agent, remote, mode, deadline)
        if mode == "w":
            self.written.add(remote)
        return opened

    def open_all(self, files: t.Sequence[tuple[str, str]], deadline: Deadline) -> list[OpenFile]:
        """Have the agent open several files that exist, without waiting for one before the next is asked for.

        :param files: the path and the mode of each, as :meth:`open` takes them.
        :raises GuestFileError: the agent cannot open one of them; it has none of them open.
        """
        return open_files(self._agent, files, deadline)

    def create_private(self, remote: str, deadline: Deadline) -> None:
        """Create a file with mode 0600. An existing file stays as it is.

        :raises GuestFileError: the file cannot be written.
        """
        self._shell("write", _CREATE_PRIVATE, remote, path=remote, deadline=deadline)

    def mode(self, remote: str, deadline: Deadline) -> int:
        """Return the mode of a file.

        :raises GuestFileError: the guest's stat failed or printed something else.
        """
        output = self._shell("get the mode of", _GET_MODE, remote, path=remote, deadline=deadline)
        if not _OCTAL.match(output):
            raise GuestFileError(f"{self._agent.endpoint}: the guest's stat printed no mode for {remote}")
        return int(output, 8)

    def set_mode(self, remote: str, mode: int, deadline: Deadline) -> None:
        """Change the mode of a file.

        :raises GuestFileError: the guest's chmod failed.
        """
        self._shell("change the mode of", _SET_MODE, remote, f"{mode:04o}", path=remote, deadline=deadline)

    def _shell(self, action: str, script: str, *arguments: str, path: str, deadline: Deadline) -> bytes:
        """Run a script in the guest that does something with a file; return what it printed.

        :param action: what it does, as a part of an error message.
        :param path: the file that the message names.
        :raises GuestFileError: the script failed.
        """
        ended = run_script(self._agent, script, *arguments, deadline=deadline)
        if ended.rc:
            reason = excerpt(ended.stderr.decode("utf-8", errors="replace"))
            raise GuestFileError(f"{self._agent.endpoint}: cannot {action} {path} in the guest: {reason}")
        return ended.stdout
