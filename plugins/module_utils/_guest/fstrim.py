# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Trimming: the guest shows its host which blocks of the disks its filesystems do not use."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._agent.reply import ReplyReader
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import TaskFailed, excerpt

#: Seconds that trimming may take. A large disk that was never trimmed takes many minutes.
TRIM_TIMEOUT = 1800.0

_COMMAND = "guest-fstrim"


@dataclass(frozen=True)
class Trim:
    """One filesystem after a trim.

    :param path: where it is mounted.
    :param trimmed: how many bytes were trimmed, None if the agent does not report it.
    :param minimum: the shortest run of unused blocks that was trimmed, in bytes; None if the agent does not report it.
    :param error: why it was not trimmed, None if it was.
    """

    path: str
    trimmed: int | None
    minimum: int | None
    error: str | None

    @property
    def may_have_trimmed(self) -> bool:
        """Whether blocks were trimmed, or the agent does not report how many."""
        return self.error is None if self.trimmed is None else self.trimmed != 0

    def as_result(self) -> dict[str, t.Any]:
        """Return what the agent reported, as a part of a result."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class TrimReport:
    """All filesystems of a guest after a trim.

    :param trims: one for each filesystem; none if libvirt's own call did it, which does not report them.
    """

    trims: t.Sequence[Trim]

    @property
    def errors(self) -> dict[str, str]:
        """Why filesystems were not trimmed, by where they are mounted."""
        return {trim.path: trim.error for trim in self.trims if trim.error is not None}

    @property
    def may_have_trimmed(self) -> bool:
        """See :attr:`Trim.may_have_trimmed`."""
        return any(trim.may_have_trimmed for trim in self.trims)

    def as_result(self) -> dict[str, t.Any]:
        """Return the filesystems, and the sum of the bytes if the agent reports any, as a result."""
        result: dict[str, t.Any] = {"paths": [trim.as_result() for trim in self.trims]}
        counts = [trim.trimmed for trim in self.trims if trim.trimmed is not None]
        return {**result, "trimmed": sum(counts)} if counts else result


def trim_filesystems(agent: Agent, minimum: int | None, deadline: Deadline) -> TrimReport:
    """Trim all filesystems of a guest.

    :param agent: the guest's agent.
    :param minimum: leave runs of unused blocks alone that are shorter than this, in bytes; None means none.
    :raises TaskFailed: none of the filesystems could be trimmed.
    :raises QgaError: the agent did not trim, or its answer is lost.
    """
    reply = agent.call(_COMMAND, {} if minimum is None else {"minimum": minimum}, deadline=deadline)
    reader = agent.reader(_COMMAND)
    report = TrimReport([_parse(path, reader) for path in reader.member(reply, "paths", list)])
    # One error is not a failure: most guests have a filesystem that cannot be trimmed, like that of an EFI partition.
    if report.trims and len(report.errors) == len(report.trims):
        path, error = next(iter(report.errors.items()))
        raise TaskFailed(
            f"{agent.endpoint}: no filesystem could be trimmed; {path}: {error}",
            error="nothing_trimmed",
            **report.as_result(),
        )
    return report


def _parse(path: t.Any, reader: ReplyReader) -> Trim:
    return Trim(
        path=reader.member(path, "path", str),
        trimmed=_optional_integer(path, "trimmed", reader),
        minimum=_optional_integer(path, "minimum", reader),
        error=excerpt(reader.optional(path, "error", "")) or None,
    )


def _optional_integer(path: t.Any, name: str, reader: ReplyReader) -> int | None:
    return reader.optional(path, name, 0) if name in path else None
