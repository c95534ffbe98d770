# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of an agent that answers: its version, what it may do, and how fast it answers."""

from __future__ import annotations

import re
import time
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._agent.advice import HOW_TO_THAW, how_to_allow
from ansible_collections.netless.qga.plugins.module_utils._guest.diagnosis.finding import (
    OK,
    PROBLEM,
    UNKNOWN,
    WARNING,
    Context,
    Finding,
)
from ansible_collections.netless.qga.plugins.module_utils._schema.command_traits import since
from ansible_collections.netless.qga.plugins.module_utils.errors import AgentRefused, excerpt

#: The commands that running programs needs.
EXEC_COMMANDS = ("guest-exec", "guest-exec-status")
#: The commands that copying files, and reading the output of programs, needs.
FILE_COMMANDS = ("guest-file-open", "guest-file-read", "guest-file-write", "guest-file-flush", "guest-file-close")

_READ_COMMANDS = ("guest-file-open", "guest-file-read", "guest-file-close")
_FREEZE_COMMANDS = ("guest-fsfreeze-status", "guest-fsfreeze-freeze", "guest-fsfreeze-thaw")
# A selection: these modules list every subset that the agent lacks as unavailable.
_COMMANDS_OF_GUEST_INFO = (
    "guest-get-osinfo",
    "guest-get-host-name",
    "guest-get-fsinfo",
    "guest-network-get-interfaces",
)
# The commands that each module needs, except for those of a part of its work that few tasks have.
_COMMANDS_OF_MODULES = {
    "authorized_keys": (
        "guest-ssh-get-authorized-keys",
        "guest-ssh-add-authorized-keys",
        "guest-ssh-remove-authorized-keys",
    ),
    "exec": (*EXEC_COMMANDS, *_READ_COMMANDS),
    "file": (*FILE_COMMANDS, *EXEC_COMMANDS),
    "file_content_info": _READ_COMMANDS,
    "fsfreeze": _FREEZE_COMMANDS,
    "fsfreeze_info": ("guest-fsfreeze-status",),
    "fstrim": ("guest-fstrim",),
    "guest_facts": _COMMANDS_OF_GUEST_INFO,
    "guest_info": _COMMANDS_OF_GUEST_INFO,
    "quiesce": _FREEZE_COMMANDS,
    "shutdown": ("guest-shutdown",),
    "suspend": ("guest-suspend-ram", "guest-suspend-disk", "guest-suspend-hybrid"),
    "time": ("guest-get-time", "guest-set-time"),
    "time_info": ("guest-get-time",),
    "user_password": ("guest-set-user-password",),
    "vcpus": ("guest-get-vcpus", "guest-set-vcpus"),
    "vcpus_info": ("guest-get-vcpus",),
}

# Older agents refuse requests with an id.
_FIRST_WITH_IDS = (4, 0)

_UPGRADE = "Upgrade the package qemu-guest-agent in the guest, from another repository if its own is too old"
_WORKS_WITHOUT = (
    "Until then, those modules of netless.qga that need neither programs nor files in the guest work: guest_info, "
    "fsfreeze, shutdown and others"
)
_RAISE_TIMEOUTS = (
    "Find out what keeps the guest, its hypervisor or the connection to them busy. If this does not change, raise "
    "ansible_qga_connect_timeout and ansible_qga_reply_timeout, or the option timeout"
)

_PINGS = 3
_SLOW_SECONDS = 1.0


def version(context: Context) -> t.Iterator[Finding]:
    """Report the version of the agent."""
    try:
        found = excerpt(context.agent.info(context.deadline()).version)
    except AgentRefused as exc:
        message = f"The agent does not report which commands it has: {exc}"
        yield Finding("version", PROBLEM, message, f"Allow the agent to use guest-info. {how_to_allow()}", ends=True)
        return
    numbers = re.match(r"(\d{1,4})\.(\d{1,4})", found)
    if numbers is None:
        yield Finding("version", UNKNOWN, f"The agent's version is {found}")
    elif (int(numbers[1]), int(numbers[2])) < _FIRST_WITH_IDS:
        message = f"The agent's version is {found}; agents before 4.0 know no ids, so commands are sent one by one"
        yield Finding("version", WARNING, message, _UPGRADE)
    else:
        yield Finding("version", OK, f"The agent's version is {found}")


