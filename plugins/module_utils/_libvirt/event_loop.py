# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""libvirt's event loop, which takes in what comes on its connections. It is run by whoever waits, and in no thread.

A thread would not survive the fork that every task of Ansible's begins with, and it would take in what a guest sends
as fast as that comes, whether or not anybody wants it. That nobody runs the loop between two calls has its price:
libvirtd gives a connection up that leaves its keepalive messages unanswered for half a minute. The next call opens
another one.
"""

from __future__ import annotations

import math
import os
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import StateError


class EventLoop:
    """The right to use the event loop of this process, which is begun before the connection that shall be served.

    :raises StateError: a parent of this process did so before the fork. Its connections would be served here as well.
    """

    _timer: t.ClassVar[int | None] = None
    _users: t.ClassVar[set[EventLoop]] = set()

    def __init__(self, libvirt: t.Any) -> None:
        self._libvirt = libvirt
        self.process = os.getpid()
        if self._is_inherited():
            raise StateError("this process was forked while a stream of libvirt's was open, and cannot have its own")
        if EventLoop._timer is None:
            libvirt.virEventRegisterDefaultImpl()
            EventLoop._timer = libvirt.virEventAddTimeout(-1, lambda timer, opaque: None, None)
        self._users.add(self)

    def run(self, deadline: Deadline) -> None:
        """Wait until something comes, take it in and return; or return at the deadline."""
        self._libvirt.virEventUpdateTimeout(EventLoop._timer, math.ceil(deadline.remaining() * 1000))
        self._libvirt.virEventRunDefaultImpl()

    @classmethod
    def finish(cls, libvirt: t.Any) -> None:
        """Do what is left to do when a connection was closed: where there is an event loop, it frees the socket."""
        if cls._timer is not None and not cls._is_inherited():
            # Not at once: that would be the timer's turn, and the rest is done when nothing else is to do.
            libvirt.virEventUpdateTimeout(cls._timer, 1)
            libvirt.virEventRunDefaultImpl()

    def close(self) -> None:
        """Give the right up. May be called again."""
        self._users.discard(self)

    @classmethod
    def _is_inherited(cls) -> bool:
        return any(user.process != os.getpid() for user in cls._users)
