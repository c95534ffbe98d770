# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Telling the host which blocks a guest's filesystems do not use."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._agent.reply import member, optional
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import excerpt

#: Seconds that it may take. A large disk that was never trimmed takes many minutes.
TRIM_TIMEOUT = 1800.0

_COMMAND = "guest-fstrim"


@dataclass(frozen=True)
class Trim:
    """One filesystem.

    :param path: where it is mounted.
    :param trimmed: how many bytes, None if the agent does not say.
    :param minimum: the shortest run of unused blocks that was trimmed, in bytes; None if the agent does not say.
    :param error: why it was not trimmed, if it was not.
    """

    path: str
    trimmed: int | None
    minimum: int | None
    error: str | None

    def as_result(self) -> dict[str, t.Any]:
        """As a part of a result: what the agent said."""
        return {name: value for name, value in vars(self).items() if value is not None}


def trim(agent: Agent, minimum: int | None, deadline: Deadline) -> list[Trim]:
    """Trim all filesystems of a guest.

    :param minimum: shorter runs of unused blocks are left alone, in bytes.
    :returns: what was trimmed; nothing through libvirt's own call, which does not tell.
    """
    reply = agent.call(_COMMAND, {} if minimum is None else {"minimum": minimum}, deadline=deadline)
    return [
        Trim(
            path=member(_COMMAND, path, "path", str),
            trimmed=_optional_integer(path, "trimmed"),
            minimum=_optional_integer(path, "minimum"),
            error=excerpt(optional(_COMMAND, path, "error", "")) or None,
        )
        for path in member(_COMMAND, reply, "paths", list)
    ]


def _optional_integer(path: t.Any, name: str) -> int | None:
    return optional(_COMMAND, path, name, 0) if name in path else None
