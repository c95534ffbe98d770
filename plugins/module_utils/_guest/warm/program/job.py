# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A job of the warm server: what becomes of it, and the processes that carry it out."""

from __future__ import annotations

import contextlib
import os
import typing as t

# With less room than this, in bytes, a module may not be able to write all of its output.
_MIN_ROOM = 32 * 1024

# Output up to this size goes into the state file, which the client reads anyway.
_MAX_INLINE = 16 * 1024


class Job:
    """A job that the server has received.

    :param message: what the client sent.
    :param directory: the server's directory.
    """

    def __init__(self, message: dict[str, t.Any], directory: str) -> None:
        self.message = message
        self.slot = int(message["slot"])
        self._directory = directory
        self._prefix = f"{directory}/{self.slot}"
        self._nonce = str(message["nonce"])

    def has_room(self) -> bool:
        """Return whether the filesystem has room for output."""
        room = os.statvfs(self._directory)
        return room.f_bavail * room.f_frsize >= _MIN_ROOM

    def decide(self, decision: str) -> int | None:
        """Write the decision about the job into its state file. The first line of that file is the one that counts.

        :param decision: the word, and what else belongs to it.
        :returns: the open state file; None if the client has withdrawn the job before.
        """
        state = os.open(f"{self._prefix}.state", os.O_RDWR | os.O_APPEND)
        line = f"{decision} {self._nonce}\n".encode("ascii")
        os.write(state, line)
        if os.pread(state, len(line), 0) == line:
            return state
        os.close(state)
        return None

    def carry_out(self, state: int) -> bool:
        """Fork the process that runs the module, and write into the state file how it ends.

        The process that waits is no part of the module's process group, so that it survives whatever happens there.

        :param state: the open state file.
        :returns: whether this is the process that is to run the module.
        """
        pid = os.fork()
        if not pid:
            os.setsid()
            os.write(state, b"pid %d\n" % os.getpid())
            os.close(state)
            self._redirect()
            return True
        status = os.waitpid(pid, 0)[1]
        rc = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        self._report(state, rc)
        return False

    def _report(self, state: int, rc: int) -> None:
        full = b"" if self.has_room() else b" full"
        sizes = [os.stat(f"{self._prefix}.{kind}").st_size for kind in ("out", "err")]
        # If the filesystem is full, the client reads the output files instead, or learns that there are none.
        with contextlib.suppress(OSError):
            inline = self._read("out") + self._read("err") if sum(sizes) <= _MAX_INLINE else b""
            # In one piece: the client may append a line of its own.
            os.write(state, b"exit %d %d %d" % (rc, *sizes) + full + b"\n" + inline)

    def _redirect(self) -> None:
        # Started by Ansible's command line, the module has a pipe as its input, which Python has read to its end.
        reader, writer = os.pipe()
        os.dup2(reader, 0)
        os.close(reader)
        os.close(writer)
        for kind, descriptor in (("out", 1), ("err", 2)):
            opened = os.open(f"{self._prefix}.{kind}", os.O_WRONLY)
            os.dup2(opened, descriptor)
            os.close(opened)

    def _read(self, kind: str) -> bytes:
        with open(f"{self._prefix}.{kind}", "rb") as file:
            return file.read(_MAX_INLINE)
