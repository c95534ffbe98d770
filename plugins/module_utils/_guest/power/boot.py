# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Identifying the boot that a guest is in, by what its agent may report."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.files.files import Files
from ansible_collections.netless.qga.plugins.module_utils.errors import AgentRefused, GuestFileError

# Linux makes a new id at each boot (random(4)).
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_IS_BOOT_ID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAX_BOOT_ID = 64

_FILE_COMMANDS = ("guest-file-open", "guest-file-read", "guest-file-close")
_TICKS_COMMAND = "guest-get-cpustats"

# All but iowait, which may shrink (proc(5)), and the kinds that are part of others.
_TICK_KINDS = ("user", "nice", "system", "idle", "irq", "softirq", "steal")


@dataclass(frozen=True)
class Boot:
    """What is known of a boot.

    :param boot_id: Linux's own, which no other boot has.
    :param ticks: for how many clock ticks a processor has been up, idle or not. They only grow.
    """

    boot_id: str | None = None
    ticks: int | None = None

    def is_another(self, later: Boot) -> bool | None:
        """Return whether the later one is another boot; None if neither is certain."""
        if self.boot_id is not None and later.boot_id is not None:
            return self.boot_id != later.boot_id
        if self.ticks is not None and later.ticks is not None and later.ticks < self.ticks:
            return True
        return None


#: A boot of which nothing is known.
UNKNOWN = Boot()


def read_boot(agent: Agent, deadline: Deadline) -> Boot:
    """Return what the agent reports about the boot it runs in.

    An agent that may not handle files counts ticks, from QEMU 7.1 on.

    :raises Unreachable: and the others as :meth:`Agent.call` does, except :class:`AgentRefused`.
    """
    info = agent.info(deadline)
    if info.allows(*_FILE_COMMANDS):
        boot_id = _read_boot_id(agent, deadline)
        if boot_id is not None:
            return Boot(boot_id=boot_id)
    return Boot(ticks=read_ticks(agent, deadline))


def read_ticks(agent: Agent, deadline: Deadline) -> int | None:
    """Return for how many clock ticks a processor has been up; None if the agent does not report it.

    The guest logs no such query, while it logs each file that is opened.

    :raises Unreachable: and the others as :meth:`Agent.call` does, except :class:`AgentRefused`.
    """
    return _count_ticks(agent, deadline) if agent.info(deadline).allows(_TICKS_COMMAND) else None


def _read_boot_id(agent: Agent, deadline: Deadline) -> str | None:
    try:
        with Files(agent).open(_BOOT_ID, "r", deadline) as opened:
            content = opened.read(deadline, _MAX_BOOT_ID)[0].strip()
    except (AgentRefused, GuestFileError):
        # The guest is not Linux, or SELinux forbids it.
        return None
    return content.decode("ascii") if _IS_BOOT_ID.fullmatch(content) else None


def _count_ticks(agent: Agent, deadline: Deadline) -> int | None:
    try:
        processors = agent.call(_TICKS_COMMAND, deadline=deadline, repeatable=True)
    except AgentRefused:
        return None
    reader = agent.reader(_TICKS_COMMAND)
    ticks = [sum(reader.optional(processor, kind, 0) for kind in _TICK_KINDS) for processor in processors]
    # The processor that has been up for longest counts: others are plugged in and out.
    return max(ticks, default=None)
