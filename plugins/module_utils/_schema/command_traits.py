# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of a command before it is sent: its version, whether it answers or only reads, how long it may take."""

from __future__ import annotations

from ansible_collections.netless.qga.plugins.module_utils._schema.commands import COMMANDS
from ansible_collections.netless.qga.plugins.module_utils.errors import InvalidRequest

# guest-exec-status and guest-file-read are not among them: what they return is gone afterwards.
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

# Seconds. Hooks, full disks and a busy host make them slow.
_LONG_TIMEOUTS = {
    "guest-fsfreeze-freeze": 120.0,
    "guest-fsfreeze-freeze-list": 120.0,
    "guest-fsfreeze-thaw": 120.0,
    "guest-fstrim": 600.0,
}


def since(command: str) -> str | None:
    """Return the version of QEMU that introduced the command, like ``2.5``; None if it is not in the schema."""
    return COMMANDS[command]["since"] if command in COMMANDS else None


def is_silent(command: str) -> bool:
    """Return whether the agent answers only errors (QAPI: ``success-response: false``); False for unknown commands."""
    return command in COMMANDS and not COMMANDS[command]["success_response"]


def only_reads(command: str) -> bool:
    """Return whether the command is known to change nothing, neither in the guest nor in the agent's memory."""
    return command in _READING


def default_timeout(command: str, usual: float) -> float:
    """Return how many seconds the command may take.

    :param usual: seconds for most commands.
    """
    return _LONG_TIMEOUTS.get(command, usual)


def refuse_sync_delimited(command: str) -> None:
    """Refuse guest-sync-delimited, which the channel sends itself where it is safe.

    :raises InvalidRequest: it is guest-sync-delimited. Its reply is not JSON, and breaks libvirtd's link to the agent
        for all clients.
    """
    if command == "guest-sync-delimited":
        raise InvalidRequest(
            "guest-sync-delimited is not sent: the byte 0xFF in front of its reply breaks libvirt's link to the agent. "
            "The module netless.qga.sync resyncs with an agent, and uses this command where it is safe"
        )