def frozen(context: Context) -> t.Iterator[Finding]:
    """Check whether the guest's filesystems are frozen, in which case an agent refuses nearly everything."""
    command = "guest-fsfreeze-status"
    enabled = context.agent.info(context.deadline()).commands.get(command)
    if enabled is None:
        yield Finding("frozen", OK, "The agent cannot freeze filesystems")
    elif not enabled:
        message = f"It is not known whether the guest's filesystems are frozen: {command} is blocked"
        yield Finding("frozen", UNKNOWN, message, how_to_allow(_distribution(context)[0]))
    elif context.agent.call(command, deadline=context.deadline(), repeatable=True) == "frozen":
        yield Finding("frozen", PROBLEM, "The agent refuses nearly everything for now", HOW_TO_THAW, ends=True)
    else:
        yield Finding("frozen", OK, "The guest's filesystems are not frozen")


def programs_and_files(context: Context) -> t.Iterator[Finding]:
    """Check whether the agent allows what the connection needs."""
    for check, purpose, commands in (
        ("exec", "run programs", EXEC_COMMANDS),
        ("files", "handle files", FILE_COMMANDS),
    ):
        missing, blocked = _unavailable(context, commands)
        if not missing and not blocked:
            yield Finding(check, OK, f"The agent may {purpose}")
        else:
            distribution, name = _distribution(context)
            guest = f" of this guest ({name})" if name else ""
            message = f"The agent{guest} cannot {purpose}: {_reason(missing, blocked)}"
            yield Finding(check, PROBLEM, message, f"{_advice(missing, blocked, distribution)}. {_WORKS_WITHOUT}")


def other_commands(context: Context) -> t.Iterator[Finding]:
    """Check which modules lack a command."""
    lacking = {name: _unavailable(context, commands) for name, commands in _COMMANDS_OF_MODULES.items()}
    # Several modules may need the same command.
    missing = list(dict.fromkeys(command for found, dummy in lacking.values() for command in found))
    blocked = list(dict.fromkeys(command for dummy, found in lacking.values() for command in found))
    if not missing and not blocked:
        yield Finding("commands", OK, "The agent has the commands of all modules")
        return
    modules = ", ".join(name for name, commands in lacking.items() if any(commands))
    message = (
        f"These modules can do only a part of their work, or nothing: {modules}. The reason is that "
        f"{_reason(missing, blocked)}"
    )
    yield Finding("commands", WARNING, message, _advice(missing, blocked, _distribution(context)[0]))


def speed(context: Context) -> t.Iterator[Finding]:
    """Measure how long the agent takes to answer."""
    taken = []
    for dummy in range(_PINGS):
        started = time.monotonic()
        context.agent.call("guest-ping", deadline=context.deadline(), repeatable=True)
        taken.append(time.monotonic() - started)
    message = f"The agent takes {min(taken):.4f} to {max(taken):.4f} s to answer"
    slow = max(taken) > _SLOW_SECONDS
    yield Finding("speed", WARNING if slow else OK, message, _RAISE_TIMEOUTS if slow else "")


def _unavailable(context: Context, commands: t.Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the commands that the agent does not know, and those that are blocked."""
    known = context.agent.info(context.deadline()).commands
    missing = [command for command in commands if command not in known]
    return missing, [command for command in commands if not known.get(command, True)]


def _reason(missing: t.Sequence[str], blocked: t.Sequence[str]) -> str:
    reasons = []
    if blocked:
        reasons.append(f"the agent's configuration blocks {', '.join(blocked)}")
    if missing:
        names = ", ".join(f"{command} (QEMU {since(command)})" for command in missing)
        reasons.append(f"the agent does not know {names}")
    return ", and ".join(reasons)


def _advice(missing: t.Sequence[str], blocked: t.Sequence[str], distribution: str) -> str:
    return ". ".join([how_to_allow(distribution)] * bool(blocked) + [_UPGRADE] * bool(missing))


def _distribution(context: Context) -> tuple[str, str]:
    """Return the id and the name of the guest's distribution, on which it depends what its agent blocks.

    :returns: empty texts if the agent does not report them.
    """
    command = "guest-get-osinfo"
    if not context.agent.info(context.deadline()).allows(command):
        return "", ""
    try:
        reply = context.agent.call(command, deadline=context.deadline(), repeatable=True)
    except AgentRefused:
        return "", ""
    reader = context.agent.reader(command)
    distribution = excerpt(reader.optional(reply, "id", ""))
    return distribution, excerpt(reader.optional(reply, "pretty-name", "")) or distribution
