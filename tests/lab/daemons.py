# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding and ending daemons by their pidfiles.

A pidfile counts only as long as its process holds a lock on it, as libvirt's daemons and QEMU do. So no other process
is ever mistaken for the daemon.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import select
import signal
import struct

_LOCK_FORMAT = "hhqqi4x"
"""struct flock of 64-bit Linux."""
_TIMEOUT = 10.0


def process_of(pidfile: pathlib.Path) -> int | None:
    """Return the process id of the daemon that runs with ``pidfile``; None if none does."""
    question = struct.pack(_LOCK_FORMAT, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        with open(pidfile, "rb") as file:
            answer = fcntl.fcntl(file, fcntl.F_GETLK, question)
    except FileNotFoundError:
        return None
    kind, *dummy, process = struct.unpack(_LOCK_FORMAT, answer)
    return None if kind == fcntl.F_UNLCK else int(process)


def end(pidfile: pathlib.Path) -> None:
    """End the daemon of ``pidfile``, with SIGTERM and after 10 seconds with SIGKILL, and return when it is gone."""
    with contextlib.suppress(ProcessLookupError):
        while (process := process_of(pidfile)) is not None:
            _end_process(process, pidfile)
    pidfile.unlink(missing_ok=True)


def _end_process(process: int, pidfile: pathlib.Path) -> None:
    handle = os.pidfd_open(process)
    try:
        # The handle may belong to another process if the daemon ended after it was found.
        if process_of(pidfile) == process:
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            if not select.select([handle], [], [], _TIMEOUT)[0]:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                select.select([handle], [], [])
    finally:
        os.close(handle)
