# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The messages that reach a guard: words on a pipe from the process that freezes, the end of that pipe, and SIGTERM."""

from __future__ import annotations

import os
import select
import signal
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline

#: Words on the pipe, a line each. The guest is frozen, and the process that froze it leaves it to the guard; it is
#: frozen, and the process stays to thaw it; it is not frozen, or not any more.
DETACHED, ATTACHED, CANCELLED = "detached", "attached", "cancelled"
#: Not words: the pipe has ended, because the other process closed it or died; SIGTERM has come.
CLOSED, TERMINATED = "", "terminated"


class Inbox:
    """Everything that the guard waits for, one message at a time.

    It catches SIGTERM, and ignores SIGHUP and SIGINT, from its creation on.

    :param pipe: the descriptor to read words from.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe: int | None = pipe
        self._unread = b""
        self._wake, wake = os.pipe()
        for end in (self._wake, wake):
            os.set_blocking(end, False)
        # A host that shuts down sends SIGTERM first, as does whatever ends a service. The guest must not stay frozen.
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        signal.set_wakeup_fd(wake)
        for ignored in (signal.SIGHUP, signal.SIGINT):
            signal.signal(ignored, signal.SIG_IGN)

    def wait(self, seconds: float | None) -> str | None:
        """Wait for the next message.

        :param seconds: how long to wait; None means without limit.
        :returns: a word, :data:`CLOSED` once, or :data:`TERMINATED` for each SIGTERM. None if the time is up.
        """
        deadline = None if seconds is None else Deadline.after(seconds)
        while b"\n" not in self._unread:
            sources = [self._wake] if self._pipe is None else [self._pipe, self._wake]
            ready = select.select(sources, [], [], None if deadline is None else deadline.remaining())[0]
            if self._wake in ready:
                os.read(self._wake, 64)
                return TERMINATED
            if not ready:
                return None
            data = os.read(t.cast(int, self._pipe), 4096)
            if not data:
                os.close(t.cast(int, self._pipe))
                self._pipe = None
                return CLOSED
            self._unread += data
        word, self._unread = self._unread.split(b"\n", 1)
        return word.decode("ascii", errors="replace")
