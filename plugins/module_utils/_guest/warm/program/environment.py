# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a new interpreter would find in the guest, so that the warm server ends when that changes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import site
import sys

# What a login, a lookup of names or the start of an interpreter reads.
_WATCHED = (
    "/etc/doas.conf",
    "/etc/environment",
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/locale.conf",
    "/etc/localtime",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/security",
    "/etc/security/limits.conf",
    "/etc/selinux/config",
    "/etc/sudoers",
    "/etc/sudoers.d",
)


class Environment:
    """The files that this process depends on, as they are now: its interpreter, libraries, users and settings."""

    def __init__(self) -> None:
        # Directories of libraries change when a library is installed or removed, also those that do not exist yet.
        self._paths = [
            *_WATCHED,
            os.path.realpath(sys.executable),
            *_loaded_libraries(),
            *filter(None, sys.path),
            *site.getsitepackages(),
            site.getusersitepackages(),
        ]
        self._found = self._look()

    def has_changed(self) -> bool:
        """Return whether any of the files is another one, or has other contents."""
        return self._look() != self._found

    def _look(self) -> list[tuple[int, int, int] | None]:
        found: list[tuple[int, int, int] | None] = []
        for path in self._paths:
            try:
                status = os.stat(path)
                found.append((status.st_dev, status.st_ino, status.st_mtime_ns))
            except OSError:
                found.append(None)
        return found


def can_serve() -> bool:
    """Return whether this process may stay in the background.

    A command line that has left a file open for Python, like flock(1), waits for the end of all that have it open.
    """
    return sys.platform == "linux" and not [name for name in os.listdir("/proc/self/fd") if _is_inherited(int(name))]


def own_memory() -> int:
    """Return the bytes of memory that this process shares with no file."""
    resident, shared = read_text("/proc/self/statm").split()[1:3]
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def read_text(path: str) -> str:
    """Return the contents of a file."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def set_process_name(name: str) -> None:
    """Set the name that ps(1) and top(1) show. The command line stays as it is."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="utf-8") as file:
        file.write(name)


def _loaded_libraries() -> list[str]:
    mapped = (line.split(None, 5)[5:] for line in read_text("/proc/self/maps").splitlines())
    return sorted({path[0] for path in mapped if path and ".so" in path[0]})


def _is_inherited(descriptor: int) -> bool:
    """Return whether a descriptor other than the standard ones is open. The one that lists them is not, any more."""
    try:
        return descriptor > 2 and not fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    except OSError:
        return False
