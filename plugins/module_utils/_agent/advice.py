# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to do next, for error messages of several places."""

from __future__ import annotations

#: How to enable a command that the agent's configuration blocks.
HOW_TO_ALLOW = (
    "The agent's configuration in the guest blocks it, or, before QEMU 9.1, the guest's operating system does not "
    "support it. RHEL, CentOS Stream, AlmaLinux and Rocky Linux block guest-exec and guest-file-* by default, and "
    "newer SUSE blocks guest-exec. To allow it, edit FILTER_RPC_ARGS (or BLACKLIST_RPC, BLOCK_RPCS) in "
    "/etc/sysconfig/qemu-ga there, or block-rpcs and allow-rpcs in /etc/qemu/qemu-ga.conf on Debian and Ubuntu, and "
    "restart the service qemu-guest-agent"
)

#: How to thaw a guest; the end of a sentence.
THAW_WITH = "with the module netless.qga.fsfreeze and state thawed, or with virsh domfsthaw for a libvirt domain"

#: What to do when a frozen guest refuses a command.
HOW_TO_THAW = (
    "The guest's filesystems are frozen, and the agent refuses nearly every command until they are thawed. End the "
    f"backup or snapshot that froze them, or thaw them {THAW_WITH}"
)
