# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection processes that tests start, as the process list shows them."""

from __future__ import annotations

import os
import pathlib
import signal
import time
import typing as t

_PROGRAM = b"_connection_process.server import main"


def pids(runtime_directory: str | pathlib.Path) -> list[int]:
    """Return the IDs of the connection processes whose sockets are in a directory."""
    found: list[int] = []
    for entry in os.listdir("/proc"):
        try:
            command = pathlib.Path("/proc", entry, "cmdline").read_bytes() if entry.isdigit() else b""
        except OSError:
            continue
        if _PROGRAM in command and os.fsencode(f"{runtime_directory}/") in command:
            found.append(int(entry))
    return found


def end_all(runtime_directory: str | pathlib.Path) -> None:
    """End the connection processes whose sockets are in a directory."""
    for pid in pids(runtime_directory):
        os.kill(pid, signal.SIGKILL)


def wait_until(condition: t.Callable[[], object], seconds: float = 60) -> None:
    """Wait until a condition holds, and fail if it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)
