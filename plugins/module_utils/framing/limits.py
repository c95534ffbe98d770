# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much of what a guest sends is put up with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a guest may cost us. The defaults let everything through that an agent is known to send.

    :param line: bytes of one reply. 48 MiB is the most that guest-file-read returns, 64 MiB in base64.
    :param discard: bytes thrown away during a sync, or between two answers, before giving up.
    :param depth: nesting of a reply.
    :param values: values in a reply.
    :param digits: characters of one number.
    :param in_flight: bytes of requests that may be unanswered at a time. A virtio-serial agent reads 4096 bytes at a
        time and loses the replies to what lies beyond. One request alone may be larger.
    """

    line: int = 80 * 1024 * 1024
    discard: int = 256 * 1024 * 1024
    depth: int = 100
    values: int = 2 * 1024 * 1024
    digits: int = 64
    in_flight: int = 4096


DEFAULT_LIMITS = Limits()
