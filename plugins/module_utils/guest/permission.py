# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an agent will carry out a command, seen before it is sent."""

from __future__ import annotations

from ansible_collections.netless.qga.plugins.module_utils.agent import HOW_TO_ALLOW, HOW_TO_THAW, Agent
from ansible_collections.netless.qga.plugins.module_utils.deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    CommandDisabled,
    CommandMissing,
    FilesystemsFrozen,
)


def see_that_it_may(agent: Agent, command: str, deadline: Deadline) -> None:
    """See that the agent will take a command, for one that it does not answer or that others have to follow.

    :raises FilesystemsFrozen: the guest is frozen, and could not end or suspend.
    :raises CommandUnavailable: the agent does not know the command, or may not carry it out.
    """
    commands = agent.info(deadline).commands
    if commands.get("guest-fsfreeze-status"):
        if agent.call("guest-fsfreeze-status", deadline=deadline, repeatable=True) == "frozen":
            raise FilesystemsFrozen(f"{agent.endpoint}: {command} is not sent. {HOW_TO_THAW}")
    if command not in commands:
        raise CommandMissing(f"{agent.endpoint}: this agent does not know {command}")
    if not commands[command]:
        raise CommandDisabled(f"{agent.endpoint}: {command} is not sent. {HOW_TO_ALLOW}")
