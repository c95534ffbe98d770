# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ask an agent for what an inventory shows, and classify the failure if it does not answer."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.address import Address, make_channel
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Channel, HeldChannel
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.facts import gather
from ansible_collections.netless.qga.plugins.module_utils._inventory.domain import AgentReport, AgentState
from ansible_collections.netless.qga.plugins.module_utils._schema.validation import check_reply
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    AgentSilent,
    ChannelClosed,
    EndpointBusy,
    OutcomeUnknown,
    ProtocolViolation,
    QgaError,
    Unreachable,
    UnreachableReason,
)
from ansible_collections.netless.qga.plugins.module_utils.framing.limits import Limits

if t.TYPE_CHECKING:
    from ansible_collections.netless.qga.plugins.module_utils._libvirt.connection_pool import ConnectionPool

#: Bounds for the replies of an agent. Many agents are asked at a time, and none of the replies is large.
REPLY_LIMITS = Limits(line=1024 * 1024, text=1024 * 1024, discard=8 * 1024 * 1024, depth=32, values=16 * 1024)

# What each error shows; the first row that matches counts.
_STATES: tuple[tuple[type[QgaError], AgentState], ...] = (
    (EndpointBusy, AgentState.BUSY),
    (AgentSilent, AgentState.SILENT),
    (ChannelClosed, AgentState.SILENT),
    (OutcomeUnknown, AgentState.SILENT),
    (ProtocolViolation, AgentState.INVALID),
    (QgaError, AgentState.UNAVAILABLE),
)

# QEMU removes its sockets when it ends, unless it is killed.
_WITHOUT_DOMAIN = (UnreachableReason.ABSENT, UnreachableReason.LEFT_BEHIND)


def channel_for_questions(address: Address, deadline: Deadline, pool: ConnectionPool | None = None) -> HeldChannel:
    """Return the channel to one of many agents, for some questions with short answers.

    :param deadline: for everything.
    :param pool: see :func:`make_channel`.
    """
    remaining = deadline.remaining()
    return make_channel(address, connect_timeout=remaining, reply_timeout=remaining, limits=REPLY_LIMITS, pool=pool)


def ask_agent(channel: Channel, subsets: t.Sequence[str], deadline: Deadline) -> AgentReport:
    """Ask an agent for its version and for subsets of what it knows, and close the channel.

    :param channel: the channel to it.
    :param subsets: names, from :func:`select`. What the agent does not report is left out.
    :param deadline: for everything.
    """
    agent = Agent(channel, check_reply=check_reply)
    try:
        facts = gather(agent, subsets, deadline)
        return AgentReport(
            AgentState.REACHABLE, version=_version(agent, deadline), facts=facts.found, domain_state="running"
        )
    except QgaError as exc:
        state = next(state for kind, state in _STATES if isinstance(exc, kind))
        return AgentReport(state, str(exc), domain_state="off" if _shows_no_domain(exc) else "")
    finally:
        agent.close()


def _shows_no_domain(error: QgaError) -> bool:
    return isinstance(error, Unreachable) and error.reason in _WITHOUT_DOMAIN


def _version(agent: Agent, deadline: Deadline) -> str:
    """Return the agent's version; nothing if it refuses guest-info."""
    try:
        return agent.info(deadline).version
    except AgentRefused:
        return ""
