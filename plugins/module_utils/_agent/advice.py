# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to do next, for error messages of several places."""

from __future__ import annotations

_DEBIAN = (
    "block-rpcs and allow-rpcs (blacklist for older agents) in /etc/qemu/qemu-ga.conf on Debian and Ubuntu, which "
    "block nothing by default"
)
_RED_HAT = (
    "FILTER_RPC_ARGS (or BLACKLIST_RPC, BLOCK_RPCS) in /etc/sysconfig/qemu-ga on RHEL, CentOS Stream, AlmaLinux and "
    "Rocky Linux, which block guest-exec and guest-file-* by default, on Fedora, and on newer SUSE, which blocks "
    "guest-exec"
)
# ID in os-release(5) of the distributions that have this file.
_WITH_SYSCONFIG = ("almalinux", "centos", "fedora", "ol", "opensuse", "rhel", "rocky", "sle", "suse")


def how_to_allow(distribution: str = "") -> str:
    """Return how to enable a command that the agent's configuration blocks.

    :param distribution: the ``id`` of guest-get-osinfo, whose own file comes first; empty if it is not known.
    """
    has_sysconfig = distribution.startswith(_WITH_SYSCONFIG)
    first, second = (_RED_HAT, _DEBIAN) if has_sysconfig else (_DEBIAN, _RED_HAT)
    return (
        "The agent's configuration in the guest blocks it, or, before QEMU 9.1, the guest's operating system does not "
        f"support it. To allow it, edit in the guest {first}; or {second}. Then restart the service qemu-guest-agent"
    )


#: How to thaw a guest; the end of a sentence.
THAW_WITH = "with the module netless.qga.fsfreeze and state thawed, or with virsh domfsthaw for a libvirt domain"

#: What to do when a frozen guest refuses a command.
HOW_TO_THAW = (
    "The guest's filesystems are frozen, and the agent refuses nearly every command until they are thawed. End the "
    f"backup or snapshot that froze them, or thaw them {THAW_WITH}"
)
