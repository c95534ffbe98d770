# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an agent tells about its guest, in subsets, and why it does not tell the rest."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.netless.qga.plugins.module_utils._agent.agent import Agent
from ansible_collections.netless.qga.plugins.module_utils._channels.channel import Call
from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.clock import moment
from ansible_collections.netless.qga.plugins.module_utils._schema.command_traits import since
from ansible_collections.netless.qga.plugins.module_utils.errors import (
    AgentRefused,
    InvalidRequest,
    error_name,
    excerpt,
)


@dataclass(frozen=True)
class Unavailable:
    """Something that an agent does not tell.

    :param reason: in one word.
    :param message: the reason for people.
    """

    reason: str
    message: str


@dataclass(frozen=True)
class Facts:
    """What an agent told.

    :param found: by subset.
    :param unavailable: the other subsets that were asked for.
    """

    found: dict[str, t.Any] = field(default_factory=dict)
    unavailable: dict[str, Unavailable] = field(default_factory=dict)


def as_variables(value: t.Any) -> t.Any:
    """A reply with names that templates can have after a dot: QEMU's, with underscores."""
    if isinstance(value, dict):
        return {name.replace("-", "_"): as_variables(member) for name, member in value.items()}
    if isinstance(value, list):
        return [as_variables(item) for item in value]
    return value


@dataclass(frozen=True)
class _Subset:
    """What is asked for together.

    :param commands: none of them has arguments or changes anything.
    :param shape: makes what is returned of their replies.
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
    """The subsets that a user means.

    :param words: names, ``all``, and names to leave out with a ``!`` in front, of all if there are no others.
    :raises InvalidRequest: there is no such subset.
    """
    excluded = {word[1:] for word in words if word.startswith("!")}
    included = {word for word in words if not word.startswith("!")} or {"all"}
    unknown = sorted((included - {"all"} | excluded) - set(_SUBSETS))
    if unknown:
        raise InvalidRequest(
            f"subset: no {', '.join(map(repr, unknown))} among {', '.join(_SUBSETS)}; all is all of them, and one with "
            f"! in front is left out"
        )
    return [name for name in _SUBSETS if ("all" in included or name in included) and name not in excluded]


def calls_for(subsets: t.Sequence[str]) -> int:
    """How many commands :func:`gather` asks for at the most: what tells of the agent itself, and of freezing, too."""
    return 2 + sum(len(_SUBSETS[name].commands) for name in subsets)


def gather(agent: Agent, subsets: t.Sequence[str], deadline: Deadline) -> Facts:
    """Ask the agent for everything at once that it says it can tell.

    :param subsets: names, from :func:`select`.
    :raises QgaError: as :meth:`Agent.call` does, but for what single commands are refused for.
    """
    replies: dict[str, t.Any] = {}
    enabled: dict[str, bool] | None = None
    try:
        about = agent.call("guest-info", deadline=deadline, repeatable=True)
        replies["guest-info"] = about
        enabled = {command["name"]: command["enabled"] for command in about["supported_commands"]}
    except AgentRefused as exc:
        # Whoever forbids even this may still allow some of the others.
        replies["guest-info"] = _refusal(exc)
    wanted = [command for name in subsets for command in _SUBSETS[name].commands if command not in replies]
    asked = [command for command in wanted if enabled is None or enabled.get(command)]
    if enabled and any(enabled.get(command) is False for command in wanted):
        # It tells what is not allowed at all from what is not allowed now.
        if enabled.get("guest-fsfreeze-status") and "guest-fsfreeze-status" not in asked:
            asked.append("guest-fsfreeze-status")
    results = agent.call_all([Call(command) for command in asked], deadline=deadline)
    for command, result in zip(asked, results):
        replies[command] = _refusal(result) if isinstance(result, AgentRefused) else result
    frozen = replies.get("guest-fsfreeze-status") == "frozen"
    for command in wanted:
        if command not in replies:
            replies[command] = _not_asked(agent, command, replies["guest-info"], enabled or {}, frozen=frozen)
    return _sorted_out(subsets, replies)


def _sorted_out(subsets: t.Sequence[str], replies: t.Mapping[str, t.Any]) -> Facts:
    facts = Facts()
    for name in subsets:
        subset = _SUBSETS[name]
        values = [replies[command] for command in subset.commands]
        refusals = [value for value in values if isinstance(value, Unavailable)]
        if refusals:
            facts.unavailable[name] = refusals[0]
        else:
            facts.found[name] = subset.shape(*values)
    return facts


def _refusal(exc: AgentRefused) -> Unavailable:
    return Unavailable(error_name(exc), str(exc))


def _not_asked(
    agent: Agent, command: str, about: dict[str, t.Any], enabled: t.Mapping[str, bool], *, frozen: bool
) -> Unavailable:
    where = f"{agent.endpoint}: {command}"
    if command not in enabled:
        return Unavailable(
            "command_missing",
            f"{where}: this agent, version {excerpt(about['version'])}, does not know it. There it is since QEMU "
            f"{since(command)}, and not on every operating system",
        )
    if frozen:
        return Unavailable(
            "filesystems_frozen", f"{where}: not while the guest's filesystems are frozen; thaw them to have it"
        )
    return Unavailable(
        "command_disabled",
        f"{where}: the agent's configuration in the guest blocks it, or it is not for the guest's operating system",
    )
