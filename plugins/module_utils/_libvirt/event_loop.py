# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""libvirt's event loop, which processes what arrives on connections. The caller that waits runs it, not a thread.

A thread would not survive the fork that starts every task of Ansible, and it would take in what a guest sends as fast
as it arrives, whether or not anybody reads it. The price is that nothing runs the loop between two calls: libvirtd
drops a connection that leaves its keepalive messages unanswered for half a minute. The next call opens another one.
"""

from __future__ import annotations

import math
import os
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils.errors import StateError


class EventLoop:
    """The use of this process's event loop. Create it before the connection that the loop is to serve.

    :param libvirt: the module ``libvirt``.
    :raises StateError: a parent of this process had one at the fork. The loop would serve the parent's connections too.
    """

    _timer: t.ClassVar[int | None] = None
    _users: t.ClassVar[set[EventLoop]] = set()

    def __init__(self, libvirt: t.Any) -> None:
        self._libvirt = libvirt
        self.process = os.getpid()
        if self._is_inherited():
            raise StateError("this process was forked while a libvirt stream was open, and cannot open another one")
        if EventLoop._timer is None:
            libvirt.virEventRegisterDefaultImpl()
            EventLoop._timer = libvirt.virEventAddTimeout(-1, lambda timer, opaque: None, None)
        self._users.add(self)

    def run(self, deadline: Deadline) -> None:
        """Wait until something arrives and process it, or return at the deadline."""
        self._libvirt.virEventUpdateTimeout(EventLoop._timer, math.ceil(deadline.remaining() * 1000))
        self._libvirt.virEventRunDefaultImpl()

    @classmethod
    def finish(cls, libvirt: t.Any) -> None:
        """Run what is left to do after a connection was closed: if there is an event loop, it frees the socket."""
        if cls._timer is not None and not cls._is_inherited():
            # Not 0: the loop would handle only the timer, and it does the rest when nothing else is due.
            libvirt.virEventUpdateTimeout(cls._timer, 1)
            libvirt.virEventRunDefaultImpl()

    def close(self) -> None:
        """Give up the use of the loop. May be called again."""
        self._users.discard(self)

    @classmethod
    def _is_inherited(cls) -> bool:
        return any(user.process != os.getpid() for user in cls._users)
