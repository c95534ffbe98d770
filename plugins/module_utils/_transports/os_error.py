# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a failed open(2) or connect(2) proves about the other end of a channel.

One table for all transports that lead straight to QEMU or an agent. A relay program (``exec:``) is not among them: how
it fails shows nothing about the agent that it leads to.
"""

from __future__ import annotations

import errno

from ansible_collections.netless.qga.plugins.module_utils.errors import UnreachableReason

_REASONS = {
    errno.ENOENT: UnreachableReason.ABSENT,
    errno.ENODEV: UnreachableReason.ABSENT,
    errno.ENXIO: UnreachableReason.ABSENT,
    errno.ECONNREFUSED: UnreachableReason.REFUSED,
    errno.ECONNRESET: UnreachableReason.REFUSED,
    errno.EIO: UnreachableReason.REFUSED,
}


def unreachable_reason(error: OSError | None) -> UnreachableReason:
    """Return what an error of the operating system proves about the other end.

    :param error: what open(2) or connect(2) raised. A timeout of our own has no number, and proves nothing.
    """
    number = None if error is None else error.errno
    return UnreachableReason.UNKNOWN if number is None else _REASONS.get(number, UnreachableReason.UNKNOWN)
