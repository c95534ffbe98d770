# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fault in one call of this thread to the operating system.

A profile function sees every call of a function in C before it is made, and what it raises is raised in place of the
call. So each of our own calls, and those that Python's library makes for us, can fail once, without any patches.
"""

from __future__ import annotations

import contextlib
import sys
import types
import typing as t

# By the module and the name of the function. close() is left out: when it fails, the descriptor is closed all the same.
_FALLIBLE = {
    *(("posix", name) for name in ("chmod", "fork", "fstat", "ftruncate", "link", "lstat", "mkdir", "open", "pipe")),
    *(("posix", name) for name in ("pread", "pwrite", "read", "rename", "replace", "scandir", "stat", "unlink")),
    *(("posix", name) for name in ("write",)),
    ("fcntl", "fcntl"),
    ("fcntl", "flock"),
    ("fcntl", "lockf"),
    ("_io", "open"),
    ("_posixsubprocess", "fork_exec"),
}
# By the class and the name of the method.
_FALLIBLE_METHODS = {
    *(("socket", name) for name in ("accept", "bind", "connect", "connect_ex", "getsockopt", "listen", "recv")),
    *(("socket", name) for name in ("recv_into", "recvmsg", "send", "sendall", "sendmsg", "setsockopt", "shutdown")),
    *((name, "poll") for name in ("poll", "epoll")),
    *((name, method) for name in ("FileIO", "BufferedReader", "BufferedWriter") for method in ("read", "write")),
    ("FileIO", "readinto"),
    ("BufferedWriter", "flush"),
}


class Fault:
    """An error of the operating system in the call with one number.

    :param at: the number of the call, from 0; None only counts the calls.
    :param error: what the call raises.
    """

    def __init__(self, at: int | None, error: OSError) -> None:
        self._at = at
        self._error = error
        self.calls = 0
        """How many calls were made so far that can fail."""
        self.where = ""
        """Where the call was that has failed."""

    @contextlib.contextmanager
    def active(self) -> t.Iterator[None]:
        """Let the call fail in the ``with`` block."""
        sys.setprofile(self._profile)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _profile(self, frame: types.FrameType, event: str, function: t.Any) -> None:
        if event != "c_call" or not _is_fallible(function):
            return
        number, self.calls = self.calls, self.calls + 1
        if number == self._at:
            self.where = f"{function.__qualname__} in {frame.f_code.co_filename}:{frame.f_lineno}"
            sys.setprofile(None)
            raise self._error


def _is_fallible(function: t.Any) -> bool:
    name = getattr(function, "__name__", "")
    owner = getattr(function, "__self__", None)
    if isinstance(owner, types.ModuleType) or owner is None:
        return (getattr(function, "__module__", ""), name) in _FALLIBLE
    return any((cls.__name__, name) in _FALLIBLE_METHODS for cls in type(owner).__mro__)
