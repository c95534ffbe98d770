# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Putting contents into a file of the guest's, and getting them out, also where no program may be run."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._agent.target import Target
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.content import (
    MAX_SHOWN,
    ContentSummary,
    Source,
    summarize,
)
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    GuestFileError,
    OutcomeUnknown,
    QgaError,
    TaskFailed,
    error_name,
)

# How long the contents of one file may take on their way, in seconds.
_COPY_TIMEOUT = 3600.0

_PRIVATE_MODE = 0o600

# How guest-file-open makes a file.
_MODE_OF_AGENT = 0o666

# How much of a file becomes part of a result, in bytes.
_MAX_IN_MEMORY = 16 * 1024 * 1024


@dataclass(frozen=True)
class FileChange:
    """A file of the guest's as it was found, and as it is now or would be.

    :param before: its contents; None if there was no file, as far as can be told.
    :param after: its contents then.
    :param mode_before: None if it is not known, or does not matter.
    :param mode: likewise.
    """

    before: ContentSummary | None
    after: ContentSummary
    mode_before: int | None
    mode: int | None

    @property
    def changed(self) -> bool:
        """Whether that is not the same."""
        return not self.after.same_as(self.before) or self.mode != self.mode_before


class GuestFile:
    """One path in one guest.

    :param agent: of the guest.
    :param way: that leads to the agent, for how long to wait.
    :param path: in the guest.
    """

    def __init__(self, agent: Agent, target: Target, path: str) -> None:
        self._agent = agent
        self._files = Files(agent)
        self._target = target
        self._path = path
        self._has_changed = False

    def put(self, source: Source, mode: int | None, *, check_mode: bool, warn: t.Callable[[str], None]) -> FileChange:
        """See that the file has these contents, and this mode if one is given.

        :param check_mode: whether only to look.
        :param warn: is told what the user should know.
        :raises GuestFileError: it cannot be read or written.
        :raises TaskFailed: it cannot have the mode, and nothing was written; or something went wrong half-way.
        """
        wanted = summarize(source.chunks())
        contents = self._look(most=max(wanted.size, MAX_SHOWN))
        is_new = contents is None
        has_shell = self._agent.info(self._target.deadline()).allows("guest-exec", "guest-exec-status")
        if mode is not None and not has_shell:
            if is_new:
                raise TaskFailed(
                    f"{self._agent.endpoint}: {self._path} in the guest cannot have the mode {mode:04o}. The agent "
                    f"makes new files with the mode {_MODE_OF_AGENT:04o}, and may not run chmod. Nothing was written. "
                    f"Allow guest-exec, leave the mode out, or write to a file that is there",
                    error="command_disabled",
                )
            warn(f"the mode of {self._path} stays as it is, and is not known: the agent may not run programs")
            mode = None
        if mode is None and is_new:
            mode = _PRIVATE_MODE if has_shell else _MODE_OF_AGENT
            if not has_shell:
                warn(
                    f"{self._path} is a new file, if the agent is right, and everybody in the guest may read and write "
                    f"it: the agent may not run programs, and makes files with the mode {mode:04o}"
                )
        placed = FileChange(
            contents,
            wanted,
            self._files.mode(self._path, self._target.overall_deadline()) if mode is not None and not is_new else None,
            mode,
        )
        if placed.changed and not check_mode:
            try:
                self._place(source, placed, has_shell=has_shell)
            except QgaError as exc:
                if self._has_changed or self._path in self._files.written or isinstance(exc, OutcomeUnknown):
                    raise TaskFailed(str(exc), error=error_name(exc), changed=True) from exc
                raise
        return placed

    def read(self) -> tuple[bytes, ContentSummary]:
        """The contents of the file.

        :raises TaskFailed: there is no file, or too much in it.
        :raises GuestFileError: it cannot be read.
        """
        chunks: list[bytes] = []
        found = summarize(_kept(self._pieces(), chunks), most=_MAX_IN_MEMORY)
        if found.cut:
            raise TaskFailed(
                f"{self._agent.endpoint}: {self._path} in the guest has more than {_MAX_IN_MEMORY} bytes, which are "
                f"not returned in a result. Use the option dest, to write them to a file",
                error="too_large",
            )
        return b"".join(chunks), found

    def fetch(self, local: str, *, check_mode: bool) -> tuple[ContentSummary, bool]:
        """Copy the file to a local one, which is replaced at once when all is there, or kept if it is the same.

        :returns: what is in it, and whether the local file was changed.
        :raises TaskFailed: there is no file.
        :raises GuestFileError: it cannot be read.
        :raises OSError: the local one cannot be written.
        """
        before = summarize(Source(path=local).chunks()) if os.path.exists(local) else None
        if check_mode:
            found = summarize(self._pieces())
            return found, not found.same_as(before)
        with tempfile.TemporaryDirectory(prefix=".netless-qga.", dir=os.path.dirname(os.path.abspath(local))) as here:
            copy = os.path.join(here, "copy")
            with self._missing_is_failure():
                self._files.get(self._path, copy, deadline=Deadline.after(_COPY_TIMEOUT))
            found = summarize(Source(path=copy).chunks())
            changed = not found.same_as(before)
            if changed:
                if before is not None:
                    shutil.copymode(local, copy)
                os.replace(copy, local)
        return found, changed

    def _pieces(self) -> t.Iterator[bytes]:
        with self._missing_is_failure():
            yield from self._files.read(self._path, deadline=Deadline.after(_COPY_TIMEOUT))

    @contextlib.contextmanager
    def _missing_is_failure(self) -> t.Iterator[None]:
        try:
            yield
        except FileNotFoundError as exc:
            raise TaskFailed(str(exc), error="file_not_found") from exc

    def _look(self, most: int) -> ContentSummary | None:
        deadline = Deadline.after(_COPY_TIMEOUT)
        try:
            opened = self._files.open(self._path, "r", deadline)
        except GuestFileError:
            if self._files.exists(self._path, deadline=self._target.overall_deadline()):
                raise
            return None
        with opened:
            return summarize(opened.chunks(deadline), most)

    def _place(self, source: Source, placed: FileChange, *, has_shell: bool) -> None:
        mode, between = placed.mode, placed.mode_before
        deadline = Deadline.after(_COPY_TIMEOUT)
        if not placed.after.same_as(placed.before):
            if has_shell and mode != between:
                # Nobody else may read the new contents before the file has its new mode.
                between = _PRIVATE_MODE
                if placed.before is None:
                    self._files.create_private(self._path, self._target.overall_deadline())
                else:
                    self._files.set_mode(self._path, between, self._target.overall_deadline())
                self._has_changed = True
            if has_shell and source.path:
                self._files.put(source.path, self._path, deadline=deadline)
            else:
                self._files.write(self._path, source.chunks(self._agent.chunk), deadline=deadline)
        if has_shell and mode is not None and mode != between:
            self._files.set_mode(self._path, mode, self._target.overall_deadline())


def _kept(chunks: t.Iterable[bytes], kept: list[bytes]) -> t.Iterator[bytes]:
    for piece in chunks:
        kept.append(piece)
        yield piece
