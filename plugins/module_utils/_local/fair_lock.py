# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Turns for the processes of this user on this controller that want the same channel, which has one user at a time.

An agent's socket serves one client and leaves the others in its queue without a word, so that waiting there cannot be
told from an agent that hangs. Hence a lock of our own: who waits knows for what, and who holds the channel knows that
somebody waits and can let go between two commands.
"""

from __future__ import annotations

import fcntl
import os

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._local.runtime_directory import runtime_path
from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointBusy, EndpointUnavailable

#: How long a waiting process may take to notice that the channel is free, in seconds.
NOTICE_SECONDS = 0.1


class FairLock:
    """The right to use one channel.

    :param lock_key: see :attr:`~._transports.connector.Connector.lock_key`.
    """

    def __init__(self, lock_key: str) -> None:
        self._name = lock_key
        self._held: int | None = None

    @property
    def held(self) -> bool:
        """Whether it is our turn."""
        return self._held is not None

    def acquire(self, deadline: Deadline) -> None:
        """Wait for the turn.

        :raises EndpointBusy: it did not come before the deadline.
        """
        if self._held is not None:
            return
        holder = self._open("lock")
        try:
            if not _try_lock(holder, fcntl.LOCK_EX):
                self._wait(holder, deadline)
        except BaseException:
            os.close(holder)
            raise
        self._held = holder

    def has_waiters(self) -> bool:
        """Whether another process waits for its turn."""
        queue = self._open("queue")
        try:
            return not _try_lock(queue, fcntl.LOCK_EX)
        finally:
            os.close(queue)

    def release(self) -> None:
        """Let another one have its turn. May be called again."""
        if self._held is not None:
            # A process that was forked meanwhile has the descriptor too, and would hold the lock on.
            fcntl.flock(self._held, fcntl.LOCK_UN)
            os.close(self._held)
            self._held = None

    def _wait(self, holder: int, deadline: Deadline) -> None:
        queue = self._open("queue")
        try:
            pause = NOTICE_SECONDS / 16
            while not _try_lock(holder, fcntl.LOCK_EX):
                # Whoever looks whether the turn is wanted has this locked for a moment, so it is tried every time.
                _try_lock(queue, fcntl.LOCK_SH)
                if deadline.passed:
                    raise EndpointBusy(
                        f"{self._name}: another Ansible process on this controller used the channel all the time that "
                        f"this one waited for its turn; raise the connection's timeout, or lower forks"
                    )
                deadline.sleep(pause)
                pause = min(NOTICE_SECONDS, pause * 2)
        finally:
            os.close(queue)

    def _open(self, kind: str) -> int:
        path = runtime_path(self._name, kind)
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as exc:
            raise EndpointUnavailable(f"{self._name}: cannot make the lock {path}: {exc.strerror}") from exc


def _try_lock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
