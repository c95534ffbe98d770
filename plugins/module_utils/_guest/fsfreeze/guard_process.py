# Copyright (c) 2026, the netless.qga authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard of a freeze as the process that freezes sees it: a detached process, and a pipe to it."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import typing as t

from ansible_collections.netless.qga.plugins.module_utils._deadline import Deadline
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.guard import main as guard_main
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.guard_config import GuardConfig
from ansible_collections.netless.qga.plugins.module_utils._guest.fsfreeze.guard_inbox import (
    ATTACHED,
    CANCELLED,
    DETACHED,
)
from ansible_collections.netless.qga.plugins.module_utils._local.import_root import import_root
from ansible_collections.netless.qga.plugins.module_utils.errors import TaskFailed, excerpt

# Importing libraries from a slow disk takes a while.
_START_TIMEOUT = 60.0

# Without the new sys.path[0], Python would import whatever lies in the directory where the module happens to run.
# The import above is needed as well: AnsiballZ ships only what is imported.
_PROGRAM = f"""\
import sys
sys.path[0] = sys.argv[1]
from {guard_main.__module__} import main
main()
"""


class GuardProcess:
    """A guard that is ready. If it gets no word before this is closed, it checks whether it has to thaw.

    :param pid: the guard's process ID.
    :param pipe: the pipe to the guard, for the words of :mod:`.guard_inbox`.
    """

    def __init__(self, pid: int, pipe: t.IO[bytes]) -> None:
        self.pid = pid
        self._pipe = pipe

    @classmethod
    def start(cls, config: GuardConfig) -> GuardProcess:
        """Start a guard, and wait until it has imported everything that it needs.

        :raises TaskFailed: the guard did not start.
        """
        # The guard goes on when this process has ended, so nothing waits for it. It stays in the current directory,
        # because the endpoint may be a path relative to it.
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function,consider-using-with
            [sys.executable, "-c", _PROGRAM, import_root()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
        stdin, stdout = t.cast(t.IO[bytes], process.stdin), t.cast(t.IO[bytes], process.stdout)
        try:
            with stdout:
                _write(stdin, config.as_line())
                output = _read_all(stdout, Deadline.after(_START_TIMEOUT))
            last = output.strip().rpartition("\n")[2].split()
            if len(last) == 2 and last[0] == "ready" and last[1].isdigit():
                return cls(int(last[1]), stdin)
        except BaseException:
            stdin.close()
            process.kill()
            raise
        finally:
            # The guard is a child of this process, which has ended.
            process.wait()
        stdin.close()
        raise TaskFailed(
            f"the guard, which thaws when max_frozen is over, did not start, so nothing was frozen: "
            f"{excerpt(output[-300:]) or 'it printed nothing'}",
            error="guard_not_started",
        )

    def detach(self) -> bool:
        """Report that the guest is frozen, and that this process leaves it to the guard.

        :returns: whether the guard is still there.
        """
        return self._send(DETACHED, is_last=True)

    def attach(self) -> bool:
        """Report that the guest is frozen, and that this process thaws it unless it dies.

        :returns: whether the guard is still there.
        """
        return self._send(ATTACHED)

    def cancel(self) -> bool:
        """Report that the guest is not frozen, so that the guard ends.

        :returns: whether the guard is still there.
        """
        return self._send(CANCELLED, is_last=True)

    def close(self) -> None:
        """Close the pipe. Without a word before, or after :meth:`attach`, the guard then thaws."""
        self._pipe.close()

    def _send(self, word: str, *, is_last: bool = False) -> bool:
        if self._pipe.closed:
            return False
        is_alive = _write(self._pipe, f"{word}\n")
        if is_last:
            self._pipe.close()
        return is_alive


def _write(pipe: t.IO[bytes], text: str) -> bool:
    try:
        pipe.write(text.encode("ascii"))
    except BrokenPipeError:
        return False
    return True


def _read_all(pipe: t.IO[bytes], deadline: Deadline) -> str:
    output = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while selector.select(deadline.remaining()):
            data = os.read(pipe.fileno(), 4096)
            if not data:
                return output.decode("utf-8", errors="replace")
            output += data
    raise TaskFailed(
        f"the guard, which thaws when max_frozen is over, was not ready after {_START_TIMEOUT:.0f} seconds, so nothing "
        f"was frozen",
        error="guard_not_started",
    )


def is_running(pid: int) -> bool:
    """Return whether a guard that was started on this host still runs. Another process may have its ID by now."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return _PROGRAM.encode("ascii") in file.read()
    except OSError:
        return not os.path.exists("/proc/self") and _takes_signals(pid)


def _takes_signals(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
