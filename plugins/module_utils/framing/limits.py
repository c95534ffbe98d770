# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bounds for what a guest may send, because a guest is not trusted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds for the memory and time that a guest can cost. The defaults accept everything that agents really send.

    :param line: bytes of one reply. 48 MiB is the most that guest-file-read returns, 64 MiB in base64.
    :param text: bytes of a reply that may hold escapes or characters outside ASCII. One of them can make every
        character of a string take four bytes of memory, and a larger reply of an agent is one or two members of base64.
    :param discard: bytes that are discarded during a sync, or between two answers, before the session gives up.
    :param depth: levels of nesting in a reply.
    :param values: values in a reply.
    :param digits: characters of one number.
    :param in_flight: bytes of requests that may be unanswered at a time. A virtio-serial agent reads 4096 bytes at a
        time and loses the replies to the bytes beyond. One request alone may be larger.
    """

    line: int = 64 * 1024 * 1024 + 4096
    text: int = 4 * 1024 * 1024
    discard: int = 256 * 1024 * 1024
    depth: int = 100
    values: int = 128 * 1024
    digits: int = 64
    in_flight: int = 4096


DEFAULT_LIMITS = Limits()
