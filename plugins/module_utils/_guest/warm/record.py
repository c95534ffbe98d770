# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this controller remembers of a warm server in a guest, from one task to the next.

A task is a process of its own, so this is a file, which only one task at a time may use. A second task at the same time
has another file, and thus another server.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import json
import os
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._local.runtime_directory import runtime_path

# How many servers one command line can have in a guest, for plays that run at the same time.
_MAX_SERVERS = 4


class Record:
    """The record of one server.

    :param descriptor: the open and locked file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self) -> dict[str, t.Any]:
        """Return what was written last; empty if there is nothing, or nothing that makes sense."""
        text = b""
        try:
            while chunk := os.pread(self._descriptor, 1 << 20, len(text)):
                text += chunk
            content = json.loads(text)
        except (OSError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    def write(self, content: t.Mapping[str, t.Any]) -> bool:
        """Replace what is recorded.

        :returns: whether that worked. If it did not, the record makes no sense and counts as empty.
        """
        text = json.dumps(content).encode("ascii")
        written = 0
        try:
            os.ftruncate(self._descriptor, 0)
            while written < len(text):
                written += os.pwrite(self._descriptor, text[written:], written)
        except OSError:
            return False
        return True


@contextlib.contextmanager
def open_record(guest: str, key: str) -> t.Iterator[Record | None]:
    """Provide a record that no other task uses; None if there is none.

    :param guest: the guest's address.
    :param key: everything in which command lines differ that cannot share a server.
    :raises EndpointUnavailable: there is no private directory for it.
    """
    name = hashlib.sha256(os.fsencode(key)).hexdigest()[:32]
    for number in range(_MAX_SERVERS):
        descriptor = _lock(runtime_path(guest, f"{name}.{number}.warm"))
        if descriptor is not None:
            try:
                yield Record(descriptor)
            finally:
                os.close(descriptor)
            return
    yield None


def take_records(guest: str) -> t.Iterator[Record]:
    """Yield every record of a guest that no task uses."""
    prefix = runtime_path(guest, "")
    for path in glob.glob(f"{glob.escape(prefix)}*.warm"):
        descriptor = _lock(path)
        if descriptor is not None:
            try:
                yield Record(descriptor)
            finally:
                os.close(descriptor)


def _lock(path: str) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
