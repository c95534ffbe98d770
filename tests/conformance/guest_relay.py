# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The relay in the guest of a domain: it passes bytes between libvirt's channel and one that ends at the scripted end.

It is one file that needs only Python, since it is copied into the guest. To libvirt it looks like an agent that starts
when the scripted end connects, and ends when that disconnects.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time

_SIZE = 64 * 1024
_IDLE_SECONDS = 0.05
_RESTART_SECONDS = 0.3
_STUCK_SECONDS = 1.0

START = b"\n"
"""What the scripted end sends first, as the relay cannot see that it connects."""


def _read(port: int) -> bytes:
    with contextlib.suppress(BlockingIOError):
        return os.read(port, _SIZE)
    return b""


def _write(port: int, data: bytes) -> bytes:
    """Write what the port takes, and return the rest."""
    with contextlib.suppress(BlockingIOError):
        return data[os.write(port, data) :]
    return data


def _wait_for_start(far: int) -> bytes:
    """Wait until the scripted end connects, and return what it has sent after the start."""
    while True:
        data = _read(far)
        if data:
            return data[len(START) :]
        time.sleep(_IDLE_SECONDS)


def relay(near: int, far: int, to_near: bytes) -> None:
    """Pass bytes on until the scripted end disconnects.

    :param near: the port that libvirt is connected to, which does not block.
    :param far: the port that the scripted end is connected to, which does not block.
    :param to_near: what the scripted end has sent already.
    """
    to_far, moved = b"", time.monotonic()
    while True:
        near_events, far_events = _wait_for_events(near, far, to_near, to_far)
        before = len(to_near), len(to_far)
        to_near = _write(near, to_near) if to_near else _read(far)
        to_far = _write(far, to_far) if to_far else _read(near)
        if (len(to_near), len(to_far)) != before:
            moved = time.monotonic()
        elif far_events & select.POLLHUP and (not to_near or time.monotonic() - moved > _STUCK_SECONDS):
            return
        elif near_events & select.POLLHUP:
            # libvirt has not connected yet, and the poll returns at once until it does.
            time.sleep(_IDLE_SECONDS)


def _wait_for_events(near: int, far: int, to_near: bytes, to_far: bytes) -> tuple[int, int]:
    """Wait for a moment until something can be read or written, and return the events of both ports."""
    poll = select.poll()
    poll.register(near, (0 if to_far else select.POLLIN) | (select.POLLOUT if to_near else 0))
    poll.register(far, (0 if to_near else select.POLLIN) | (select.POLLOUT if to_far else 0))
    events = dict(poll.poll(_IDLE_SECONDS * 1000))
    return events.get(near, 0), events.get(far, 0)


def main(near_path: str, far_path: str) -> None:
    """Relay one connection of the scripted end after the other.

    :param near_path: the port that libvirt is connected to.
    :param far_path: the port that the scripted end is connected to.
    """
    far = os.open(far_path, os.O_RDWR | os.O_NONBLOCK)
    while True:
        first = _wait_for_start(far)
        time.sleep(_RESTART_SECONDS)
        near = os.open(near_path, os.O_RDWR | os.O_NONBLOCK)
        try:
            relay(near, far, first)
        finally:
            os.close(near)


if __name__ == "__main__":
    main(*sys.argv[1:])
