# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads and writes with a deadline on file descriptors, which sockets, pipes and terminals share."""

from __future__ import annotations

import math
import os
import select
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline

# As much as a Unix socket holds at its default buffer size, so that one call returns all that has arrived.
_READ_SIZE = 256 * 1024


def send(descriptor: int, data: bytes, deadline: Deadline) -> None:
    """Write all of the data to a non-blocking descriptor.

    :raises TimeoutError: the deadline passed first.
    :raises ConnectionError: the other side closed the channel.
    """
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            _wait(descriptor, select.POLLOUT, deadline)
        except OSError as exc:
            raise ConnectionError(exc.strerror) from exc


def receive(descriptor: int, deadline: Deadline) -> bytes:
    """Return what can be read from a non-blocking descriptor; nothing at the end of the stream.

    :raises TimeoutError: nothing arrived before the deadline.
    """
    while True:
        try:
            _wait(descriptor, select.POLLIN, deadline)
            return os.read(descriptor, _READ_SIZE)
        except BlockingIOError:
            continue
        except TimeoutError:
            raise
        except OSError:
            # A reset socket, or a terminal whose other side is gone, counts as a regular end.
            return b""


def wait_writable(descriptor: int, deadline: Deadline) -> None:
    """Wait until a non-blocking descriptor takes data, or until a socket is connected or refused.

    :raises TimeoutError: the deadline passed first.
    :raises ConnectionError: the system cannot wait for it.
    """
    _wait(descriptor, select.POLLOUT, deadline)


def _wait(descriptor: int, event: int, deadline: Deadline) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    try:
        events: list[t.Any] = poll.poll(math.ceil(deadline.remaining() * 1000))
    except OSError as exc:
        raise ConnectionError(exc.strerror) from exc
    if not events:
        raise TimeoutError
