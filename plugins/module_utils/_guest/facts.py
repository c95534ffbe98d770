# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an agent reports about its guest, in subsets, and why it does not report the rest."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.clock import moment
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    InvalidRequest,
    error_name,
)


@dataclass(frozen=True)
class Unavailable:
    """A subset that an agent does not report.

    :param reason: the name of the error, like ``command_missing``.
    :param message: the error in full.
    """

    reason: str
    message: str


@dataclass(frozen=True)
class Facts:
    """What an agent reported.

    :param found: the values, by subset.
    :param unavailable: the other subsets that were requested.
    """

    found: dict[str, t.Any] = field(default_factory=dict)
    unavailable: dict[str, Unavailable] = field(default_factory=dict)


def as_variables(value: t.Any) -> t.Any:
    """Return a reply with underscores in its names, so that templates can write them after a dot."""
    if isinstance(value, dict):
        return {name.replace("-", "_"): as_variables(member) for name, member in value.items()}
    if isinstance(value, list):
        return [as_variables(item) for item in value]
    return value


@dataclass(frozen=True)
class _Subset:
    """The commands that are sent for one subset.

    :param commands: their names. None of them has arguments or changes anything.
    :param shape: makes the subset's value out of their replies.
    """

    commands: tuple[str, ...]
    shape: t.Callable[..., t.Any] = as_variables


def _memory(blocks: list[dict[str, t.Any]], block_info: dict[str, t.Any]) -> dict[str, t.Any]:
    online = sum(1 for block in blocks if block["online"])
    return {
        "blocks": as_variables(blocks),
        "block_size": block_info["size"],
        "online_bytes": online * block_info["size"],
    }


_SUBSETS: dict[str, _Subset] = {
    "agent": _Subset(("guest-info",)),
    "cpu_statistics": _Subset(("guest-get-cpustats",)),
    "devices": _Subset(("guest-get-devices",)),
    "disk_statistics": _Subset(("guest-get-diskstats",)),
    "disks": _Subset(("guest-get-disks",)),
    "filesystems": _Subset(("guest-get-fsinfo",)),
    "fsfreeze": _Subset(("guest-fsfreeze-status",)),
    "hostname": _Subset(("guest-get-host-name",), lambda reply: reply["host-name"]),
    "interfaces": _Subset(("guest-network-get-interfaces",)),
    "load": _Subset(("guest-get-load",)),
    "memory": _Subset(("guest-get-memory-blocks", "guest-get-memory-block-info"), _memory),
    "os": _Subset(("guest-get-osinfo",)),
    "routes": _Subset(("guest-network-get-route",)),
    "time": _Subset(("guest-get-time",), moment),
    "timezone": _Subset(("guest-get-timezone",)),
    "users": _Subset(("guest-get-users",)),
    "vcpus": _Subset(("guest-get-vcpus",)),
}


def select(words: t.Sequence[str]) -> list[str]:
    """Return the names of the subsets that a user selects.

    :param words: names, ``all``, and names to leave out with a ``!`` in front. If all words have a ``!``, they are left
        out of all subsets.
    :raises InvalidRequest: there is no such subset.
    """
    excluded = {word[1:] for word in words if word.startswith("!")}
    included = {word for word in words if not word.startswith("!")} or {"all"}
    unknown = sorted((included - {"all"} | excluded) - set(_SUBSETS))
    if unknown:
        raise InvalidRequest(
            f"subset: {', '.join(map(repr, unknown))} is not one of {', '.join(_SUBSETS)}; all selects every subset, "
            f"and a name with ! in front is left out"
        )
    return [name for name in _SUBSETS if ("all" in included or name in included) and name not in excluded]


def calls_for(subsets: t.Sequence[str]) -> int:
    """Return the most commands that :func:`gather` sends: guest-info and guest-fsfreeze-status come first."""
    return 2 + sum(len(_SUBSETS[name].commands) for name in subsets)


def gather(agent: Agent, subsets: t.Sequence[str], deadline: Deadline) -> Facts:
    """Ask the agent at once for everything that it is allowed to answer.

    :param subsets: names, from :func:`select`.
    :raises QgaError: as :meth:`Agent.call` does, except for the refusal of single commands.
    """
    commands = [command for name in subsets for command in _SUBSETS[name].commands]
    results = agent.call_all([Call(command) for command in commands], deadline=deadline, only_allowed=True)
    replies = dict(zip(commands, results))
    facts = Facts()
    for name in subsets:
        subset = _SUBSETS[name]
        values = [replies[command] for command in subset.commands]
        refusal = next((value for value in values if isinstance(value, AgentRefused)), None)
        if refusal is None:
            facts.found[name] = subset.shape(*values)
        else:
            facts.unavailable[name] = Unavailable(error_name(refusal), str(refusal))
    return facts
