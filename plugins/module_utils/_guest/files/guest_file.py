# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One file in the guest that a task writes, reads or copies out, also where the agent may not run programs."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._agent.option_checks import check_positive
from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.content import (
    MAX_SHOWN,
    ContentSummary,
    FileContent,
    Source,
    summarize,
)
from ansible_collections.netless.qga.plugins.module_utils._guest.files.file_change import FileChange
from ansible_collections.netless.qga.plugins.module_utils._guest.files.file_mode import AGENT_MODE, PRIVATE_MODE
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    LOST_ANSWER,
    GuestFileError,
    GuestFileTooLarge,
    InvalidRequest,
    QgaError,
    TaskFailed,
    error_name,
)

#: How long a task may take to read and write the contents of its file, unless the user set another time, in seconds.
COPY_TIMEOUT = 3600.0

# The largest contents that a result holds, in bytes.
_MAX_IN_RESULT = 16 * 1024 * 1024


class GuestFile:
    """One path in one guest.

    :param agent: the guest's agent.
    :param target: the target of the agent, which has the time limits.
    :param path: the absolute path in the guest.
    :param copy_timeout: seconds that all reading and writing of contents may take.
    :raises InvalidRequest: the path is not absolute, or the timeout is not a positive number.
    """

    def __init__(self, agent: Agent, target: Target, path: str, *, copy_timeout: float = COPY_TIMEOUT) -> None:
        check_positive("copy_timeout", copy_timeout)
        if not path.startswith("/") or "\0" in path:
            raise InvalidRequest("path has to be an absolute path in the guest")
        self._agent = agent
        self._files = Files(agent)
        self._target = target
        self._path = path
        self._copy_deadline = Deadline.after(copy_timeout)
        self._mode_has_changed = False

    def put(self, source: Source, mode: int | None, *, check_mode: bool, warn: t.Callable[[str], None]) -> FileChange:
        """Give the file these contents, and this mode if there is one, unless it has them already.

        :param check_mode: whether to change nothing.
        :param warn: takes warnings for the user.
        :returns: what changed, or would change.
        :raises GuestFileError: the file cannot be read or written.
        :raises TaskFailed: the file cannot have the mode, and nothing was written; or writing failed half-way.
        """
        after = summarize(source.chunks())
        before = self._summarize(max_size=max(after.size, MAX_SHOWN))
        has_shell = self._agent.info(self._target.deadline()).allows("guest-exec", "guest-exec-status")
        if has_shell:
            new_mode = PRIVATE_MODE if mode is None and before is None else mode
        else:
            new_mode = self._mode_without_shell(mode, is_new=before is None, warn=warn)
        mode_before = None
        if new_mode is not None and before is not None:
            mode_before = self._files.mode(self._path, self._target.overall_deadline())
        change = FileChange(self._path, before, after, mode_before, new_mode)
        if change.changed and not check_mode:
            self._apply(change, source, has_shell=has_shell)
        return change

    def _mode_without_shell(self, mode: int | None, *, is_new: bool, warn: t.Callable[[str], None]) -> int | None:
        """Return the mode that the file will have if the agent may not run chmod; None if that is unknown."""
        if not is_new:
            if mode is not None:
                warn(f"the mode of {self._path} is unknown and was not changed: the agent may not run programs")
            return None
        if mode is not None:
            raise TaskFailed(
                f"{self._agent.endpoint}: {self._path} in the guest cannot have the mode {mode:04o}. The agent "
                f"creates new files with the mode {AGENT_MODE:04o}, and may not run chmod. Nothing was written. "
                f"Allow guest-exec, leave the mode out, or write to an existing file",
                error="command_disabled",
            )
        warn(
            f"{self._path} seems to be a new file, which everybody in the guest can read and write: the agent may not "
            f"run programs, and creates files with the mode {AGENT_MODE:04o}"
        )
        return AGENT_MODE

    def read(self) -> FileContent:
        """Read the file.

        :raises TaskFailed: there is no such file, or it is too large for a result.
        :raises GuestFileError: the file cannot be read.
        """
        chunks: list[bytes] = []
        summary = summarize(_keep(self._chunks(), chunks), max_size=_MAX_IN_RESULT)
        if summary.cut:
            raise TaskFailed(
                f"{self._agent.endpoint}: {self._path} in the guest has more than {_MAX_IN_RESULT} bytes, which is "
                f"too much for a result. Copy it to a file with netless.qga.file and its option dest",
                error="too_large",
            )
        return FileContent(b"".join(chunks), summary)

    def fetch(self, dest: str, *, check_mode: bool, max_size: int | None = None) -> FileChange:
        """Copy the file to a local one, which is replaced once all contents have arrived, unless it has them already.

        :param dest: the local file.
        :param check_mode: whether to change nothing.
        :param max_size: the most bytes that the guest's file may have.
        :returns: what changed, or would change, about the local file.
        :raises InvalidRequest: the local file is a directory, or ``max_size`` is not a positive number.
        :raises TaskFailed: there is no such file in the guest, or it is too large.
        :raises GuestFileError: the guest's file cannot be read.
        :raises OSError: the local file cannot be written.
        """
        if max_size is not None:
            check_positive("max_size", max_size, "bytes")
        if os.path.isdir(dest):
            raise InvalidRequest(f"dest is a directory: {dest}. Add the name of the file")
        before = summarize(Source(path=dest).chunks()) if os.path.exists(dest) else None
        if check_mode:
            return FileChange(dest, before, summarize(self._chunks(max_size)))
        with tempfile.TemporaryDirectory(
            prefix=".netless-qga.", dir=os.path.dirname(os.path.abspath(dest))
        ) as directory:
            copy = os.path.join(directory, "copy")
            with self._unsuitable_file_fails_task():
                self._files.get(self._path, copy, deadline=self._copy_deadline, max_size=max_size)
            change = FileChange(dest, before, summarize(Source(path=copy).chunks()))
            if change.changed:
                if before is not None:
                    shutil.copymode(dest, copy)
                os.replace(copy, dest)
        return change

    def _chunks(self, max_size: int | None = None) -> t.Iterator[bytes]:
        with self._unsuitable_file_fails_task():
            yield from self._files.read(self._path, deadline=self._copy_deadline, max_size=max_size)

    @contextlib.contextmanager
    def _unsuitable_file_fails_task(self) -> t.Iterator[None]:
        try:
            yield
        except FileNotFoundError as exc:
            raise TaskFailed(str(exc), error="file_not_found") from exc
        except GuestFileTooLarge as exc:
            raise TaskFailed(str(exc), error="too_large") from exc

    def _summarize(self, max_size: int) -> ContentSummary | None:
        """Summarize the contents that the file has now; None if there is no file, as far as the agent can find out."""
        try:
            opened = self._files.open(self._path, "r", self._copy_deadline)
        except GuestFileError:
            if self._files.exists(self._path, deadline=self._target.overall_deadline()):
                raise
            return None
        with opened:
            return summarize(opened.chunks(self._copy_deadline), max_size)

    def _apply(self, change: FileChange, source: Source, *, has_shell: bool) -> None:
        """Write the contents and set the mode.

        :raises TaskFailed: an error after the file was changed, or may have been.
        """
        try:
            mode = change.mode_before
            if not change.after.same_as(change.before):
                mode = self._write(change, source, has_shell=has_shell)
            if has_shell and change.mode is not None and change.mode != mode:
                self._files.set_mode(self._path, change.mode, self._target.overall_deadline())
        except QgaError as exc:
            if self._mode_has_changed or self._path in self._files.written or isinstance(exc, LOST_ANSWER):
                raise TaskFailed(str(exc), error=error_name(exc), changed=True) from exc
            raise

    def _write(self, change: FileChange, source: Source, *, has_shell: bool) -> int | None:
        """Write the contents, and return the mode that the file has then, as far as it is known."""
        mode = change.mode_before
        if has_shell and change.mode != mode:
            # Nobody else may read the new contents before the file has its new mode.
            mode = PRIVATE_MODE
            if change.before is None:
                self._files.create_private(self._path, self._target.overall_deadline())
            else:
                self._files.set_mode(self._path, mode, self._target.overall_deadline())
            self._mode_has_changed = True
        deadline = self._copy_deadline
        if has_shell and source.path:
            self._files.put(source.path, self._path, deadline=deadline)
        else:
            self._files.write(self._path, source.chunks(self._agent.chunk), deadline=deadline)
        return mode


def _keep(chunks: t.Iterable[bytes], kept: list[bytes]) -> t.Iterator[bytes]:
    """Pass chunks on, and keep them in a list."""
    for chunk in chunks:
        kept.append(chunk)
        yield chunk
