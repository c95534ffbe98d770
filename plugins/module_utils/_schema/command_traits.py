# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands that somebody else chooses, for whatever they are for: what is known of them beforehand."""

from __future__ import annotations

from ansible_collections.netless.qga.plugins.module_utils._schema.commands import COMMANDS
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest

# guest-exec-status and guest-file-read are not among them: they take away what they tell.
_READING = frozenset(
    [
        "guest-fsfreeze-status",
        "guest-info",
        "guest-ping",
        "guest-sync",
        *(name for name in COMMANDS if name.startswith(("guest-get-", "guest-network-get-"))),
        "guest-ssh-get-authorized-keys",
    ]
)

# Seconds. Hooks, full disks and a busy host take their time.
_LONG = {
    "guest-fsfreeze-freeze": 120.0,
    "guest-fsfreeze-freeze-list": 120.0,
    "guest-fsfreeze-thaw": 120.0,
    "guest-fstrim": 600.0,
}


def since(command: str) -> str | None:
    """The version of QEMU that introduced the command, like ``2.5``; None if the command is not known here."""
    return COMMANDS[command]["since"] if command in COMMANDS else None


def is_silent(command: str) -> bool:
    """Whether the agent answers errors only (QAPI's ``success-response: false``). Commands not known here are not."""
    return command in COMMANDS and not COMMANDS[command]["success_response"]


def only_reads(command: str) -> bool:
    """Whether it is known to change nothing, neither in the guest nor in what the agent remembers."""
    return command in _READING


def default_timeout(command: str, usual: float) -> float:
    """Seconds that it may well take.

    :param usual: seconds for most commands.
    """
    return _LONG.get(command, usual)


def refuse_sync_delimited(command: str) -> None:
    """Refuse guest-sync-delimited, as the way to the agent does that itself.

    :raises InvalidRequest: its reply is no JSON, and breaks libvirtd's link to the agent for all.
    """
    if command == "guest-sync-delimited":
        raise InvalidRequest(
            "guest-sync-delimited is not sent: the byte 0xFF in front of its reply breaks libvirt's link to the agent. "
            "The module netless.qga.sync resyncs with an agent, in this way where it can be done"
        )
