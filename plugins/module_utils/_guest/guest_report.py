# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What guest_info and guest_facts share: the two modules differ only in where they put the result."""

from __future__ import annotations

import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.facts import Facts, calls_for, gather, select


def read_guest(agent: Agent, subset: t.Sequence[str], overall_deadline: t.Callable[[int], Deadline]) -> Facts:
    """Ask the agent for the subsets that a user selected.

    :param subset: the option ``subset``.
    :param overall_deadline: makes the deadline of a number of calls.
    :raises InvalidRequest: a subset does not exist.
    :raises QgaError: the agent did not answer, or answered something invalid.
    """
    names = select(subset)
    return gather(agent, names, overall_deadline(calls_for(names)))


def unavailable_result(facts: Facts) -> dict[str, dict[str, str]]:
    """Return the result ``unavailable``: why the agent did not report a subset."""
    return {name: {"reason": subset.reason, "msg": subset.message} for name, subset in facts.unavailable.items()}
