# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looking at one guest through its agent: whether it answers, which boot it runs in, and whether it is frozen."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent, AgentInfo
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.power.boot import UNKNOWN, Boot, read_boot, read_ticks
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    EndpointBusy,
    InvalidRequest,
    LibraryMissing,
    QgaError,
    error_name,
)

_FREEZE_STATUS = "guest-fsfreeze-status"


@dataclass(frozen=True)
class Observation:
    """What one look at a guest has shown.

    :param answers: whether the agent answered; None if the look shows nothing about it, because another client holds
        its channel.
    :param version: the agent's version; empty if it does not report one.
    :param boot: what it reported about the boot.
    :param frozen: whether filesystems are frozen; None if it does not report that.
    :param reason: the name of the error if it did not answer, as modules return it.
    :param message: the text of that error.
    """

    answers: bool | None
    version: str = ""
    boot: Boot = UNKNOWN
    frozen: bool | None = None
    reason: str = ""
    message: str = ""


def observe(agent: Agent, known: Boot, deadline: Deadline) -> Observation:
    """Look at a guest once, and close the channel.

    :param known: what is known of the boot that the guest was in without interruption; nothing if it was away.
    :param deadline: for everything.
    :raises InvalidRequest: the address of the agent is not valid.
    :raises LibraryMissing: the library that reaches the agent is missing.
    """
    try:
        return _look(agent, known, deadline)
    except (InvalidRequest, LibraryMissing):
        raise
    except QgaError as exc:
        answers = None if isinstance(exc, EndpointBusy) else False
        return Observation(answers, reason=error_name(exc), message=str(exc))
    finally:
        agent.close()


def _look(agent: Agent, known: Boot, deadline: Deadline) -> Observation:
    agent.sync(deadline)
    try:
        info = agent.info(deadline)
    except AgentRefused:
        # An agent that is not allowed even this is up.
        return Observation(True)
    frozen = _is_frozen(agent, info, deadline)
    return Observation(True, version=info.version, boot=_boot(agent, known, deadline), frozen=frozen)


def _is_frozen(agent: Agent, info: AgentInfo, deadline: Deadline) -> bool | None:
    if not info.allows(_FREEZE_STATUS):
        return None
    try:
        return bool(agent.call(_FREEZE_STATUS, deadline=deadline, repeatable=True) == "frozen")
    except AgentRefused:
        return None


def _boot(agent: Agent, known: Boot, deadline: Deadline) -> Boot:
    """Return the boot, and open a file for that only if the guest's clock ticks do not show that it is the same."""
    ticks = read_ticks(agent, deadline)
    if known.boot_id is not None and known.ticks is not None and ticks is not None and ticks >= known.ticks:
        return replace(known, ticks=ticks)
    return replace(read_boot(agent, deadline), ticks=ticks)
