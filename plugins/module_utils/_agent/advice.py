# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to do next, in the words of error messages that several places share."""

from __future__ import annotations

#: How to enable a command that the agent's configuration blocks.
HOW_TO_ALLOW = (
    "The agent's configuration in the guest blocks it, as that of RHEL, CentOS Stream, AlmaLinux and Rocky Linux does "
    "by default with guest-exec and guest-file-*, and that of newer SUSE with guest-exec. To allow it, edit "
    "FILTER_RPC_ARGS (or BLACKLIST_RPC, BLOCK_RPCS) in /etc/sysconfig/qemu-ga there, or block-rpcs and allow-rpcs in "
    "/etc/qemu/qemu-ga.conf on Debian and Ubuntu, and restart the service qemu-guest-agent"
)

#: How to thaw a guest, as the end of a sentence.
THAW_WITH = "with the module netless.qga.fsfreeze and state thawed, or with virsh domfsthaw for a libvirt domain"

#: What to do when a frozen guest refuses a command.
HOW_TO_THAW = (
    "The guest's filesystems are frozen, and the agent refuses nearly every command until they are thawed. End the "
    f"backup or snapshot that froze them, or thaw them {THAW_WITH}"
)
