# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lock for the processes of this user on this controller that share a channel, which has one user at a time.

An agent's socket serves one client and leaves the others in its queue without a sign, so that a client cannot
distinguish a busy channel from an agent that hangs. With a lock of our own, a process that waits knows what it waits
for, and the process that holds the channel knows that another one waits, and can release it between two commands.
"""

from __future__ import annotations

import contextlib
import fcntl
import os

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._local.runtime_directory import (
    runtime_directory,
    runtime_path,
)
from ansible_collections.netless.qga.plugins.module_utils.errors import EndpointBusy, EndpointUnavailable

#: Seconds that a waiting process may take to notice that the channel is free.
NOTICE_SECONDS = 0.1


class FairLock:
    """The right to use one channel, which processes pass on to one another.

    :param lock_key: see :attr:`~._transports.connector.Connector.lock_key`.
    """

    def __init__(self, lock_key: str) -> None:
        self._name = lock_key
        self._held: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._held is not None

    def acquire(self, deadline: Deadline) -> None:
        """Wait for the lock. Return at once if it is held already.

        :raises EndpointBusy: another process held it until the deadline.
        :raises EndpointUnavailable: the files of the lock cannot be created.
        """
        if self._held is not None:
            return
        holder = self._open("lock")
        try:
            if not self._try_lock(holder, fcntl.LOCK_EX):
                self._wait(holder, deadline)
        except BaseException:
            os.close(holder)
            raise
        self._held = holder

    def has_waiters(self) -> bool:
        """Return whether another process waits for the lock."""
        queue = self._open("queue")
        try:
            return not self._try_lock(queue, fcntl.LOCK_EX)
        finally:
            os.close(queue)

    def release(self) -> None:
        """Release the lock, so that another process can have it. May be called again."""
        if self._held is not None:
            # Unlock explicitly: a process forked meanwhile has the descriptor too, and would keep the lock.
            held, self._held = self._held, None
            with contextlib.suppress(OSError):
                fcntl.flock(held, fcntl.LOCK_UN)
            os.close(held)

    def _wait(self, holder: int, deadline: Deadline) -> None:
        queue = self._open("queue")
        try:
            pause = NOTICE_SECONDS / 16
            while not self._try_lock(holder, fcntl.LOCK_EX):
                # Try every time: has_waiters() of another process holds this lock for a moment.
                self._try_lock(queue, fcntl.LOCK_SH)
                if deadline.passed:
                    raise EndpointBusy(
                        f"{self._name}: another Ansible process on this controller used the channel all the time "
                        f"while this one waited for it; raise the connection's timeout, or lower forks"
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
            raise EndpointUnavailable(f"{self._name}: cannot create the lock {path}: {exc.strerror}") from exc

    def _try_lock(self, descriptor: int, how: int) -> bool:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as exc:
            raise EndpointUnavailable(
                f"{self._name}: cannot lock a file in {runtime_directory()}: {exc.strerror}. Set XDG_RUNTIME_DIR to a "
                f"directory on a local filesystem"
            ) from exc
        return True
